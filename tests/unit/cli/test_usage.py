"""Wrong usage is answered in one style, with what is right and exit code 2."""

from __future__ import annotations

import json

import pytest

from tests.shell import zoo

WRONG = {
    "zoo trian": "unknown command 'trian'; did you mean 'train'?",
    "zoo lr_find": "unknown command 'lr_find'; did you mean 'lr-find'?",
    "zoo ls": "unknown command 'ls'; did you mean `zoo list`?",
    "zoo models": "unknown command 'models'; did you mean `zoo list models`?",
    "zoo evaluate runs/x": "unknown command 'evaluate'; did you mean 'eval'?",
    "zoo classify runs/x cat.jpg": "did you mean `zoo predict`?",
    "zoo help": "unknown command 'help'; did you mean `zoo --help`?",
    "zoo nietzsche-gru": "unknown command 'nietzsche-gru'; did you mean `zoo train nietzsche-gru`?",
    "zoo lstm nietzsche": "unknown command 'lstm'; did you mean `zoo train lstm nietzsche`?",
    "zoo lstm": "unknown command 'lstm'; did you mean `zoo show lstm`?",
    "zoo xyzzy": "unknown command 'xyzzy'",
    "zoo list --jsn": "no such option: --jsn; did you mean `--json`?",
    "zoo list --quiet=1": "option '--quiet' does not take a value",
    "zoo list --where": "option '--where' requires an argument",
    "zoo list --where task": "where: 'task' is not a comparison",
    "zoo list weight s x": "got unexpected extra argument (x)",
    "zoo show lstm gru x": "got unexpected extra arguments (gru x)",
    "zoo eval": "missing WEIGHTS",
    "zoo eval x --split tst": "--split must be one of 'test', 'train', 'val' (got 'tst'); did you mean",
    "zoo sample x --max-new-tokens many": "--max-new-tokens must be an integer (got 'many')",
    "zoo sample x --temperature hot": "--temperature must be a number (got 'hot')",
    "zoo sample x --prompt a --prompt-file -": "--prompt and --prompt-file exclude each other",
    "zoo analyze cam x --draw -1": "--draw must be at least 0 (got -1)",
    "zoo analyze cam x --indices one": "--indices must look like 0,5,9 or 0-99 (got 'one')",
    "zoo new-plugin x": "missing --kind, one of architecture, dataset, analyzer, task",
    "zoo completion powershell": "must be one of 'bash', 'fish', 'zsh' (got 'powershell')",
    "zoo train lstm stdlib --model a=x": "charrnn/lstm has no option 'a'",
    "zoo train lstm stdlib --model hidden_size=x": "hidden_size must be an integer (got 'x')",
    "zoo train lstm stdlib --seed x": "--seed must be an integer (got 'x')",
    "zoo list datset x": "KIND must be one of architectures, datasets, analyzers, recipes, ",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_usage_is_named_and_exits_with_2(line, tmp_path):
    done = zoo(*line.split()[1:], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    first, *hint = done.stderr[done.stderr.index("zoo: ") :].splitlines()
    assert WRONG[line] in first
    assert len(hint) <= 1
    assert all(text.startswith("     ") for text in hint)


@pytest.mark.parametrize(
    "line",
    [
        "zoo trian",  # of the group
        "zoo list --jsn",  # of click's parser
        "zoo eval x --split tst",  # of the type of an option
        "zoo list --where task",  # of the command
        "zoo train lstm stdlib --model a=x",  # of what is built
    ],
)
def test_wrong_usage_is_a_document_with_json(line, tmp_path):
    done = zoo(*line.split()[1:], "--json", cwd=tmp_path)
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document.keys() == {"error", "kind", "hint"}
    assert document["kind"] in ("usage", "option")


def test_an_error_names_the_help_of_its_command():
    assert zoo("eval", "--jsn").stderr.endswith("\n     `zoo eval --help` shows its arguments and options\n")
    assert zoo("list", "--where").stderr.endswith(
        "\n     `zoo list --help` shows its arguments and options\n"
    )
    assert zoo("xyzzy").stderr.endswith("\n     `zoo --help` lists the commands\n")


def test_no_command_shows_the_help():
    done = zoo()
    assert done.returncode == 2
    assert done.stderr == zoo("--help").stdout
