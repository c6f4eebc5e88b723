"""Each row of the table is typed: one line, at most one more with the next step, and nothing is written."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.messages.table import RECIPE, TABLE, Message, messages
from tests.shell import zoo

ROWS = [*messages()]
THEN = dict.fromkeys((folder, row.then) for folder, row in ROWS if row.then)


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder that has all that the folder of a fixture has."""
    for item in request.getfixturevalue(request.param).iterdir():
        (tmp_path / item.name).symlink_to(item)
    return tmp_path


@pytest.mark.parametrize(("here", "row"), ROWS, ids=[row.typed for _, row in ROWS], indirect=["here"])
def test_a_mistake_is_one_line_with_the_next_step(here: Path, row: Message) -> None:
    before = {*here.iterdir()}
    done = zoo(*shlex.split(row.typed), cwd=here, env={"ZOO_DATA": str(here)})
    assert (done.returncode, done.stdout) == (row.code, ""), done.stderr
    lines = done.stderr.splitlines()
    first = max(number for number, line in enumerate(lines) if line.startswith("zoo: "))  # after notices
    assert len(lines) - first <= 2, done.stderr
    assert all(line.startswith("     ") for line in lines[first + 1 :])
    said = "\n".join(lines[first:])
    assert all(part in said for part in row.says.split(" … ")), said
    assert {*here.iterdir()} == before


@pytest.mark.parametrize(("here", "then"), THEN, ids=[then for _, then in THEN], indirect=["here"])
def test_what_the_user_types_next_works(here: Path, then: str) -> None:
    done = zoo(*shlex.split(then), cwd=here)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("here", ["texts"], indirect=True)
def test_the_training_options_that_messages_name_are_accepted(here: Path) -> None:
    """All at once: each is of another option."""
    named = [row[2] for row in TABLE["texts"] if RECIPE in row[0] and len(row) == 3]
    options = [*dict.fromkeys(text for text in named if re.fullmatch(r"--[\w-]+( [\w.=]+)?", text))]
    assert len(options) >= 14
    done = zoo(*RECIPE.split(), *" ".join(options).split(), cwd=here)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("typed", "code", "kind"),
    [
        ("trian", 2, "usage"),  # of the group
        ("list --jsn", 2, "usage"),  # of click's parser
        ("eval x --split tst", 2, "option"),  # of the type of an option
        ("list --where task", 2, "option"),  # of the command
        ("train lstm stdlib --model a=x", 2, "option"),  # of what is built
        ("train lstn stdlib", 1, "unknown-name"),
        ("inspect none", 1, "weights"),
    ],
)
def test_with_json_an_error_is_a_document_of_its_kind(
    typed: str, code: int, kind: str, tmp_path: Path
) -> None:
    done = zoo(*typed.split(), "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document.keys() == {"error", "kind", "hint"}
    assert (done.returncode, document["kind"]) == (code, kind)
