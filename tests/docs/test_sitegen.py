"""What the site is made of: its navigation, links, notebook and the check of what was built."""

from __future__ import annotations

import contextlib
import json
import posixpath
from pathlib import Path

import click
import pytest

import zoo
from sitegen.checking import broken_links, missing_pages
from sitegen.entries import KINDS, entry_page, names_of, page_of
from sitegen.gallery import make_gallery, with_links
from sitegen.models import model_page
from sitegen.nav import navigation, sections
from sitegen.notebook import as_markdown
from sitegen.places import link, place, rewritten
from sitegen.sources import show
from tests.docs.pages import ROOT, Block, blocks, zoo_commands
from tests.docs.test_commands import check_names
from zoo.cli import cli
from zoo.cli.session import Session
from zoo.registry.registry import Registry

INDEX = """\
# Documentation

## Tutorials: learn by doing

| page | you will |
|---|---|
| [First](tutorial/first.md) | learn |

## How-to: recipes

**Data**

| [Images](how-to/images.md) | How? |

**Train**

| [Rates](how-to/rates.md) | Which? |

## Reference: look it up

| [Options](reference/options.md) | all |
"""


def test_the_navigation_follows_the_groups_of_the_index() -> None:
    assert sections(INDEX) == {
        "Tutorials": [("First", "tutorial/first.md")],
        "How-to": [
            ("Data", [("Images", "how-to/images.md")]),
            ("Train", [("Rates", "how-to/rates.md")]),
        ],
        "Reference": [("Options", "reference/options.md")],
    }


def test_every_page_of_the_index_is_in_the_navigation() -> None:
    written = navigation({"Gallery": [("All", "gallery/index.md")]})
    assert "* [All](gallery/index.md)" in written
    pages = [
        path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md") if path.name != "README.md"
    ]
    assert [str(page) for page in pages if f"({page})" not in written] == []
    titles = [line.removeprefix("* ") for line in written.splitlines() if line.startswith("* ")]
    assert titles[:5] == ["Start", "How-to", "Gallery", "Reference", "Explanation"]


@pytest.mark.parametrize(
    ("file", "page"),
    [
        ("README.md", "index.md"),
        ("docs/README.md", "documentation.md"),
        ("docs/how-to/data.md", "how-to/data.md"),
        ("docs/images/shapes.png", "images/shapes.webp"),
        ("SECURITY.md", "project/security.md"),
        ("examples/notebook.ipynb", "examples/notebook.md"),
        ("examples/lessons/text.ipynb", "examples/lessons/text.md"),
        ("examples/zoo-segmentation/README.md", "examples/zoo-segmentation/index.md"),
        ("zoo/errors.py", "source/zoo/errors.py.md"),
        ("zoo/cli", "source/zoo/cli/index.md"),
    ],
)
def test_each_file_has_a_place(file: str, page: str) -> None:
    assert place(file) == page


def test_links_fit_the_site_and_code_is_left_alone() -> None:
    text = (
        "[data](../how-to/data.md#offline), [web](https://a.b/c.md), [here](#x), ![i](../images/shapes.png)"
    )
    text += "\n```sh\n[x](../a.md)\n```\n"
    found, linked = rewritten(text, file="docs/tutorial/first-model.md", page="tutorial/first-model.md")
    assert found == text.replace("shapes.png", "shapes.webp")
    assert linked == {"docs/how-to/data.md", "docs/images/shapes.png"}
    found, linked = rewritten("[code](../zoo/errors.py)", file="docs/README.md", page="documentation.md")
    assert found == "[code](source/zoo/errors.py.md)"
    assert linked == {"zoo/errors.py"}


def test_a_list_begins_after_an_empty_line() -> None:
    text = "**Title**\n- one\n  more\n- two\n\ntext\n"
    found, _ = rewritten(text, file="CHANGELOG.md", page="project/changelog.md")
    assert found == text.replace("Title**\n", "Title**\n\n")


def test_code_is_linked_in_the_repository_if_it_has_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sitegen.places._repository", lambda: "https://example.org/zoo")
    assert (
        link("source/zoo/errors.py.md", page="index.md") == "https://example.org/zoo/blob/main/zoo/errors.py"
    )
    assert link("source/zoo/cli/index.md", page="index.md") == "https://example.org/zoo/tree/main/zoo/cli"
    assert link("how-to/data.md", page="index.md") == "how-to/data.md"


def test_a_file_is_shown_and_a_folder_listed() -> None:
    assert (ROOT / "zoo/seeds.py").read_text(encoding="utf-8").strip() in show("zoo/seeds.py")
    listed = show("zoo/cli")
    assert "- [`loop.py`]" not in listed
    assert "- [`list.py`](list.py.md): `zoo list`" in listed


def test_a_notebook_is_its_text_code_and_outputs(tmp_path: Path) -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]},
        {"output_type": "execute_result", "data": {"image/png": "iVBORw0=", "text/plain": ["<Figure>"]}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": ["print(1)"], "outputs": outputs},
    ]
    path = tmp_path / "nb.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    text, images = as_markdown(path)
    shown = "![Output of the cell above](nb-1.png)"
    assert text == f"# Title\ntext\n\n```python\nprint(1)\n```\n\n```text\none\ntwo\n```\n\n{shown}\n"
    assert images == {"nb-1.png": b"\x89PNG\r"}


def write(folder: Path, **pages: str) -> None:
    for name, text in pages.items():
        path = folder / ("index.html" if name == "index" else f"{name}/index.html")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ('<a href="a/">', []),
        ('<a href="a/#here">', []),
        ('<a href="a/#gone">', ["index.html: a/#gone"]),
        ('<a href="b/">', ["index.html: b/"]),
        ('<img src="a/no.png">', ["index.html: a/no.png"]),
        ('<a href="#top"><p id="top">', []),
        ('<a href="#top">', ["index.html: #top"]),
        ('<a href="https://example.org/x">', []),
        ('<script src="no.js">', ["index.html: no.js"]),
        ('<a href="try/#a-model">', []),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, text: str, broken: list[str]) -> None:
    write(tmp_path, index=text, a='<h2 id="here">', **{"try": ""})
    assert broken_links(tmp_path) == broken


def test_a_page_that_was_not_built_is_found(tmp_path: Path) -> None:
    write(tmp_path, index="", a="")
    assert missing_pages(tmp_path, ["index.md", "a.md", "a/index.md", "b.md"]) == ["b.md"]


def test_rows_of_the_weights_page_lead_to_the_gallery() -> None:
    text = (ROOT / "docs/reference/weights.md").read_text(encoding="utf-8")
    linked = with_links(text)
    assert "| [`cifar10-resnet20`](../gallery/weights/cifar10-resnet20.md) |" in linked
    assert linked.count("](../gallery/weights/") == len(Registry.discover().catalog.weights)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "weights"])
def test_each_kind_has_pages_with_links_to_what_belongs_to_them(kind: str) -> None:
    registry = Registry.discover()
    name = names_of(registry, kind)[0]
    text, files = entry_page(registry, kind, name)
    assert text.startswith("# ")
    assert all((ROOT / file).is_file() for file in files)
    assert "None" not in text.replace("None,", "").partition("## Code")[0]
    pages = {page_of(each, other) for each in KINDS for other in names_of(registry, each)}
    for target in (part.partition(")")[0] for part in text.partition("## Code")[0].split("](")[1:]):
        where = posixpath.normpath(
            posixpath.join(posixpath.dirname(page_of(kind, name)), target.partition("#")[0])
        )
        assert where in pages or (ROOT / "docs" / where).exists() or where.endswith(".webp"), target


def test_the_page_of_a_model_has_its_figures_recipe_card_and_use() -> None:
    text = model_page(Registry.discover(), "cifar10-resnet20", in_browser=True)
    described = zoo.card("cifar10-resnet20", measure=False, progress=False).markdown()
    sections = [line for line in described.splitlines() if line.startswith("## ")]
    assert [line for line in text.splitlines() if line in sections] == sections
    assert "| test | accuracy | 91.52% | 90.96 to 92.05 |" in text
    assert "[resnet20](../architectures/resnet20.md) for [classification](../tasks/classification.md)" in text
    assert "[recipes.cifar10-resnet20]" in text
    assert 'zoo.load("cifar10-resnet20")' in text
    assert text.count("## Use\n") == 1
    assert "zoo analyze confusion cifar10-resnet20" in text
    assert 'href="../../try/#cifar10-resnet20"' in text
    assert "try/" not in model_page(Registry.discover(), "cifar10-resnet20", in_browser=False)


def test_a_page_without_the_weights_has_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sitegen.models.at_hand", lambda *_: None)
    text = model_page(Registry.discover(), "nietzsche-rnn", in_browser=False)
    assert "## Metrics" not in text
    assert "[rnn](../architectures/rnn.md)" in text
    assert "## Generated text" in text


@pytest.fixture(scope="module")
def gallery_blocks(tmp_path_factory: pytest.TempPathFactory) -> list[Block]:
    """Return the blocks of code of all pages of the gallery."""
    page = tmp_path_factory.mktemp("gallery") / "all.md"
    texts = make_gallery(frozenset()).pages.values()
    page.write_text("\n".join(text.partition("## Code")[0] for text in texts), encoding="utf-8")
    return blocks(page)


@pytest.mark.slow  # ten seconds, for a page of each entry
def test_each_command_of_the_gallery_parses_and_names_what_exists(
    gallery_blocks: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "INPUT").touch()
    session = Session()
    group = click.Context(cli, info_name="zoo", obj=session)
    commands = [words for block in gallery_blocks for words in zoo_commands(block.script)]
    assert len(commands) > 90
    for name, *arguments in commands:
        command = cli.get_command(group, name)
        assert command is not None, name
        with contextlib.suppress(click.exceptions.Exit):  # --help
            context = command.make_context(name, arguments, parent=group)
            check_names(name, context.params, session.registry)


@pytest.mark.slow
def test_each_module_of_the_gallery_can_be_created(gallery_blocks: list[Block]) -> None:
    python = [block.text for block in gallery_blocks if block.language == "python"]
    for text in python:
        compile(text, "<page>", "exec")
    created = [text for text in python if "create_model" in text]
    assert len(created) == len(names_of(Registry.discover(), "architecture"))
    for text in created:
        exec(text, namespace := {})
        assert sum(each.numel() for each in namespace["module"].parameters()) > 30_000
