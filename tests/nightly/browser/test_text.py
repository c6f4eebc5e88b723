"""Text: it streams in with its surprisal, can be stopped, and a text of the user's own is scored."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import zoo
from tests.nightly.browser.visits import Visit
from zoo.registry.registry import Registry

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
import uvicorn

from zoo.cli.serve import _listening, _url
from zoo.tools.serve.app import create_app
from zoo.tools.serve.served_models import named

DONE = '.written[aria-busy="false"]'


@pytest.mark.slow
def test_a_text_streams_in_and_is_that_of_the_command(visit: Visit) -> None:
    page = visit.open("nietzsche-rnn")
    page.get_by_label("Prompt").fill("the will § ")
    page.get_by_role("slider", name="Temperature").fill("1.2")
    page.get_by_role("slider", name="Top-p").fill("0.9")
    page.get_by_role("slider", name="Length").fill("80")
    page.get_by_label("Top-k").fill("20")
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_label("Stop before").fill("zzz")
    page.get_by_role("button", name="Generate").click()
    page.locator(DONE).wait_for()
    asked: Any = {
        "max_new_tokens": 80,
        "temperature": 1.2,
        "top_p": 0.9,
        "top_k": 20,
        "seed": 7,
        "stop": "zzz",
    }
    model = zoo.load("nietzsche-rnn")
    expected = [*model.sample("the will § ", **asked).stream()]
    written = page.locator(".written")
    assert written.evaluate("(node) => node.textContent") == "the will § " + "".join(t for t, _ in expected)
    given = written.locator(".token").evaluate_all("(nodes) => nodes.map((n) => Number(n.dataset.surprisal))")
    assert given == pytest.approx([nats for _, nats in expected])
    told = page.locator(".told").inner_text()
    mean = sum(nats for _, nats in expected) / 80
    assert f"mean surprisal {mean:.3g} nats" in told
    assert "tokens that are not in the model's vocabulary are read as <unk>: “§”" in told
    assert page.locator("#live").inner_text() == told


def test_surprisal_is_color_with_a_legend_and_an_underline(visit: Visit) -> None:
    page = visit.open("nietzsche-rnn")
    page.get_by_role("slider", name="Temperature").fill("1.5")
    page.get_by_role("slider", name="Length").fill("200")
    page.get_by_role("button", name="Generate").click()
    page.locator(DONE).wait_for()
    tokens = page.locator(".written .token")
    style = """(nodes) => nodes.map((node) => {
      const { backgroundColor, textDecorationLine } = getComputedStyle(node);
      const alpha = backgroundColor.match(/[0-9.]+(?=\\))/)[0];
      const opacity = backgroundColor.startsWith("rgb(") ? 1 : Number(alpha);
      return [Number(node.dataset.surprisal), opacity, textDecorationLine];
    })"""
    for nats, alpha, line in tokens.evaluate_all(style):
        assert alpha == pytest.approx(min(nats / 6, 1), abs=0.01)
        assert line == ("underline" if nats >= 3 else "none")
    assert page.locator(".legend li").all_inner_texts() == ["0", "1", "2", "3", "4", "5", "6+"]
    page.get_by_label("Color by").select_option("nothing")
    assert {alpha for _, alpha, _ in tokens.evaluate_all(style)} == {0}
    assert not page.locator(".legend").is_visible()
    page.locator(".written").focus()
    page.keyboard.press("ArrowRight")
    first = float(tokens.first.get_attribute("data-surprisal"))
    assert f"{first:.3g}"[:4] in page.locator(".told").inner_text()
    assert "nats, probability" in page.locator("#live").inner_text()


class Endless:
    """A language model that never ends; it counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.generated = self.ended = 0
        monkeypatch.setattr(zoo.Texts, "stream", self)

    def __call__(self, *_: Any, **__: Any) -> Iterator[tuple[str, float]]:
        try:
            while True:
                self.generated += 1
                time.sleep(0.002)
                yield "<b>", 1.0
        finally:
            self.ended += 1


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Endless]]:
    """Return the address of a server in this process, and its model."""
    model = Endless(monkeypatch)
    served = named([("nietzsche-rnn", zoo.load("nietzsche-rnn"))], Registry.discover())
    with _listening("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(served), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield _url(listening), model
        server.should_exit = True
        thread.join()
    served[0].worker.close()


@pytest.mark.parametrize("how", ["button", "another model", "closed"])
def test_a_text_that_is_stopped_is_not_computed_any_further(
    browser: Any, endless: tuple[str, Endless], how: str
) -> None:
    url, model = endless
    with Visit(browser, url) as visit:
        page = visit.open()
        page.get_by_role("button", name="Generate").click()
        visit.until("document.querySelectorAll('.written .token').length > 20")
        assert model.ended == 0
        if how == "button":
            page.get_by_role("button", name="Stop", exact=True).click()
            page.locator("#view").get_by_text("Stopped after").wait_for()
            assert page.locator(".written b").count() == 0
            assert page.get_by_role("button", name="Generate").is_enabled()
        elif how == "another model":
            page.goto(f"{url}/#nobody")
        else:
            page.close()
        until = time.monotonic() + 10
        while not model.ended and time.monotonic() < until:
            time.sleep(0.01)
        generated = model.generated
        time.sleep(0.1)
        assert (model.ended, model.generated) == (1, generated)
        visit.check()


def test_a_text_of_ones_own_is_scored_and_looked_into(visit: Visit) -> None:
    text = "what does not kill me\nmakes me <b>stronger</b>."
    page = visit.open("nietzsche-rnn")
    page.get_by_label("Your text").fill(text)
    page.get_by_role("button", name="Score").click()
    page.locator(".scores dd").first.wait_for()
    (row,) = zoo.load("nietzsche-rnn").predict([text], progress=False)
    (scores,) = row["predictions"]
    said = page.locator(".scores").inner_text()
    for number in (
        f"{scores['loss']:.4g} nats",
        f"{scores['bits_per_char']:.4g}",
        f"{scores['perplexity']:.4g}",
    ):
        assert number in said
    page.get_by_label("Method").select_option("surprisal")
    page.get_by_role("button", name="Look inside").click()
    frame = page.get_by_title("surprisal of the text")
    frame.wait_for()
    assert frame.get_attribute("sandbox") == "allow-same-origin"  # so that no script runs
    inside = page.frame_locator("iframe")
    inside.get_by_role("heading", name="What surprises the model").wait_for()
    background = "(node) => getComputedStyle(node).backgroundColor"
    assert inside.locator("pre span").nth(1).evaluate(background).startswith("rgba(255, 60, 30")


def test_an_error_of_the_api_is_shown_beside_the_form_and_the_input_stays(visit: Visit) -> None:
    visit.forgiven.add("status of 400")
    page = visit.open("nietzsche-rnn")
    page.get_by_label("Your text").fill("a")
    page.get_by_label("Method").select_option("surprisal")
    page.get_by_role("button", name="Look inside").click()
    problem = page.locator(".inside .problem")
    problem.get_by_role("strong").wait_for()
    assert "token" in problem.inner_text()
    assert page.get_by_label("Your text").input_value() == "a"


def test_small_things(visit: Visit) -> None:
    visit.allow("clipboard-read", "clipboard-write")
    page = visit.open("nietzsche-rnn")
    seed = page.get_by_label("Seed", exact=True)
    page.get_by_role("button", name="New seed").click()
    assert seed.input_value() != "0"
    page.get_by_role("slider", name="Length").fill("40")
    page.get_by_label("Prompt").fill("so it ")
    page.get_by_label("Prompt").press("Control+Enter")
    page.locator(DONE).wait_for()
    page.get_by_role("button", name="Copy").click()
    page.locator("#view").get_by_text("Copied.").wait_for()
    written = page.locator(".written").evaluate("(node) => node.textContent")
    assert page.evaluate("navigator.clipboard.readText()") == written
    page.get_by_role("link", name="cifar10-resnet20").click()
    page.get_by_role("link", name="nietzsche-rnn").click()
    assert page.get_by_label("Prompt").input_value() == "so it "
    assert page.get_by_role("slider", name="Length").input_value() == "40"
