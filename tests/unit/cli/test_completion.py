"""What TAB offers, and the script that asks for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.shell import zoo


def asked(line: str) -> str:
    """Return what is answered for the last word of a line, which may be empty."""
    words = line.split(" ")
    env = {
        "_ZOO_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    return zoo(env=env).stdout


def offered(line: str) -> list[str]:
    """Return the words that are offered for the last word of a line."""
    items = [item.partition(",") for item in asked(line).splitlines()]
    return [value for kind, _, value in items if kind == "plain"]


def names(kind: str, task: str) -> set[str]:
    rows = json.loads(zoo("list", kind, "--where", f"task~{task}", "--json").stdout)
    return {row["name"].rpartition("/")[2] for row in rows}


def test_train_is_offered_recipes_then_architectures():
    words = offered("zoo train ")
    assert words[0] == "stdlib-lstm"
    assert words.index("shapes-from-scratch") < words.index("lstm")
    assert "cifar10" not in words
    assert offered("zoo train charrnn/l") == ["charrnn/lstm", "charrnn/lstm-cell"]


def test_datasets_are_those_of_the_architectures_task():
    assert {*offered("zoo train lstm ")} == names("dataset", "language-modeling")
    of_images = names("dataset", "classification") | names("dataset", "multi-label")
    assert {*offered("zoo train convnet/resnet20 ")} == of_images
    assert offered("zoo train nietzsche-gru ") == [], "a recipe names its dataset"
    assert {"nietzsche", "shapes"} <= {*offered("zoo eval runs/unknown --dataset ")}


def test_weights_are_ids_and_what_the_shell_completes_as_a_path():
    classifiers = names("weights", "classification")
    ids = classifiers | names("weights", "language-modeling") | names("weights", "multi-label")
    assert classifiers < ids
    for command in ("eval", "sample", "inspect", "train resnet20 shapes --from"):
        assert {*offered(f"zoo {command} ")} == ids, command
        assert "file," in asked(f"zoo {command} runs/t"), command
    assert classifiers <= {*offered("zoo analyze confusion ")}
    assert "nietzsche-rnn" not in offered("zoo analyze confusion ")
    assert not classifiers & {*offered("zoo analyze surprisal ")}, "they are not language models"
    assert "file," in asked("zoo resume ")


def test_values_of_options_are_offered_after_names():
    assert "one-cycle" in offered("zoo train lstm nietzsche --schedule ")
    assert offered("zoo eval x --split t") == ["train", "test"]


def test_list_and_show_are_offered_what_they_take():
    assert offered("zoo list ") == [
        *("architectures", "datasets", "analyzers", "recipes", "weights", "tasks", "groups", "optimizers"),
        *(
            "schedules",
            "augmentations",
            "metrics",
            "tokenizers",
            "commands",
            "exporters",
            "trackers",
        ),
    ]
    assert {"lstm", "nietzsche", "cam", "stdlib-lstm"} <= {*offered("zoo show ")}
    assert offered("zoo completion ") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed_and_its_line_documented(shell):
    done = zoo("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_ZOO_COMPLETE={shell}_complete" in done.stdout
    assert f"zoo completion {shell}" in zoo("completion", "--help").stdout


def test_fields_and_their_choices_are_offered():
    assert {"--batch-size", "--bptt"} <= {*offered("zoo train lstm stdlib --b")}
    assert offered("zoo train lstm stdlib --optimizer adam") == ["adam", "adamw", "adamax"]
    assert offered("zoo train resnet20 shapes --augment crop,f") == ["crop,flip"]


def test_what_a_shell_would_obey_is_not_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = '[recipes.{}]\narchitecture = "charrnn/lstm"\ndataset = "text/nietzsche"\n'
    names = ("'qq$(touch x)'", "'qq`x`'", "'qq;x'", "'qq*'", "qq-plain")
    Path("registry.toml").write_text("schema = 1\n" + "".join(map(recipe.format, names)))
    assert offered("zoo show qq") == ["qq-plain"]
