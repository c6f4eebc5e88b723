"""What the two lessons show of a live model, on the served page and on the page without a server."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import zoo
from tests.nightly.browser.test_static import IMAGES, TEXTS, as_file, call, squares
from tests.nightly.browser.visits import Visit

# The fixture `site` exports three models
pytestmark = pytest.mark.timeout(600)

TOKENS = ".written .token.unit"
BLUE, ORANGE = "0, 114, 178", "213, 94, 0"


@pytest.fixture(params=["visit", "tried"])
def either(request: pytest.FixtureRequest) -> Visit:
    """Return a visit to the served page, and one to the static page."""
    return request.getfixturevalue(request.param)


def unit_values(text: str, unit: int) -> list[float]:
    """Return the values of a unit after each token of a text, as the analyzer `hidden-units` finds them."""
    model = zoo.load(TEXTS)
    (row,) = model.features([text], pool=False, progress=False)
    values = row["features"][:, unit].astype(float)
    found = model.analyze("hidden-units", text, progress=False).analysis.tables["units"][unit]
    read = values[:-1]  # the analyzer only predicts the last token
    assert [read.mean(), read.std()] == pytest.approx([found["mean"], found["std"]], abs=1e-4)
    return values.tolist()


def generate(page: Any, prompt: str) -> str:
    """Generate a short text, and return all that is shown."""
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_role("slider", name="Length").fill("40")
    page.get_by_role("button", name="Generate").click()
    page.locator('.written[aria-busy="false"] .token').first.wait_for()
    return page.locator(".written").evaluate("(node) => node.textContent")


def shown(page: Any, unit: int) -> list[float]:
    """Wait for the values of a unit, and return them."""
    page.locator(".unit-range", has_text=f"Unit {unit} (0 to 255): ").wait_for()
    return page.locator(TOKENS).evaluate_all("(nodes) => nodes.map((node) => Number(node.dataset.value))")


@pytest.mark.parametrize(("prompt", "before"), [("The will ", ""), ("", "\n")])
def test_a_text_is_colored_by_a_hidden_unit(either: Visit, prompt: str, before: str) -> None:
    page = either.open(TEXTS)
    text = before + generate(page, prompt).lower()
    page.get_by_label("Color by").select_option("hidden unit")
    assert shown(page, 0) == pytest.approx(unit_values(text, 0), abs=1e-4)
    assert page.locator(".written").evaluate("(node) => node.textContent") == text
    page.get_by_role("button", name="Next unit").click()
    values = shown(page, 1)
    assert values == pytest.approx(unit_values(text, 1), abs=1e-4)
    style = "(nodes) => nodes.map((node) => getComputedStyle(node).backgroundColor)"
    for value, color in zip(values, page.locator(TOKENS).evaluate_all(style), strict=True):
        *_, alpha = color.strip("rgba()").split(",")
        assert (BLUE if value < 0 else ORANGE) in color
        assert float(alpha) == pytest.approx(0.6 * abs(value) / max(map(abs, values)), abs=0.01)
    for button, unit in (("Previous unit", 0), ("Previous unit", 255), ("Next unit", 0)):
        page.get_by_role("button", name=button).click()
        shown(page, unit)


def test_units_are_chosen_by_keyboard_and_their_values_are_told(either: Visit) -> None:
    page = either.open(TEXTS)
    page.get_by_label("Color by").select_option("hidden unit")
    generate(page, "the will ")
    shown(page, 0)
    page.locator(".written").focus()
    for key, unit in (("n", 1), ("n", 2), ("p", 1)):
        page.keyboard.press(key)
        values = shown(page, unit)
    page.keyboard.press("ArrowRight")
    said = f"“t”: {values[0]:.3g}".replace("-", "−")[:9]
    assert page.locator("#live").inner_text().startswith(said)
    page.locator(TOKENS).nth(1).hover()
    assert page.locator(".sampling .told").inner_text().startswith("“h”: ")
    page.get_by_role("spinbutton", name="Hidden unit").fill("300")
    assert shown(page, 1) == values  # there is none


def test_texts_are_compared_in_a_table(either: Visit) -> None:
    page = either.open(TEXTS)
    page.get_by_label("Prompt").fill("the will ")
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_role("textbox", name="Temperatures").fill("0, 0.5; 1.3")
    page.get_by_label("Values of top-p").fill("0.7 1")
    page.get_by_label("Tokens in each text").fill("50")
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("6 texts with seed 7.").last.wait_for()
    model = zoo.load(TEXTS)
    same: Any = {"seed": 7, "max_new_tokens": 50, "progress": False}
    cells = page.locator(".texts td").evaluate_all("(cells) => cells.map((cell) => cell.textContent)")
    for (temperature, top_p), cell in zip(product((0, 0.5, 1.3), (0.7, 1)), cells, strict=True):
        assert cell == str(model.sample("the will ", temperature=temperature, top_p=top_p, **same))
    page.get_by_label("Tokens in each text").fill("1000")
    page.get_by_role("button", name="Compare").click()
    page.locator('.texts[aria-busy="true"] td:not(:empty)').first.wait_for()
    page.get_by_role("button", name="Stop comparing").click()
    page.locator("#view").get_by_text("Stopped.").wait_for()
    assert page.locator(".texts td:empty").count() > 0
    field = page.get_by_role("textbox", name="Temperatures")
    field.fill("0.5, warm")
    said = "Enter 1 to 4 numbers from 0 to 2, separated by commas."
    assert field.evaluate("(field) => field.validationMessage") == said


def test_the_terms_of_a_class_activation_map(either: Visit) -> None:
    (content,) = squares(1)
    page, model = either.open(IMAGES), zoo.load(IMAGES)
    either.give(("cat.png", content))
    page.get_by_label("Method").select_option("cam")
    page.get_by_label("Class to explain").select_option("frog")
    page.locator('.sum[aria-label*="of frog"]').wait_for()
    found = call(page, "features", {"model": IMAGES, "input": as_file(content), "className": "frog"})
    (row,) = model.features([content], pool=False, progress=False)
    np.testing.assert_allclose(found["features"], row["features"], atol=1e-4)
    terms = call(page, "termsOf", found["features"], found["weights"], module="./terms.js")
    cam = model.analyze("cam", [content], classes=["frog"], progress=False).analysis.maps
    assert cam is not None
    np.testing.assert_allclose(terms["sum"], cam[0, 0], atol=1e-4)
    weights = model.module.get_parameter("out.weight")[model.classes.index("frog")].detach().numpy()
    products = weights * row["features"].mean((1, 2))
    channel = int(products.argmax())
    caption = page.locator(".tiles figcaption").nth(1).inner_text()
    assert caption.startswith(f"channel {channel} × {weights[channel]:.3f}"[:-1])
    assert f"adds {products[channel]:.2f}"[:-1] in page.locator(".terms p").inner_text()
    page.locator(".inside summary").click()
    page.get_by_label("flips").check()  # then the map is the mean of two sums
    page.locator(".terms").wait_for(state="detached")
