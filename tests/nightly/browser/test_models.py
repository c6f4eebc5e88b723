"""The models: a list, the card, the curves, and addresses that name them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.nightly.browser.visits import Visit


@pytest.mark.slow
def test_each_model_is_listed_with_its_primary_metric(visit: Visit) -> None:
    page = visit.open()
    links = page.get_by_role("navigation").get_by_role("link")
    assert [link.split("\n")[0] for link in links.all_inner_texts()] == [
        "cifar10-resnet20",
        "nietzsche-rnn",
        "shapes-tiny",
    ]
    assert "91.52%" in links.first.inner_text()
    assert "1.413 nats" in links.nth(1).inner_text()


def test_the_card_is_shown(visit: Visit) -> None:
    page = visit.open("cifar10-resnet20")
    card = page.get_by_role("region", name="About this model")
    text = page.locator("main").inner_text()
    for fact in ("convnet/resnet20", "images/cifar10", "269,722 parameters", "91.52%", "0.2764 nats"):
        assert fact in text
    assert "40 epochs, 3,920 steps, seed 0" in card.inner_text()
    assert card.get_by_role("listitem").all_inner_texts()[:2] == ["airplane", "automobile"]
    card.get_by_text("Training configuration").click()
    assert "warmup-stable-decay" in card.inner_text()
    assert card.locator("svg").count() == 0  # without a run directory there are no curves


def test_the_model_card_opens_with_its_style(visit: Visit) -> None:
    page = visit.open("shapes-tiny")
    page.get_by_role("link", name="Model card").click()
    page.get_by_role("heading", name="Verify and reproduce").wait_for()
    assert (page.url, page.title()) == (f"{visit.url}/card?model=shapes-tiny", "shapes-tiny")
    assert page.evaluate("getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"
    assert page.evaluate("document.querySelector('img').naturalWidth") > 400


def test_with_a_token_the_model_card_opens_in_the_page(visit: Visit) -> None:
    visit.open("token=0123456789abcdef&nietzsche-rnn")
    visit.page.get_by_role("link", name="Model card").click()
    card = visit.page.frame_locator("iframe.page")
    card.get_by_role("heading", name="Verify and reproduce").wait_for()
    assert card.locator("table").first.evaluate("(one) => getComputedStyle(one).borderCollapse") == "collapse"
    assert visit.page.url == f"{visit.url}/#nietzsche-rnn"


def test_the_address_names_the_model(visit: Visit) -> None:
    page = visit.open()
    heading = page.locator("main h1")
    assert heading.inner_text() == "cifar10-resnet20"
    page.get_by_role("link", name="nietzsche-rnn").click()
    page.get_by_role("heading", name="Generate text").wait_for()
    assert (page.url, page.title()) == (f"{visit.url}/#nietzsche-rnn", "nietzsche-rnn · zoo")
    assert page.locator("[aria-current=page]").inner_text().startswith("nietzsche-rnn")
    page.go_back()
    page.get_by_role("heading", name="Try it on an image").wait_for()
    visit.page.goto("about:blank")
    visit.open("shapes-tiny")
    assert heading.inner_text() == "shapes-tiny"
    page.goto(f"{visit.url}/#<b>nobody")
    page.get_by_role("heading", name="Unknown model").wait_for()
    assert "“<b>nobody”" in page.locator("main").inner_text()


def test_the_curves_are_those_of_the_run(visit: Visit, run: Path) -> None:
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    page = visit.open("shapes-tiny")
    curves = page.get_by_role("region", name="Learning curves")
    loss = curves.get_by_role("img").nth(1)
    assert loss.get_attribute("aria-label").startswith("loss by epoch: train from")
    heights = loss.evaluate(
        "(svg) => [...svg.querySelectorAll('circle.val')].map((dot) => dot.cy.baseVal.value)"
    )
    losses = [row["val"]["loss"] for row in history]
    assert len(heights) == len(losses)
    rank = sorted(range(len(losses)), key=losses.__getitem__)
    assert rank == sorted(range(len(losses)), key=lambda n: -heights[n])  # lower is further down
    curves.get_by_text("Metrics as a table").click()
    rows = curves.get_by_role("row").all_inner_texts()
    assert len(rows) == 1 + len(history)
    assert f"{history[-1]['val']['loss']:.4g}".rstrip("0") in rows[-1]
    assert f"{100 * history[-1]['val']['accuracy']:.2f}%" in rows[-1]


def test_curves_fit_the_width_that_there_is(visit: Visit) -> None:
    page = visit.open("shapes-tiny")
    drawn = (
        "(svg) => Math.max(...[...svg.querySelectorAll('text')].map((t) => t.getBoundingClientRect().right))"
    )
    for width in (1440, 360):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(100)
        for svg in page.locator(".chart svg").all():
            assert svg.evaluate(drawn) <= width
