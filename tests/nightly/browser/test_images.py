"""Images: probabilities, heat maps with any method, and files that are no images."""

from __future__ import annotations

import io
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

import zoo
from tests.nightly.browser.serving import Server
from tests.nightly.browser.visits import Visit, noise
from zoo.files import style

SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="parent.hacked = 1">
<script>parent.hacked = 1; fetch("http://example.com/")</script></svg>"""


def probabilities(page: Any) -> list[tuple[str, str]]:
    """Return the classes and percentages that are shown."""
    rows = page.locator(".bars tr").all_inner_texts()
    return [tuple(row.split()[:2]) for row in rows]


def shown(page: Any, label: str) -> Any:
    """Wait for a heat map whose description contains something."""
    canvas = page.locator(f'canvas[aria-label*="{label}"]')
    canvas.wait_for()
    return canvas


@pytest.mark.slow
def test_a_dropped_image_is_answered_as_the_api_does(visit: Visit, server: Server) -> None:
    page = visit.open("cifar10-resnet20")
    visit.give(("cat.png", noise()))
    shown(page, "grad-cam of cat.png: evidence for")
    files = {"input": ("cat.png", noise())}
    asked = {"model": "cifar10-resnet20", "top": "5"}
    (row,) = httpx2.post(f"{server.url}/predict", files=files, data=asked).json()
    expected = [(one["class"], f"{100 * one['probability']:.1f}%") for one in row["predictions"]]
    assert probabilities(page) == expected
    assert page.locator("#live").inner_text() == "grad-cam is done."
    widths = page.locator(".bars i").evaluate_all(
        "(bars) => bars.map((b) => b.style.getPropertyValue('--share'))"
    )
    assert [float(width) for width in widths] == [one["probability"] for one in row["predictions"]]
    page.get_by_label("Top").fill("2")
    page.get_by_label("Top").press("Enter")
    visit.until("document.querySelectorAll('.bars tr').length === 2")
    assert probabilities(page) == expected[:2]


@pytest.mark.slow
def test_the_overlay_is_that_of_the_command_and_the_slider_fades_it(visit: Visit, tmp_path: Any) -> None:
    content = noise(3, side=64)
    (tmp_path / "cat.png").write_bytes(content)
    expected = zoo.load("cifar10-resnet20").analyze("grad-cam", tmp_path / "cat.png", progress=False)
    page = visit.open("cifar10-resnet20")
    visit.give(("cat.png", content))
    shown(page, "grad-cam of cat.png")
    ours = Image.fromarray(visit.canvas().astype(np.uint8)).resize((224, 224), Image.Resampling.BOX)
    theirs = np.asarray(expected.overlay(0).convert("RGB")).astype(int)
    assert np.abs(np.asarray(ours).astype(int) - theirs).mean() < 3
    slider = page.get_by_label("Map opacity")
    images = {}
    for percent in ("0", "100"):
        slider.fill(percent)
        images[percent] = visit.canvas()
        assert page.locator(".heat output").inner_text() == f"{percent}%"
    plain = np.asarray(Image.open(io.BytesIO(content)).resize((448, 448), Image.Resampling.BICUBIC)).astype(
        int
    )
    assert np.abs(images["0"] - plain).mean() < 3
    assert np.abs(images["100"] - images["0"]).max() > 100


def test_the_colors_are_those_of_zoo(visit: Visit) -> None:
    from matplotlib import colormaps

    page = visit.open()
    ours = page.evaluate(
        "async () => { const { color } = await import('./heat.js');"
        " return Array.from({ length: 101 }, (_, n) => color(n / 100)) }"
    )
    theirs = colormaps[style.HEAT](np.linspace(0, 1, 101))[:, :3] * 255
    assert np.abs(np.array(ours) - theirs).max() < 8


def test_the_method_its_class_and_its_options_are_chosen(visit: Visit) -> None:
    page = visit.open("cifar10-resnet20")
    visit.give(("cat.png", noise()))
    shown(page, "grad-cam of cat.png")
    before = visit.canvas()
    page.get_by_label("Method").select_option("layer-cam")
    shown(page, "layer-cam of cat.png")
    assert np.abs(visit.canvas() - before).max() > 0
    page.get_by_label("Class to explain").select_option("frog")
    shown(page, "layer-cam of cat.png: evidence for frog")
    page.locator(".inside summary").click()
    with page.expect_response("**/analyze") as answer:
        page.get_by_label("flips").check()
    assert answer.value.json()["options"] == {"flips": True}
    page.get_by_role("combobox", name="Layer").fill("nowhere")
    page.get_by_role("combobox", name="Layer").blur()
    page.get_by_text("The model has no l").wait_for()
    visit.forgiven.add("status of 400")
    with page.expect_response("**/analyze") as answer:
        assert page.locator("datalist option").first.get_attribute("value") == "features"
        page.get_by_role("combobox", name="Layer").fill("features")
        page.get_by_role("combobox", name="Layer").blur()
    assert answer.value.json()["layer"] == "stages"
    page.get_by_label("Method").select_option("eigen-cam")
    shown(page, "eigen-cam of cat.png")
    assert not page.get_by_label("Class to explain").is_visible()
    page.get_by_label("Method").select_option("score-cam")
    size = page.get_by_label("batch size")
    assert (size.input_value(), size.get_attribute("min")) == ("128", "1")
    assert "images" in page.locator("#about-batch_size").inner_text()


def test_an_option_of_a_type_of_its_own_is_json(visit: Visit) -> None:
    def with_sizes(route: Any) -> None:
        answer = route.fetch()
        listed = answer.json()
        for model in listed:
            for analyzer in model["analyzers"]:
                sizes = {"name": "sizes", "type": "other", "default": [1, 2], "help": "Sizes of it."}
                analyzer["options"].append(sizes)
        route.fulfill(response=answer, json=listed)

    visit.page.route("**/models", with_sizes)
    page = visit.open("cifar10-resnet20")
    visit.give(("cat.png", noise()))
    shown(page, "grad-cam of cat.png")  # what is as it is by default is not sent
    page.locator(".inside summary").click()
    field = page.get_by_label("sizes")
    assert field.input_value() == "[1,2]"
    assert page.locator("#about-sizes").inner_text() == "Sizes of it. (JSON)"
    visit.forgiven.add("status of 400")
    for typed, sent in (("[3, 4]", '{"sizes":[3,4]}'), ("3,4", '{"sizes":"3,4"}')):
        with page.expect_request("**/analyze") as asked:
            field.fill(typed)
            field.blur()
        assert sent in (asked.value.post_data or "")
        page.get_by_text("sizes").last.wait_for()


def test_an_analyzer_that_draws_shows_its_figure(visit: Visit) -> None:
    page = visit.open("cifar10-resnet20")
    visit.give(("cat.png", noise()))
    page.get_by_label("Method").select_option("activations")
    figure = page.get_by_role("img", name="activations of cat.png")
    figure.wait_for()
    assert figure.evaluate("(image) => image.naturalWidth") > 100


def test_several_images_are_a_strip(visit: Visit) -> None:
    page = visit.open("cifar10-resnet20")
    page.get_by_label("Choose images").set_input_files(
        [{"name": f"{n}.png", "mimeType": "image/png", "buffer": noise(n)} for n in range(3)]
    )
    visit.give(("pasted.png", noise(9)), how="paste")
    shown(page, "of pasted.png")
    strip = page.get_by_role("list", name="Images")
    visit.until("!document.querySelector('.strip').textContent.includes('…')")
    assert strip.get_by_role("button").count() == 5
    strip.get_by_role("button", name="1.png").click()
    shown(page, "of 1.png")
    assert strip.get_by_role("button", pressed=True).inner_text().startswith("1.png")
    page.get_by_role("link", name="shapes-tiny").click()
    shown(page, "of 1.png: evidence for")
    shapes = page.locator(".classes li").all_inner_texts()
    assert {name for name, _ in probabilities(page)} <= {*shapes}
    strip.get_by_role("button", name="Clear").click()
    assert not strip.is_visible()
    assert not page.locator(".answer").is_visible()


def test_each_image_is_asked_for_once_and_again_if_top_changes(visit: Visit) -> None:
    page = visit.open("cifar10-resnet20")
    for number in range(4):
        visit.give((f"{number}.png", noise(number)))
    visit.until("!document.querySelector('.strip').textContent.includes('…')")
    shown(page, "of 3.png")
    predicted = [url for url in visit.requests if url.endswith("/predict")]
    assert len(predicted) == 4
    page.get_by_label("Top").fill("0")
    page.get_by_label("Top").blur()  # refused by the browser
    page.get_by_label("Top").fill("10")
    page.get_by_label("Top").blur()
    visit.until("document.querySelectorAll('.bars tr').length === 10")


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [
        ("notes.png", "image/png", b"no image"),
        ("drawing.svg", "image/svg+xml", SVG),
        ("empty.png", "image/png", b""),
        ("<img src=x onerror=hacked=1>.png", "image/png", b"<script>hacked = 1</script>"),
    ],
)
def test_what_is_no_image_is_told_and_does_nothing(
    visit: Visit, name: str, kind: str, content: bytes
) -> None:
    page = visit.open("cifar10-resnet20")
    visit.give((name, content), kind=kind)
    problem = page.locator(".images > .problem")
    problem.get_by_role("strong").wait_for()
    assert "cannot" in problem.inner_text() or "unknown" in problem.inner_text()
    assert name in page.get_by_role("list", name="Images").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator('img[src="x"]').count() == 0
    visit.give(("cat.png", noise()))  # the page goes on
    shown(page, "of cat.png")
    assert problem.text_content() == ""


def test_an_image_may_have_any_name(visit: Visit) -> None:
    name = "<img src=x onerror=hacked=1>.png"
    page = visit.open("cifar10-resnet20")
    visit.give((name, noise()))
    page.locator(".heat canvas").wait_for()
    assert page.locator(".bars caption").inner_text() == name
    assert page.locator(".heat canvas").get_attribute("aria-label").startswith(f"grad-cam of {name}: ")
    assert page.evaluate("window.hacked") is None
