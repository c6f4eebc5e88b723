"""The commands as a user types them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta
from PIL import Image

from tests.shell import SMALL_LSTM, SMALL_NET, zoo
from zoo.errors import OptionError
from zoo.files.cards import read_card
from zoo.models import weights
from zoo.registry.registry import Registry


def test_help_names_every_command():
    from zoo.cli import COMMANDS

    out = zoo("--help").stdout
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", out, re.MULTILINE), name


def test_list_filters_by_kind_pattern_and_condition():
    def names(*arguments):
        return [row["name"] for row in json.loads(zoo("list", *arguments, "--json").stdout)]

    everything = names()
    assert {"charrnn/lstm", "images/cifar10", "nietzsche-lstm"} <= set(everything)
    texts = ["text/nietzsche", "text/tinyshakespeare", "text/stdlib", "text/files"]
    assert names("datasets", "text/*") == texts
    of_images = names("architecture", "--where", "task=classification")
    assert "convnet/resnet-lite" in of_images
    assert {name.partition("/")[0] for name in of_images} >= {"convnet"}
    assert not [name for name in of_images if name.startswith(("charrnn", "text"))]
    large = names("dataset", "--where", "download_bytes>1e8")
    assert "images/cifar10" in large
    assert "text/nietzsche" not in large
    assert names("dataset", "shape") == ["images/shapes"]
    assert set(names("shape")) > {"images/shapes", "shapes-from-cifar10"}


def test_list_shows_and_compares_parameters():
    shown = zoo("list", "models", "resnet").stdout
    assert re.search(r"^  convnet/resnet20 +Residual .* images, 269,722 parameters$", shown, re.M)
    small = json.loads(zoo("list", "models", "--where", "params<1e5", "--json").stdout)
    assert {row["name"] for row in small} == {"charrnn/rnn", "charrnn/rnn-cell", "convnet/convnet"}


# Kinds of entries that are for no task
NO_TASK = ("task", "group", "optimizer", "schedule", "augmentation", "metric", "tokenizer")
NO_TASK += ("command", "exporter", "tracker")


def test_list_rows_have_the_documented_keys():
    for row in json.loads(zoo("list", "--json").stdout):
        assert {"kind", "name", "plugin", "task", "summary"} <= row.keys()
        known = {"classification", "language-modeling", "multi-label"}
        assert set(row["task"].split(", ")) <= known or row["kind"] in NO_TASK


@pytest.mark.parametrize(
    ("arguments", "plugins", "message"),
    [
        (["weights"], None, "no weights found; `zoo plugins` shows what each plugin provides"),
        (
            ["weights", "nietzsche*"],
            None,
            "no weights found; `zoo plugins` shows what each plugin provides",
        ),
        (["analyzers"], "text", "no analyzers found; `zoo plugins` shows what each plugin provides"),
        (["datasets"], "", "no datasets found; `zoo plugins` shows what each plugin provides"),
        (["datasets", "nix*"], None, "no matches; `zoo list datasets` shows all names"),
        (["--where", "task=chess"], None, "no matches; `zoo list` shows all names"),
    ],
)
def test_list_says_why_it_is_empty(arguments, plugins, message, monkeypatch, tmp_path):
    (tmp_path / "registry.toml").write_text("schema = 1\n")
    monkeypatch.setattr("zoo.registry.catalog.shipped_path", lambda: tmp_path / "registry.toml")
    env = {} if plugins is None else {"ZOO_PLUGINS": plugins}
    done = zoo("list", *arguments, env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"zoo: {message}\n")
    done = zoo("list", *arguments, "--json", env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_show_counts_parameters():
    shown = json.loads(zoo("show", "lstm", "--json").stdout)
    assert shown["parameters"] == 3_271_016
    assert shown["flops"] == 2 * (4 * 512 * (42 + 512) + 4 * 512 * 1024 + 512 * 56)
    assert shown["options"]["num_layers"] == 2


def test_show_accepts_a_listed_name_of_each_kind():
    """The first of each plugin; that each can be opened or built is in their contracts."""
    rows = json.loads(zoo("list", "--json").stdout)
    for row in {(row["kind"], row["plugin"]): row for row in reversed(rows)}.values():
        done = zoo("show", row["name"], "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["summary"]


def test_config_toml_is_a_recipe_that_trains_the_same_weights(lstm_file, tmp_path):
    config = lstm_file.parent / "config.toml"
    done = zoo("train", "lstm", "--run", "run", cwd=tmp_path, env={"ZOO_REGISTRY": str(config)})
    assert done.returncode == 0, done.stderr
    assert read_card(tmp_path / "run/model.safetensors").sha256 == read_card(lstm_file).sha256


def test_eval_measures_what_training_measured(lstm_file):
    card = json.loads(zoo("inspect", lstm_file, "--json").stdout)
    result = json.loads(zoo("eval", lstm_file, "--split", "val", "--json").stdout)
    assert result["metrics"] == card["metrics"]["val"]
    assert result["count"] == len("x" * 4080) // 10 - 1


def test_inspect_prints_the_first_hundred_rows_of_a_section(net_file, tmp_path):
    model, card = weights.load(net_file, Registry.discover())
    changes = tuple(f"change {number}" for number in range(150))
    weights.save(tmp_path / "x.safetensors", model, msgspec.structs.replace(card, changes=changes))
    out = zoo("inspect", tmp_path / "x.safetensors").stdout
    assert re.findall(r"change \d+$", out, re.M) == [*changes[:100]]
    assert re.search(r"^ +\.\.\. +50 more$", out, re.M)


def test_a_run_continues_with_other_options_only_if_accepted_and_its_card_says_so(text_file, tmp_path):
    arguments = ("train", "lstm", "files", "--data", f"paths={text_file}", *SMALL_LSTM, "--run", tmp_path)
    assert zoo(*arguments).returncode == 0
    longer = (*arguments[:-4], "--epochs", "3", "--lr", "0.01", *arguments[-2:], "--resume")
    refused = zoo(*longer)
    assert refused.returncode == 1
    assert "train.epochs: 2 before, 3 now; train.lr: " in refused.stderr
    threads = zoo(*arguments, "--resume", "--threads", "2")
    assert (threads.returncode, "threads: 1 before, 2 now" in threads.stderr) == (1, True)
    assert "--accept-changes" in refused.stderr
    done = zoo(*longer, "--accept-changes", "--save-every", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert "continuing with changed options" in done.stderr
    assert json.loads(done.stdout)["epochs"] == 3
    card = json.loads(zoo("inspect", tmp_path / "model.safetensors", "--json").stdout)
    (change,) = card["changes"]
    assert change.startswith("from epoch 3, batch 1: train.epochs: 2 before, 3 now")


def test_resume_starts_a_run_if_there_is_none(text_file, tmp_path):
    arguments = ("train", "lstm", "files", "--data", f"paths={text_file}", *SMALL_LSTM, "--resume")
    assert zoo(*arguments, "--run", tmp_path / "new").returncode == 0


def test_resume_needs_nothing_but_the_run_and_works_from_any_folder(tmp_path):
    images = tmp_path / "images"
    for name, red in (("red", 200), ("blue", 0)):
        (images / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (12, 12), (red, 0, number)).save(images / name / f"{number}.png")
    train = ["train", "resnet-lite", "folder", *SMALL_NET[:2], "--data", "root=images", "--data", "size=8"]
    train += ["--batch-size", "4", "--epochs", "2", "--threads", "1"]
    assert zoo(*train, "--run", "whole", cwd=tmp_path).returncode == 0
    assert zoo(*train, "--run", "cut", cwd=tmp_path).returncode == 0
    cut = tmp_path / "cut"
    (cut / "checkpoint.previous.safetensors").replace(cut / "checkpoint.safetensors")
    (cut / "model.safetensors").unlink()
    (tmp_path / "elsewhere").mkdir()
    done = zoo("resume", "../cut", "--json", cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 2
    whole = tmp_path / "whole"
    assert read_card(cut / "model.safetensors").sha256 == read_card(whole / "model.safetensors").sha256


def test_resuming_a_finished_run_says_so_and_prints_its_result_again(text_file, tmp_path):
    arguments = ("train", "lstm", "files", "--data", f"paths={text_file}", *SMALL_LSTM, "--run", tmp_path)
    first = zoo(*arguments, "--json")
    assert "already finished" not in first.stderr
    assert re.search(r"^  2/2 ", first.stderr, re.MULTILINE)
    result = json.loads(first.stdout)
    assert {"run", "weights", "epochs", "steps", "metrics", "rate", "seconds"} <= result.keys()
    before = (tmp_path / "model.safetensors").read_bytes()
    again = zoo(*arguments, "--json", "--resume")
    assert (again.returncode, json.loads(again.stdout)) == (0, result)
    title = f"resuming charrnn/lstm on text/files in {tmp_path}\n"
    assert again.stderr == f"{title}zoo: the run in {tmp_path} is already finished: 2 of 2 epochs are done\n"
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_an_option_is_made_of_the_resolved_type_of_an_argument():
    import click

    from zoo.cli.kit import options_of

    def describe(
        path: str | Path = "x",
        *,
        often: Annotated[int, Meta(ge=1)] | None = 2,
        bare: bool = False,
        words: Sequence[str] = (),
        by: Literal["size", "layer"] = "size",
    ):
        """Describe nothing."""

    command = click.command()(options_of(describe)(lambda **settings: settings))
    flags = {param.name: param for param in command.params}
    assert [param.opts for param in command.params] == [
        ["--path"], ["--often"], ["--bare"], ["--words"], ["--by"],
    ]  # fmt: skip
    read = command.main(
        ["--often", "3", "--path", "2024", "--words", "a", "--words", "b"], standalone_mode=False
    )
    assert read == {"path": "2024", "often": 3, "bare": False, "words": ("a", "b"), "by": "size"}
    ctx = click.Context(command)
    assert [item.value for item in flags["by"].shell_complete(ctx, "l")] == ["layer"]
    assert [item.type for item in flags["path"].shell_complete(ctx, "l")] == ["file"]
    for words, message in (
        (["--often", "0"], r"^--often must be at least 1 \(got 0\)$"),
        (["--by", "layr"], r"^--by must be one of 'layer', 'size' \(got 'layr'\); did you mean 'layer'\?$"),
    ):
        with pytest.raises(OptionError, match=message):
            command.main(words, standalone_mode=False)
