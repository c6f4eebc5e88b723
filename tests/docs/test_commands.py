"""Each `zoo` command and each piece of Python on a page is one that works. Nothing is trained here."""

from __future__ import annotations

import ast
import contextlib
import re
from pathlib import Path
from typing import Any

import click
import pytest

import zoo
from tests.docs.pages import PAGES, ROOT, blocks, zoo_commands
from zoo.api.entry_lists import rows
from zoo.cli import cli
from zoo.cli.session import Session
from zoo.config.keywords import check_arguments
from zoo.registry.registry import Entry, Registry
from zoo.runs.resolving import named_recipe, with_options

# Plugins, entries and recipes that a page writes or installs
MADE = {
    *("zoo-patch-net", "patch-net/patch*", "dna.py", "dna/bases", "mine", "first", "patches.py"),
    *(
        "patch-net",
        "patches/patch-net",
        "corners",
        "saliency",
        "tiny-gru",
        "tides",
        "tides-net",
        "sizes",
        "zipped",
        "ledger",
        "unit-sgd",
        "fade",
        "upside-down",
        "near-misses",
        "vowels",
    ),
    "shapes-patch-net",
    *("digits", "torchvision/resnet18", "gradcam/grad-cam", "captum/occlusion"),
    *("row-mlp", "pendulums", "sound-net", "tones", "demand-mlp", "fan"),
    *("gpt", "tinyshakespeare-gpt"),
    "seed-0",
    *("team:shapes", "team:ours", "team-images", "hf:me/shapes", "hf:me/shapes@v1"),
}
LANGUAGES = {"console", "json", "python", "sh", "text", "toml"}
SHOWN = [
    pytest.param(words, id=f"{page.relative_to(ROOT)}: zoo {' '.join(words)}")
    for page in PAGES
    for block in blocks(page)
    for words in zoo_commands(block.script)
]


@pytest.fixture(scope="module")
def session(timm_models: None) -> Session:
    return Session()


def test_every_block_says_what_it_is() -> None:
    found = [(page, block.language) for page in PAGES for block in blocks(page)]
    assert [(page, language) for page, language in found if language not in LANGUAGES] == []


@pytest.mark.parametrize("words", SHOWN)
def test_a_command_parses_and_names_what_exists(
    words: list[str], session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in words:
        if re.fullmatch(r"[\w-]+\.txt", word):
            Path(word).touch()
    words = [word for word in words if word not in ("--strict", "--debug")]
    if words[0] in MADE | {"--help"}:  # a command that the page makes, which test_how_to.py types
        return
    group = click.Context(cli, info_name="zoo", obj=session)
    command = cli.get_command(group, words[0])
    assert words[0].isupper() or command, f"there is no command {words[0]}"
    if command is not None:
        with (
            contextlib.suppress(click.exceptions.Exit),  # --help
            command.make_context(words[0], words[1:], parent=group) as context,
        ):
            check_names(words[0], context.params, session.registry)


def check_names(command: str, given: dict[str, Any], registry: Registry) -> None:
    """Raise a ZooError or fail if a command names an entry, an option or weights that do not exist."""
    named = given.get("weights") or given.get("from_weights") or ()
    for weights in (named,) if isinstance(named, str) else named:  # several of `zoo serve`
        if not is_stand_in(weights) and not {"/", "."} & {*weights}:
            assert weights in registry.weights, f"there are no weights {weights}"
    if command in ("train", "lr-find") and not is_stand_in(given["name"]):
        check_experiment(given, registry)
    if command == "analyze" and not is_stand_in(given["analyzer"]):
        check_options(registry.analyzer(given["analyzer"]), given["options"], "--option")
    if command == "show" and not is_stand_in(given["name"]):
        names = {name for row in rows(registry) for name in (row["name"], row["name"].rpartition("/")[2])}
        assert given["name"] in names
    if command == "check" and not is_stand_in(given["target"]):
        assert given["target"].partition("/")[0] in {plugin.name for plugin in registry.plugins}


def is_stand_in(word: str) -> bool:
    """Return whether a word stands for another (`WEIGHTS`), or for what a page makes."""
    return word in MADE or re.fullmatch(r"[A-Z]+(/[A-Z]+)?", word) is not None


def check_experiment(given: dict[str, Any], registry: Registry) -> None:
    fields = {
        name: value
        for name, value in given.items()
        if name in registry.training_options and value is not None
    }
    named = [name for name in (given["name"], given["dataset"]) if name]
    if MADE & {*named, fields.get("optimizer"), fields.get("schedule"), *fields.get("augment", ())}:
        return
    options = {name: given[name] for name in ("model", "data")}
    recipe = with_options(named_recipe(given["name"], given["dataset"], registry), **options, **fields)
    architecture = registry.architecture(recipe.architecture)
    dims = registry.task(architecture.spec.task).dims
    check_options(architecture, recipe.model, "--model", filled=dims)
    check_options(registry.dataset(recipe.dataset), recipe.data, "--data")
    registry.training_config(recipe)


def check_options(entry: Entry[Any], options: dict[str, Any], flag: str, filled: Any = ()) -> None:
    given = {**getattr(entry.spec, "config", {}), **options}
    check_arguments(entry.load(), given, what=entry.name, flag=flag, filled=filled)


def test_python_compiles_and_uses_public_names() -> None:
    python = [(page, block.text) for page in PAGES for block in blocks(page) if block.language == "python"]
    used = [
        (page, node.attr)
        for page, text in python
        for node in ast.walk(ast.parse(text, filename=str(page)))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "zoo"
    ]
    assert used
    assert [(page, name) for page, name in used if not hasattr(zoo, name)] == []


def test_the_images_that_the_readme_predicts_are_in_the_repository() -> None:
    typed = [words for block in blocks(ROOT / "README.md") for words in zoo_commands(block.script)]
    named = [
        word for words in typed if words[0] == "predict" for word in words[2:] if not word.startswith("-")
    ]
    assert named
    assert all((ROOT / name).exists() for name in named)


def test_the_readme_puts_zoo_on_the_path_before_its_first_command() -> None:
    lines = "".join(block.script for block in blocks(ROOT / "README.md")).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("zoo "))
    assert "source .venv/bin/activate" in lines[:first]
