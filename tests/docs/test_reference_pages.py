"""The pages of hooks, errors, environment variables and error messages say what the code says."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from tests.docs import errors_page, hooks_page, troubleshooting_page
from zoo import errors
from zoo.registry import hookspecs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = [path for folder in ("zoo", "plugins") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_hook_is_on_the_page_with_an_example() -> None:
    assert [*hooks_page.HOOKS] == [name for name in vars(hookspecs) if name.startswith("zoo_")]
    for hook, page in hooks_page.HOOKS.items():
        assert f"def {hook}():" in (DOCS / "how-to" / "plugins" / f"{page}.md").read_text(encoding="utf-8")


def test_every_error_is_on_the_page_with_its_exit_code() -> None:
    written = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    every = [value for value in vars(errors).values() if inspect.isclass(value)]
    found = {each.__name__: each for each in every if issubclass(each, zoo.ZooError)}
    assert "WeightsError" in found
    for name, each in found.items():
        codes = ", ".join(map(str, errors_page.codes(each)))
        row = rf"^\| `(zoo\.)?{name}` \| `{each.kind}` \| [^|]+ \| {codes} \|$"
        assert re.search(row, written, re.MULTILINE), name
    assert {
        code for each in found.values() for code in errors_page.codes(each)
    } == errors_page.CODES.keys() - {0}


def variables(path: Path) -> Iterator[str]:
    """Yield the environment variables that a module reads or sets, or names in its constants."""
    source = path.read_text(encoding="utf-8")
    if "environ" not in source and "envvar" not in source:
        return
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case (
                ast.Call(func=ast.Attribute(value=owner), args=[ast.Constant(value=str(name)), *_])
                | ast.Subscript(value=owner, slice=ast.Constant(value=str(name)))
                | ast.Compare(left=ast.Constant(value=str(name)), comparators=[owner])
            ) if ast.unparse(owner) == "os.environ":
                yield name
            case ast.keyword(arg="envvar", value=ast.Constant(value=str(name))):
                yield name
            case _:
                pass
    for statement in tree.body:
        for part in ast.walk(statement) if isinstance(statement, ast.Assign) else ():
            if isinstance(part, ast.Constant) and re.fullmatch(r"_?[A-Z]+(_[A-Z]+)+_?", str(part.value)):
                yield str(part.value)


def test_the_environment_variables_of_the_source_are_those_of_the_page() -> None:
    ours = [path for path in SOURCES if "testing" not in path.parts]
    read = {name for path in ours for name in variables(path)} | {
        "ZOO_STATE"
    }  # read as f"ZOO_{kind.upper()}"
    written = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    listed = {
        name
        for row in re.findall(r"^\| (`.*?) \|", written, re.MULTILINE)
        for name in re.findall(r"`(.+?)`", row)
    }
    assert {"ZOO_DATA", "ZOO_PATIENCE", "NO_COLOR", "MALLOC_TOP_PAD_"} <= read
    assert read == listed


def test_every_message_with_a_hint_is_on_the_page() -> None:
    """Those that only pass on the message of another error, and nothing of their own, are counted here."""
    rows = troubleshooting_page.rows()
    passed_on = {row.module for row in rows if not row.message}
    assert passed_on == {
        "zoo/tools/export/export_weights.py",
        "zoo/tools/export/fresh_process.py",
        "zoo/tools/imports/card_inputs.py",
        "zoo/api/resume_hints.py",
        "zoo/api/run.py",
        "zoo/cli/__init__.py",
        "zoo/cli/usage.py",
        "zoo/data/sources.py",
        "zoo/files/container.py",
        "zoo/models/runners.py",
        "zoo/models/weights.py",
        "zoo/registry/catalog.py",
        "zoo/config/arguments.py",
        "zoo/config/layers.py",
        "zoo/runs/worker.py",
        "zoo/tools/compare/reproduction.py",
        "zoo/tools/sweep/recorded.py",
        "zoo/tools/sweep/workers.py",
        "zoo/registry/hub_client.py",
        "zoo/registry/registry.py",
        "zoo/registry/remotes.py",
        "zoo/tools/share/publish.py",
    }
    written = (DOCS / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    calls = [
        (str(path.relative_to(ROOT)), hint)
        for path in SOURCES
        for hint in re.findall(r"Error\([^()]*, hint=\"([^\"\\]+)\"\)", path.read_text(encoding="utf-8"))
    ]
    assert len(calls) > 30
    assert [call for call in calls if troubleshooting_page.prose(call[1]) not in written] == []


def test_what_is_printed_is_found_on_the_page() -> None:
    """A message as a user sees it has the words of a row between those that stand for names."""
    written = (DOCS / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    with pytest.raises(zoo.ZooError) as caught:
        zoo.load("no-such-weights")
    assert str(caught.value).startswith("unknown weights 'no-such-weights'")
    row = next(line for line in written.splitlines() if line.startswith("| `unknown weights 'NAME'` |"))
    assert caught.value.hint is not None
    assert caught.value.hint in row
