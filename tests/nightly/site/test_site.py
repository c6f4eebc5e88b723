"""The site that `make docs` builds: it has every page, its links lead somewhere, and everybody can use it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import zoo
from sitegen.checking import broken_links
from sitegen.entries import names_of, short
from sitegen.serving import Served
from sitegen.weighing import first_load
from tests.docs.pages import ROOT
from tests.nightly.browser.test_accessible import AXE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# The home page, the gallery, a page of it with images, one with code, and one made from docstrings
PAGES = (
    "/",
    "/gallery/",
    "/gallery/weights/shapes-resnet20/",
    "/gallery/architectures/lstm/",
    "/reference/api/zoo/Model/",
)


# What users search for, and the page that must be found first
SEARCHES = {
    "install": "/install/",
    "own images": "/tutorial/own-images/",
    "fine-tuning": "/how-to/fine-tune/",
    "learning rate": "/how-to/learning-rate/",
    "out of memory": "/how-to/troubleshooting/",
    "predict": "/how-to/predict/",
    "export onnx": "/how-to/export/",
    "calibrate": "/how-to/calibrate/",
    "gpu": "/how-to/mixed-precision/",
    "accuracy confidence interval": "/explanation/intervals/",
}


def exists(site: Path, *pages: str) -> list[str]:
    """Return the pages that the site lacks."""
    return [page for page in pages if not (site / page / "index.html").is_file()]


def test_every_page_of_the_documentation_is_there(site: Path) -> None:
    docs = [path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")]
    assert exists(site, *(str(page) for page in docs if page.name != "README")) == []
    assert (
        exists(
            site, "install", "documentation", "project/contributing", "project/security", "project/changelog"
        )
        == []
    )
    assert (
        exists(site, "examples", "examples/notebook", "examples/zoo-segmentation", "examples/zoo-torchvision")
        == []
    )


def test_everything_that_zoo_lists_is_in_the_gallery(site: Path) -> None:
    listed = {
        "architectures": [*map(short, names_of(zoo.Registry.discover(), "architecture"))],
        "datasets": zoo.list_datasets(),
        "analyzers": zoo.list_analyzers(),
        "recipes": zoo.list_recipes(),
        "weights": zoo.list_weights(),
        "tasks": [*zoo.Registry.discover().tasks],
        "exporters": ["onnx", "pt2"],
        "trackers": ["tensorboard", "mlflow", "trackio", "wandb"],
    }
    pages = [f"{kind}/{name.replace('+', '-plus')}" for kind, names in listed.items() for name in names]
    assert len(pages) > 90
    assert exists(site / "gallery", "", *pages) == []


def test_every_public_class_has_a_page(site: Path) -> None:
    classes = [name for name in zoo.__all__ if isinstance(getattr(zoo, name), type)]
    assert (
        exists(site / "reference/api/zoo", "", *(name for name in classes if not name.startswith("_"))) == []
    )
    assert (
        exists(site / "reference/api", "zoo.interfaces/Task", "zoo.plugin/Card", "zoo.cli.kit/Session") == []
    )


def test_the_page_of_a_class_has_its_methods(site: Path) -> None:
    text = (site / "reference/api/zoo/Model/index.html").read_text(encoding="utf-8")
    assert [
        name for name in ("predict", "evaluate", "analyze") if f'id="zoo.api.model.Model.{name}"' not in text
    ] == []


def test_every_link_leads_somewhere(site: Path) -> None:
    assert broken_links(site) == []


def test_no_path_of_this_machine_is_in_a_page(site: Path) -> None:
    assert [str(path) for path in site.rglob("*.html") if str(ROOT) in path.read_text(encoding="utf-8")] == []


@pytest.fixture
def visits(browser: Any, served: Served) -> Any:
    """Return a function that opens a page, whose requests and errors must be none but the site's own."""
    asked: list[str] = []
    errors: list[str] = []

    def visit(path: str, *, width: int = 1440, scheme: str = "light") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{served.url}{path}", wait_until="networkidle")
        return page

    yield visit
    assert asked
    assert [
        url for url in asked if not url.startswith((f"{served.url}/", "data:", f"blob:{served.url}/"))
    ] == []
    assert errors == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_no_other_host_for_anything(visits: Any, path: str) -> None:
    page = visits(path)
    page.mouse.wheel(0, 20_000)
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").count() == 1


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: `bash .ci/tools`")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(visits: Any, path: str, width: int, scheme: str) -> None:
    page = visits(path, width=width, scheme=scheme)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document)")
    assert len(found["passes"]) > 15
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious] == []


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_a_phone(visits: Any, path: str) -> None:
    page = visits(path, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("keys", ["Control+k", "/"])
def test_search_finds_a_page_and_is_loaded_only_then(visits: Any, served: Served, keys: str) -> None:
    page = visits("/")
    assert "/search.json" not in served.sent
    page.keyboard.press(keys)
    page.get_by_role("combobox").fill("resnet20")
    page.get_by_role("option").first.wait_for()
    assert "/search.json" in served.sent
    assert page.get_by_role("option").filter(has_text="resnet20").count() >= 1


def test_search_finds_the_page_that_answers_first(visits: Any) -> None:
    from playwright.sync_api import expect

    page = visits("/")
    page.keyboard.press("Control+k")
    first = page.locator("[role=option]").first
    for words, path in SEARCHES.items():  # each leads to a different page, so that old results cannot pass
        page.get_by_role("combobox").fill(words)
        expect(first).to_have_attribute("href", re.compile(rf"{path}\?h="), timeout=30_000)


def test_search_leaves_out_the_pages_of_contributors_and_of_single_classes(site: Path) -> None:
    items = json.loads((site / "search.json").read_text(encoding="utf-8"))["items"]
    pages = [item["location"] for item in items]
    out = ("benchmarks/", "contributing/", "project/contributing/", "reference/api/", "source/")
    assert [page for page in pages if page.startswith(out)] == []
    assert len(pages) > 500


def test_an_unknown_address_leads_on(visits: Any) -> None:
    page = visits("/404.html")
    links = page.locator("article p a")
    assert [urlsplit(link.get_attribute("href")).path for link in links.all()] == ["/", "/documentation/"]


def test_a_name_in_the_first_column_of_a_table_is_on_one_line(visits: Any) -> None:
    cell = visits("/reference/options/").locator("td:first-child code", has_text="grad_accum_steps").first
    assert cell.evaluate("(code) => code.getClientRects().length") == 1


def test_the_scheme_is_the_systems_until_it_is_chosen(visits: Any) -> None:
    page = visits("/", scheme="dark")
    scheme = "document.body.dataset.mdColorScheme"
    assert page.evaluate(scheme) == "slate"
    page.locator("label[title='Switch to light mode']").click()
    assert page.evaluate(scheme) == "default"
    page.reload()
    assert page.evaluate(scheme) == "default"


def test_the_home_page_is_light(browser: Any, site: Path) -> None:
    loaded = first_load(browser)
    assert "/" in loaded
    assert sum(loaded.values()) < 300_000
