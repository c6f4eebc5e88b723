"""Training options as options of `zoo train` and `zoo lr-find`, and what stands in their place by mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.configs import FIELDS, configured
from tests.shell import SMALL_LSTM, SMALL_NET, SMALL_SHAPES, zoo
from zoo.cli.flags import flag_of
from zoo.config import options

SHAPES = ("train", "resnet-lite", "shapes", *SMALL_NET, *SMALL_SHAPES)


def trained(run: Path) -> dict[str, Any]:
    """Return the training options in a run's config.toml."""
    (recipe,) = tomllib.loads((run / "config.toml").read_text())["recipes"].values()
    return recipe["train"]


def options_in_help(*words: str) -> dict[str, str]:
    """Return what the help of a command says of each option, on one line."""
    entries = re.split(r"\n\n|\n  (?=-)", zoo(*words, "--help").stdout)
    return {entry.split()[0]: " ".join(entry.split()) for entry in entries if entry.startswith("--")}


def test_every_field_is_an_option_of_train() -> None:
    done = zoo("train", "--help")
    missing = [name for name in FIELDS if f"  {flag_of(name)} " not in done.stdout]
    assert not missing


def test_fields_are_typed_lists_are_separated_by_commas_and_none_clears(tmp_path: Path) -> None:
    options = ("--lr", ".01", "--augment", "flip,crop", "--freeze", "none", "--warmup-epochs", "1")
    done = zoo(*SHAPES, *options, "--run", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    fields = trained(tmp_path / "run")
    assert fields["lr"] == 0.01
    assert fields["augment"] == ["flip", "crop"]
    assert fields["freeze"] == []
    assert fields["warmup_epochs"] == 1.0
    assert "bptt" not in fields, "a run of images has no fields of texts"
    done = zoo(*SHAPES, "--augment", "none", "--run", tmp_path / "plain")
    assert trained(tmp_path / "plain")["augment"] == []


def test_a_list_may_be_repeated_or_separated_by_commas(tmp_path: Path) -> None:
    options = ("--augment", "flip", "--augment", "crop", "--metric", "macro-f1")
    done = zoo(*SHAPES, *options, "--run", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    fields = trained(tmp_path / "run")
    assert (fields["augment"], fields["metrics"]) == (["flip", "crop"], ["macro-f1"])
    assert re.search(r"epoch +train loss +val loss +val accuracy +macro-f1 ", done.stderr)
    assert re.search(r"the best by validation: val accuracy [\d.]+%, macro-f1 [\d.]+%\n", done.stdout)
    done = zoo("eval", tmp_path / "run", "--metric", "mcc,macro-f1", "--metric", "mcc", "--json")
    assert done.returncode == 0, done.stderr
    assert {"macro-f1", "mcc"} <= json.loads(done.stdout)["metrics"].keys()


def test_a_boolean_field_has_an_option_for_each_value(text_file: Path, tmp_path: Path) -> None:
    for flag, value in (("--bptt-jitter", True), ("--no-bptt-jitter", False)):
        run = tmp_path / flag
        done = zoo("train", "lstm", "files", "--data", f"paths={text_file}", *SMALL_LSTM, flag, "--run", run)
        assert done.returncode == 0, done.stderr
        assert trained(run)["bptt_jitter"] is value


def test_a_field_that_was_not_typed_is_called_as_in_the_recipe(tmp_path: Path) -> None:
    recipe = '[recipes.x]\narchitecture = "lstm"\ndataset = "stdlib"\ntrain = { ema_decay = 0.9 }\n'
    (tmp_path / "registry.toml").write_text(f"schema = 1\n{recipe}")
    done = zoo("train", "x", "--nonmono", "5", cwd=tmp_path)
    assert "zoo: recipe x: ema_decay=0.9 and --nonmono=5 cannot be combined" in done.stderr


def test_help_shows_the_values_of_the_recipe_that_is_named_and_the_groups_of_its_task() -> None:
    help_of = options_in_help("train", "stdlib-lstm")
    assert help_of["--bptt"].endswith("[default: 48]")
    assert help_of["--lr"].endswith("[default: 0.006]")
    assert "--augment" not in help_of
    help_of = options_in_help("lr-find", "resnet20")
    assert help_of["--augment"].endswith("[default: crop,flip]")
    assert "--bptt" not in help_of
    assert "--epochs" not in help_of, "a test run has no epochs"


def test_a_recipe_that_replaces_one_of_zoo_is_told_where_it_is_shown(tmp_path: Path) -> None:
    recipe = '[recipes.stdlib-lstm]\narchitecture = "lstm"\ndataset = "stdlib"\n'
    (tmp_path / "registry.toml").write_text(f"schema = 1\n{recipe}")
    told = "zoo: the recipe stdlib-lstm in registry.toml replaces zoo's recipe of that name\n"
    for words in (["train", "stdlib-lstm", "--help"], ["list"], ["list", "recipes", "stdlib*"]):
        assert zoo(*words, cwd=tmp_path).stderr == told
    for words in (["train", "nietzsche-gru", "--help"], ["list", "models"], ["list", "nietzsche"]):
        assert zoo(*words, cwd=tmp_path).stderr == ""


def test_help_with_every_field_imports_no_torch() -> None:
    code = "import sys; from zoo.cli import run; run(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "resnet20", "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"--mixup-alpha" in done.stdout


@pytest.mark.parametrize("name", [*FIELDS])
def test_a_value_of_a_field_can_be_typed_as_it_is_printed(name: str) -> None:
    field = FIELDS[name]
    configurations = [*_configurations(), configured().to_dict()]
    for value in {
        json.dumps(config[name]): config[name] for config in configurations if name in config
    }.values():
        typed = options.Typed(options.text(value))
        assert options.convert(typed, field.type, what=name) == options.convert(value, field.type, what=name)


def _configurations() -> list[dict[str, Any]]:
    from zoo.registry.registry import Registry

    registry = Registry.discover()
    return [registry.usual_config(entry).to_dict() for entry in registry.entries("architecture")]  # type: ignore[arg-type]


MORE = """
import sys
import zoo
from tests.docs import options_page

assert zoo.__file__.startswith(sys.argv[1])
for wrong in ({"sharpness": 10}, {"sharpnes": 1}):
    try:
        zoo.train("lstm", "stdlib", **wrong, progress=False)
    except zoo.OptionError as error:
        print(error)
print(options_page.page())
for words in (["train", "--help"], ["train", "lstm", "stdlib", "--sharpness", "10"]):
    from zoo.cli import run
    run(words)
"""


@pytest.mark.slow  # it copies zoo, and starts processes with the copy
def test_a_training_option_is_declared_in_one_line(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    shutil.copytree(root / "zoo", tmp_path / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "registry.toml", tmp_path)
    source = tmp_path / "zoo/config/train_config.py"
    line = '    sharpness: Annotated[float, Meta(ge=0, le=9)] = option(0.5, "how sharp the loss is.")\n'
    text = source.read_text(encoding="utf-8").replace("    epochs: ", f"{line}    epochs: ", 1)
    source.write_text(text, encoding="utf-8")
    places = os.pathsep.join(map(str, (tmp_path, root / "plugins", root)))
    env = {**os.environ, "PYTHONPATH": places, "COLUMNS": "100"}
    words = [sys.executable, "-c", MORE, str(tmp_path)]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "sharpness must be at most 9 (got 10)" in said  # in Python
    assert "has no option 'sharpnes'; did you mean 'sharpness'?" in said
    assert "| `sharpness` | How sharp the loss is. | number ≥ 0, ≤ 9 | `0.5` |" in said  # in the reference
    assert re.search(r"--sharpness NUMBER +How sharp the loss is\.", said)  # in the help
    assert "zoo: --sharpness must be at most 9 (got 10)" in said  # on the command line
    env |= {"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": "zoo train --sharp", "COMP_CWORD": "2"}
    words = [sys.executable, "-m", "zoo"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "plain,--sharpness"
