"""Everybody can use the page: by keyboard, with a screen reader, in light and dark, on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.nightly.browser.serving import Server
from tests.nightly.browser.visits import Visit, noise

ROOT = Path(__file__).parents[3]
AXE = ROOT / ".venv/node_modules/axe-core/axe.min.js"


def use(visit: Visit, model: str) -> Any:
    """Use a model, so that everything that the page can show of it is there."""
    page = visit.open(model)
    if model == "nietzsche-rnn":
        page.get_by_role("slider", name="Temperature").fill("1.3")
        page.get_by_role("button", name="Generate").click()
        page.locator('.written[aria-busy="false"] .token').first.wait_for()
        page.get_by_label("Your text").fill("the long text\n" * 3)
        page.get_by_role("button", name="Score").click()
        page.locator(".scores dd").first.wait_for()
        page.get_by_label("Method").select_option("surprisal")
        page.get_by_role("button", name="Look inside").click()
        page.locator("iframe").wait_for()
        use_lessons(page)
    else:
        visit.give(("a long name of an image without an end.png", noise()), ("b.png", b"no image"))
        page.locator(".heat canvas").wait_for()
        if model == "cifar10-resnet20":
            page.get_by_label("Method").select_option("cam")
            page.locator(".terms").wait_for()
    for closed in page.locator("details:not([open]) > summary").all():
        if closed.is_visible():
            closed.click()
    return page


def use_lessons(page: Any) -> None:
    """Color the generated text by a hidden unit, and compare texts."""
    page.get_by_label("Color by").select_option("hidden unit")
    page.locator(".written .token.unit").first.wait_for()
    page.get_by_label("Tokens in each text").fill("20")
    page.get_by_label("Values of top-p").fill("0.5, 0.7, 0.9, 1")
    page.get_by_role("button", name="Compare").click()
    page.locator('.texts[aria-busy="false"] td').first.wait_for()


@pytest.mark.skipif(
    not AXE.exists(), reason="axe-core is not installed: `npm install --prefix .venv axe-core`"
)
@pytest.mark.parametrize("model", ["cifar10-resnet20", "nietzsche-rnn", "shapes-tiny", "nobody"])
def test_axe_finds_nothing_in_light_and_dark(browser: Any, server: Server, model: str) -> None:
    with Visit(browser, server.url, reduced_motion="reduce") as visit:
        page = visit.open(model) if model == "nobody" else use(visit, model)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate("axe.run(document, { iframes: false })")
            assert len(found["passes"]) > 15
            said = [(one["impact"], one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
            assert said == [], scheme
        visit.check()


@pytest.mark.parametrize("model", ["cifar10-resnet20", "nietzsche-rnn", "shapes-tiny"])
def test_nothing_is_wider_than_the_window(visit: Visit, model: str) -> None:
    page = use(visit, model)
    for width in (1440, 1280, 768, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width


def tab_to(page: Any, what: str, *, most: int = 60) -> None:
    """Press Tab until an element has the focus, and check that the focus can be seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(what) => document.activeElement.matches(what)", what):
            around = "(what) => { const e = document.activeElement; return [e, e.closest('.button') ?? e]"
            style = f"{around}.some((n) => getComputedStyle(n).outlineStyle !== 'none') }}"
            assert page.evaluate(style, what)
            return
    raise AssertionError(f"Tab does not come to {what}")


@pytest.fixture
def keys(visit: Visit) -> Visit:
    visit.page.goto(f"{visit.url}/")
    visit.page.locator("nav a").first.wait_for()
    return visit


@pytest.mark.slow
def test_an_image_is_looked_into_by_keyboard_alone(keys: Visit) -> None:
    page = keys.page
    page.on("filechooser", lambda _: None)  # so that Playwright is ready for it long before
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the model"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to(page, "input[type=file]")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files([{"name": "cat.png", "mimeType": "image/png", "buffer": noise()}])
    page.locator(".heat canvas").wait_for()
    tab_to(page, "select[name=analyzer]")
    page.keyboard.press("ArrowDown")
    page.locator('canvas[aria-label^="grad-cam++"]').wait_for()
    tab_to(page, ".opacity")
    before = keys.canvas()
    page.keyboard.press("Home")
    assert page.locator(".heat output").inner_text() == "0%"
    assert (keys.canvas() != before).any()


def test_a_text_is_generated_and_stopped_by_keyboard_alone(keys: Visit) -> None:
    page = keys.page
    tab_to(page, 'a[href="#nietzsche-rnn"]')
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Generate text").wait_for()
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to(page, "textarea[name=prompt]")
    page.keyboard.type("the will ")
    tab_to(page, "input[name=temperature]")
    page.keyboard.press("ArrowRight")
    assert page.locator("input[name=temperature] + output").inner_text() == "0.85"
    tab_to(page, "input[name=max_new_tokens]")
    page.keyboard.press("End")
    tab_to(page, ".generate")
    page.keyboard.press("Enter")
    page.locator(".written .token").first.wait_for()
    assert page.evaluate("document.activeElement.className") == "stop"
    page.keyboard.press("Enter")
    page.locator("#view").get_by_text("Stopped after").wait_for()
    assert "generate" in page.evaluate("document.activeElement.className")
    tab_to(page, ".written")
    page.keyboard.press("ArrowRight")
    assert "nats, probability" in page.locator(".told").inner_text()


def test_who_wants_less_motion_gets_none(browser: Any, server: Server) -> None:
    with Visit(browser, server.url, reduced_motion="reduce") as visit:
        page = visit.open()
        times = "() => [...document.querySelectorAll('*')].map((e) => getComputedStyle(e).transitionDuration)"
        assert {*page.evaluate(times)} == {"0s"}
        page.emulate_media(reduced_motion="no-preference")
        assert {*page.evaluate(times)} != {"0s"}
