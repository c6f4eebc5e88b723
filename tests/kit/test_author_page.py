"""The pages for authors are true: packages are what zoo writes, reference and table match the code."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image
from reference import reference

from tests.docs.pages import blocks
from tests.shell import zoo
from zoo import plugin
from zoo.registry.registry import Registry
from zoo.registry.specs import Spec
from zoo.testing._table import CHECKS
from zoo.tools.new_plugin.scaffold import new_plugin

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (DOCS / "how-to" / "write-a-plugin.md", *sorted((DOCS / "how-to" / "plugins").glob("*.md")))
REFERENCE = (DOCS / "reference" / "plugins.md").read_text(encoding="utf-8")
NAMED = re.compile(r"^`([\w./]+)`(?:[^\n]+\n)+\n```\w+\n(.*?)^```", re.S | re.M)
FILES = dict(file for page in PAGES for file in NAMED.findall(page.read_text(encoding="utf-8")))
"""Every file whose paragraph starts with its name."""
EXAMPLES = [
    block.text
    for block in blocks(DOCS / "reference" / "plugins.md")
    if "from zoo.plugin import" in block.text
]


@pytest.fixture
def one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with the page's one-file plugins, of which `dna.py` is named."""
    for name in ("dna.py", "gpt.py"):
        (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    monkeypatch.setenv("ZOO_PLUGIN_FILES", str(tmp_path / "dna.py"))
    yield tmp_path
    sys.modules.pop("dna", None)


@pytest.mark.parametrize(
    ("kind", "task", "name", "files"),
    [
        (
            "architecture",
            "classification",
            "patch-net",
            ("pyproject.toml", "zoo_patch_net/plugin.py", "zoo_patch_net/patch_net.py"),
        ),
        (
            "architecture",
            "language-modeling",
            "tiny-gru",
            ("zoo_tiny_gru/plugin.py", "zoo_tiny_gru/tiny_gru.py"),
        ),
        ("dataset", "classification", "corners", ("zoo_corners/plugin.py", "zoo_corners/corners.py")),
        ("analyzer", "classification", "saliency", ("zoo_saliency/plugin.py", "zoo_saliency/saliency.py")),
        ("analyzer", "language-modeling", "guesses", ("zoo_guesses/guesses.py",)),
        ("task", "", "tides", ("zoo_tides/tides.py", "zoo_tides/rows.py")),
        ("optimizer", "", "unit-sgd", ("zoo_unit_sgd/plugin.py", "zoo_unit_sgd/unit_sgd.py")),
        ("schedule", "", "fade", ("zoo_fade/plugin.py", "zoo_fade/fade.py")),
        ("augmentation", "", "upside-down", ("zoo_upside_down/plugin.py", "zoo_upside_down/upside_down.py")),
        ("metric", "", "near-misses", ("zoo_near_misses/plugin.py", "zoo_near_misses/near_misses.py")),
        ("tokenizer", "", "vowels", ("zoo_vowels/plugin.py", "zoo_vowels/vowels.py")),
        ("command", "", "sizes", ("zoo_sizes/plugin.py", "zoo_sizes/sizes.py")),
        ("exporter", "", "zipped", ("zoo_zipped/plugin.py", "zoo_zipped/zipped.py")),
        ("tracker", "", "ledger", ("zoo_ledger/plugin.py", "zoo_ledger/ledger.py")),
    ],
)
def test_a_package_of_the_tutorial_is_what_new_plugin_writes(kind, task, name, files, tmp_path):
    """tests/unit/tools/test_new_plugin.py installs these and runs the kit on them."""
    new_plugin(name, kind, tmp_path, task=Registry.discover().task(task) if task else None)
    for file in files:
        written = (tmp_path / f"zoo-{name}" / file).read_text(encoding="utf-8")
        assert FILES[file] == written, f"docs/how-to: {file} differs from what zoo writes"


@pytest.mark.slow  # the whole kit
@pytest.mark.parametrize("target", ["dna.py", "gpt.py", pytest.param("dna", marks=pytest.mark.nightly)])
def test_the_one_file_plugin_passes_the_kit(target, one_file):
    done = zoo("check", target, cwd=one_file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 skipped, 0 failed" in done.stdout


@pytest.mark.slow  # the whole kit
def test_the_landmarks_of_the_tutorial_are_right(tmp_path):
    page = DOCS / "tutorial" / "first-plugin.md"
    (code,) = (block.text for block in blocks(page) if block.file == "patches.py")
    (landmarks,) = re.findall(r"`(landmarks=\{[^`]+)`", page.read_text(encoding="utf-8"))
    end = code.rindex("\n        )")
    (tmp_path / "patches.py").write_text(
        f"{code[:end]}\n            {landmarks},{code[end:]}", encoding="utf-8"
    )
    done = zoo("check", "patches.py", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert [c["outcome"] for c in checks if "landmarks_resolve" in c["name"]] == ["passed"]


def test_the_one_file_plugin_is_listed(one_file):
    assert "dna/bases" in zoo("list", cwd=one_file).stdout


def test_the_reference_matches_the_code():
    (printed,) = re.findall(r"^```text\n(.*?)^```", REFERENCE, flags=re.S | re.M)
    assert printed == reference(), (
        "docs/reference/plugins.md: print tests/kit/reference.py again, and mind `api`"
    )


def test_the_reference_describes_each_spec_and_each_class_that_a_page_promises():
    promised = re.compile(r"^- \[What a plugin may use\]\(.*?\): (.*(?:\n  .*)*)", re.M)
    texts = [text for page in PAGES for text in promised.findall(page.read_text(encoding="utf-8"))]
    names = {name for text in texts for name in re.findall(r"`([A-Z]\w+)`", text)}
    specs = {spec.__name__ for spec in get_args(Spec)}
    assert {"Metric", "Subject"} <= names
    assert {"MetricSpec", "TaskSpec"} <= specs
    described = {*re.findall(r"^([A-Z]\w+)$", reference(), flags=re.M)}
    assert sorted((names | specs) - described) == []


def test_the_reference_describes_each_name_of_zoo_plugin():
    described = {*re.findall(r"^(?:zoo\.plugin\.)?(\w+)\b", reference(), flags=re.M)}
    assert sorted({*plugin.__all__} - described) == []


def test_the_tables_list_each_name_of_zoo_plugin_once():
    _, _, names = REFERENCE.partition("\n## Names of `zoo.plugin`\n")
    listed = re.findall(r"^\| `(\w+)` \| [a-z, ]+ \| .+ \|$", names.partition("\n## ")[0], flags=re.M)
    assert sorted(listed) == plugin.__all__


def test_the_examples_use_each_name_of_zoo_plugin():
    used = set[str]()
    for code in EXAMPLES:
        nodes = [*ast.walk(ast.parse(code))]
        imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "zoo.plugin"]
        imported = {each.name for node in imports for each in node.names}
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        assert sorted(imported - names) == []
        used |= imported
    assert sorted({*plugin.__all__} - used) == []


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_of_the_reference_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    Path("names.txt").write_text("Ada\nGrace\nEmmy\n", encoding="utf-8")
    page = {"__name__": "page"}
    exec(compile(code, "<page>", "exec", dont_inherit=True), page)
    unfinished = [name for name, each in page.items() if inspect.isabstract(each)]
    assert [name for name in unfinished if page[name].__module__ == "page"] == []


def test_the_dataset_page_decodes_images_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    page = DOCS / "how-to" / "plugins" / "dataset.md"
    (code,) = (block.text for block in blocks(page) if "def decoded" in block.text)
    names: dict[str, Any] = {}
    exec(compile(code, "<page>", "exec", dont_inherit=True), names)
    Image.new("RGB", (6, 4), "red").save(tmp_path / "red.png")
    first = names["decoded"]([tmp_path / "red.png"], size=2)
    assert first.tolist() == [[[[255] * 2] * 2, [[0] * 2] * 2, [[0] * 2] * 2]]
    names["read_image"] = None  # the cache has them
    assert names["decoded"]([tmp_path / "red.png"], size=2).equal(first)


def test_the_table_of_checks_matches_the_kit():
    rows = re.findall(r"^\| `(\w+)` \|", REFERENCE.partition("| check |")[2], flags=re.M)
    assert rows == [*dict.fromkeys(check.name for check in CHECKS)]
