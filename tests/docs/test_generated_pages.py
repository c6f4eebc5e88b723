"""The pages that are made from the code say what the code says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import zoo
from tests.docs import (
    commands_page,
    errors_page,
    hooks_page,
    options_page,
    python_page,
    troubleshooting_page,
    weights_page,
)
from zoo.cli import COMMANDS
from zoo.registry.registry import Registry

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"
PAGES = {
    "reference/options.md": options_page,
    "reference/commands.md": commands_page,
    "reference/python.md": python_page,
    "reference/weights.md": weights_page,
    "reference/hooks.md": hooks_page,
    "reference/errors.md": errors_page,
    "how-to/troubleshooting.md": troubleshooting_page,
}

pytestmark = pytest.mark.usefixtures("timm_models")


@pytest.mark.parametrize(("path", "module"), PAGES.items())
def test_the_page_is_what_the_code_says(path: str, module: ModuleType) -> None:
    written = (DOCS / path).read_text(encoding="utf-8")
    assert written == module.page(), f"write it again: python -m {module.__name__} > docs/{path}"


def test_every_training_option_of_every_group_is_on_the_page() -> None:
    fields = Registry.discover().training_options.values()
    written = (REFERENCE / "options.md").read_text(encoding="utf-8")
    assert "labels" in {field.group for field in fields}
    rows = {field.name: f"| `{field.name}` | {field.help[0].upper()}{field.help[1:]}" for field in fields}
    assert [name for name, row in rows.items() if row not in written] == []


def test_everything_that_import_zoo_offers_is_on_the_page() -> None:
    written = (REFERENCE / "python.md").read_text(encoding="utf-8")
    assert [name for name in zoo.__all__ if f"`zoo.{name}`" not in written] == []


def test_every_class_that_a_public_function_returns_has_a_part_of_the_page() -> None:
    written = (REFERENCE / "python.md").read_text(encoding="utf-8")
    owned = (*vars(zoo.Model).items(), *vars(zoo.Run).items())
    members = [value for name, value in owned if not name.startswith("_")]
    offered = [getattr(zoo, name) for name in zoo.__all__]
    functions = [getattr(value, "fget", None) or getattr(value, "func", value) for value in offered + members]
    annotations = [
        inspect.signature(each).return_annotation for each in functions if inspect.isfunction(each)
    ]
    names = {name for each in annotations for name in re.findall(r"\b[A-Z]\w+", str(each))}
    others = {"Any", "Figure", "Generator", "Iterator", "Module", "NDArray", "None"}
    assert {"Findings", "Result"} <= names
    headings = re.findall(r"^##+ `(?:zoo\.)?(\w+)`$", written, re.MULTILINE)
    assert sorted(names - others - {*headings}) == []


def test_the_page_says_of_every_command_what_it_is_in_python() -> None:
    commands = {*COMMANDS} | {entry.spec.name for entry in Registry.discover().entries("command")}
    assert python_page.AS_PYTHON.keys() == commands
    for name in (name for names in python_page.AS_PYTHON.values() for name in names):
        if "(" not in name:
            owner = zoo.Model if name.startswith("zoo.Model.") else zoo
            assert callable(getattr(owner, name.rpartition(".")[2]))


def test_the_help_of_export_names_each_command_that_takes_an_exported_file() -> None:
    written = " ".join((REFERENCE / "commands.md").read_text(encoding="utf-8").split())
    sentence = written.partition("such as ONNX, is accepted as WEIGHTS")[2].partition(".")[0]
    commands = ["embed", "eval", "inspect", "predict", "sample", "serve"]
    assert sorted({*re.findall(r"`zoo (\w+)`", sentence)}) == commands
