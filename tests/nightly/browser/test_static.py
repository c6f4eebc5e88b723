"""The page without a server: exported models that the browser runs predict and generate as zoo does."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import zoo
from tests.nightly.browser.serving import FileServer
from tests.nightly.browser.test_accessible import AXE, use_lessons
from tests.nightly.browser.visits import Visit, noise
from zoo.data.image_files import as_image
from zoo.errors import ZooError

# The fixture `site` exports three models
pytestmark = pytest.mark.timeout(600)

IMAGES, TEXTS = "cifar10-resnet20", "nietzsche-rnn"
PROMPTS = ("the will ", "§ and ", "A", "what is\nnoble? ")
DONE = '.written[aria-busy="false"]'
GREEDY = {"max_new_tokens": 60, "temperature": 0, "top_k": 0, "top_p": 1, "seed": 0, "stop": ""}

# Call a function of the page's API, or of another module, with files made of base64
CALL = """
async ([module, name, given]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const file = ({ name, base64 }) => new File([bytes(base64)], name);
  const called = (await import("./api.js")).listModels().then(() => import(module));
  const values = given.map((one) => (one?.base64 === undefined ? one : file(one)));
  for (const one of values) if (one?.input?.base64 !== undefined) one.input = file(one.input);
  const result = (await called)[name](...values, new AbortController().signal);
  if (!result[Symbol.asyncIterator]) return result;
  const items = [];
  for await (const item of result) items.push(item);
  return items;
}
"""


def as_file(content: bytes, name: str = "x.png") -> dict[str, str]:
    return {"name": name, "base64": base64.b64encode(content).decode()}


def call(page: Any, name: str, *given: Any, module: str = "./api.js") -> Any:
    return page.evaluate(CALL, [module, name, [*given]])


def png(image: Image.Image, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **settings)
    return buffer.getvalue()


def squares(count: int) -> list[bytes]:
    """Return the first test images of CIFAR-10 as PNG files; without that, synthetic ones."""
    try:
        split = zoo.open_dataset("cifar10", progress=False).split("test")
    except ZooError:
        split = zoo.open_dataset("shapes", size=32, test_size=count, progress=False).split("test")
    return [png(Image.fromarray(split[n][0].permute(1, 2, 0).numpy())) for n in range(count)]


@pytest.fixture
def page(tried: Visit) -> Any:
    return tried.open(IMAGES)


@pytest.mark.slow
def test_images_are_predicted_as_zoo_does(page: Any) -> None:
    files = squares(20)
    expected = zoo.load(IMAGES).predict(files, top=10, progress=False)
    for content, row in zip(files, expected, strict=True):
        found = call(page, "predict", {"model": IMAGES, "input": as_file(content), "top": 10})
        assert (found["input"], found["error"]) == ("x.png", None)
        names = [[one["class"] for one in each["predictions"]] for each in (found, row)]
        shares = [[one["probability"] for one in each["predictions"]] for each in (found, row)]
        assert names[0] == names[1]
        assert shares[0] == pytest.approx(shares[1], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["the will § ", ""])
def test_a_greedy_text_is_that_of_the_command(tried: Visit, prompt: str) -> None:
    page = tried.open(TEXTS)
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_role("slider", name="Temperature").fill("0")
    page.get_by_role("slider", name="Length").fill("80")
    page.get_by_role("button", name="Generate").click()
    page.locator(f"{DONE} .token").first.wait_for()
    expected = [*zoo.load(TEXTS).sample(prompt, max_new_tokens=80, temperature=0).stream()]
    written = page.locator(".written")
    assert written.evaluate("(node) => node.textContent") == prompt + "".join(text for text, _ in expected)
    given = written.locator(".token").evaluate_all("(nodes) => nodes.map((n) => Number(n.dataset.surprisal))")
    assert given == pytest.approx([nats for _, nats in expected], abs=1e-4)
    told = page.locator(".told").inner_text()
    assert told.startswith("80 tokens in ")
    assert ("tokens that are not in the model's vocabulary are read as <unk>: “§”" in told) == bool(prompt)
    assert ("the prompt is empty, so the text begins after a newline" in told) == (not prompt)


@pytest.mark.slow
def test_the_runtime_and_a_model_are_downloaded_once_when_used(tried: Visit) -> None:
    def large() -> list[str]:
        urls = [url.removeprefix(f"{tried.url}/") for url in tried.requests]
        return sorted(url for url in urls if url.endswith((".wasm", ".onnx")) or url.startswith("runtime/"))

    page = tried.open(IMAGES)
    page.wait_for_load_state("networkidle")
    assert large() == []
    tried.give(("cat.png", noise()))
    page.locator(".heat canvas").wait_for()
    runtime = ["runtime/ort-wasm-simd-threaded.wasm", "runtime/ort.wasm.bundle.min.mjs"]
    assert large() == [f"models/{IMAGES}.onnx", *runtime]
    tried.give(("dog.png", noise(1)))
    page.locator('canvas[aria-label*="dog.png"]').wait_for()
    page.get_by_role("link", name=TEXTS).click()
    page.get_by_role("button", name="Generate").click()
    page.locator(f"{DONE} .token").first.wait_for()
    assert large() == [f"models/{IMAGES}.onnx", f"models/{TEXTS}.onnx", *runtime]


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def variants() -> dict[str, bytes]:
    """Return PNG files without transparency, of several sizes and modes, and with color profiles."""
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # the sRGB profile with the columns of red and green exchanged: what is applied shows
    swapped = profile.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")
    plain = png(image)
    shapes = {"wide": (40, 64), "tall": (101, 33), "odd": (35, 32), "small": (9, 20), "large": (700, 900)}
    return {
        "plain": plain,
        "gray": png(image.convert("L")),
        "palette": png(image.quantize(16)),
        "black and white": png(image.convert("1")),
        "opaque": png(image.convert("RGBA")),
        "profile": png(image, icc_profile=swapped),
        "gamma": plain[:33] + chunk(b"gAMA", struct.pack(">I", 100_000)) + plain[33:],
        **{
            name: png(Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)))
            for name, size in shapes.items()
        },
    }


@pytest.mark.parametrize("channels", [3, 1])
def test_the_pixels_of_a_png_are_those_of_zoo(page: Any, channels: int) -> None:
    for name, content in variants().items():
        asked = {"size": 32, "channels": channels}
        found = call(page, "pixelsOf", as_file(content), asked, module="./pixels.js")
        pixels = np.array(found).reshape(channels, 32, 32)
        expected = as_image(content, size=32, channels=channels).astype(int)
        assert np.abs(pixels - expected).max() == 0, name


def jpeg(side: int, orientation: int = 1) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(io.BytesIO(noise(5, side=side))).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def see_through() -> bytes:
    image = Image.open(io.BytesIO(noise(6, side=32)))
    image.putalpha(Image.linear_gradient("L").resize((32, 32)))
    return png(image)


def deep() -> bytes:
    return png(Image.fromarray(np.arange(1_024, dtype=np.uint16).reshape(32, 32) * 64))


@pytest.mark.parametrize(
    ("content", "most"),
    [(jpeg(32), 4), (jpeg(300), 4), (jpeg(90, orientation=6), 4), (see_through(), 2), (deep(), 1)],
    ids=["jpeg", "large jpeg", "rotated jpeg", "transparent", "16 bits"],
)
def test_other_images_differ_slightly(page: Any, content: bytes, most: int) -> None:
    found = call(page, "pixelsOf", as_file(content), {"size": 32, "channels": 3}, module="./pixels.js")
    pixels = np.array(found).reshape(3, 32, 32)
    assert np.abs(pixels - as_image(content, size=32, channels=3)).max() <= most


def shown(url: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L")).astype(
        int
    )


@pytest.mark.parametrize(
    ("classes", "options"),
    [([], {}), (["frog"], {}), (["ship"], {"flips": True}), (["frog"], {"rectify": False})],
)
def test_the_heat_map_is_that_of_cam(page: Any, classes: list[str], options: dict[str, bool]) -> None:
    (content,) = squares(1)
    expected = zoo.load(IMAGES).analyze("cam", [content], classes=classes, options=options, progress=False)
    asked = {"model": IMAGES, "input": as_file(content), "classes": classes, "options": options}
    found = call(page, "analyze", asked)
    (item,), (other,) = found["items"], expected.items
    assert item["map_of"] == other["map_of"]
    assert item["peak"] == pytest.approx(other["peak"], abs=1e-4)
    assert item["probability"] == pytest.approx(other["probability"], abs=1e-4)
    assert expected.analysis.maps is not None
    map_ = expected.analysis.maps[0, 0].numpy()
    low, high = map_.min(), map_.max()
    assert np.abs(shown(item["map"]) - 255 * (map_ - low) / (high - low)).max() <= 1
    image = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(int)
    assert np.abs(shown(found["image"]) - image).max() == 0


def test_only_a_network_with_class_maps_has_a_heat_map(tried: Visit) -> None:
    page = tried.open(IMAGES)
    tried.give(("cat.png", noise()))
    page.locator(".heat canvas").wait_for()
    assert page.locator("#live").inner_text() == "cam is done."
    page.get_by_label("Class to explain").select_option("ship")
    page.locator('canvas[aria-label*="evidence for ship"]').wait_for()
    assert page.get_by_label("Method").locator("option").all_inner_texts() == ["cam"]
    page.get_by_role("link", name="shapes-tiny").click()
    page.locator(".bars tr").first.wait_for()
    assert page.locator(".inside").count() == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"no image",
            "cat.png cannot be read as an image: it is damaged, or this browser does not support its format.",
        ),
        (b"", "cat.png cannot be read as an image: it is damaged"),
        (noise()[:200], "cat.png cannot be read as an image: it is damaged"),
        (
            b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
            "cat.png cannot be read as an image",
        ),
        (png(Image.new("RGB", (1, 1))), "cat.png cannot be read as an image: it has a single pixel."),
    ],
    ids=["text", "empty", "cut off", "svg", "one pixel"],
)
def test_a_broken_image_is_named(tried: Visit, content: bytes, said: str) -> None:
    page = tried.open(IMAGES)
    tried.give(("cat.png", content))
    problem = page.locator(".images > .problem")
    problem.get_by_role("strong").wait_for()
    assert said in problem.inner_text()
    tried.give(("good.png", noise()))
    page.locator(".heat canvas").wait_for()
    assert problem.text_content() == ""


def test_an_example_image_is_chosen(tried: Visit) -> None:
    tried.forgiven.add("Failed to load resource")
    tried.page.route("**/circle.png", lambda route: route.abort("connectionrefused"))
    page = tried.open("shapes-tiny")
    examples = page.get_by_role("list", name="or choose one of these:")
    names = [f"{name}.png" for name in page.locator(".classes li").all_inner_texts()]
    assert sorted(examples.locator("img").evaluate_all("(images) => images.map((i) => i.alt)")) == sorted(
        names
    )
    examples.get_by_role("button", name="circle.png").click()
    page.get_by_text("Circle.png could not be downloaded.").wait_for()
    examples.get_by_role("button", name="ring.png").click()
    page.locator(".bars caption").get_by_text("ring.png").wait_for()
    strip = page.get_by_role("list", name="Images", exact=True)
    assert strip.get_by_role("button").all_inner_texts()[1:] == ["Clear"]
    page.get_by_role("link", name=IMAGES).click()
    page.get_by_role("heading", name=IMAGES).wait_for()
    assert not page.locator(".examples").is_visible()


def generate(page: Any, prompt: str, **settings: Any) -> str:
    items = call(page, "sample", {**GREEDY, "model": TEXTS, "prompt": prompt, **settings})
    assert "done" in items.pop()
    return "".join(item["text"] for item in items)


def test_texts_of_several_prompts_and_scores_are_those_of_zoo(page: Any) -> None:
    model = zoo.load(TEXTS)
    for prompt in PROMPTS:
        expected = model.sample(prompt, max_new_tokens=60, temperature=0, progress=False)
        assert generate(page, prompt) == str(expected).removeprefix(prompt)
        found = call(page, "predict", {"model": TEXTS, "input": prompt})
        (row,) = model.predict([prompt], progress=False)
        assert (found["error"] is None) == (row["error"] is None) == (len(prompt) > 1)
        for ours, theirs in zip(found["predictions"], row["predictions"], strict=True):
            assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_seed_chooses_the_text_of_the_command(page: Any) -> None:
    long = {"temperature": 1, "seed": 2**40 + 3, "max_new_tokens": 300}
    for settings in (long, {"temperature": 0.7, "top_p": 0.9, "top_k": 8, "stop": "the"}):
        expected = zoo.load(TEXTS).sample("the ", **{**GREEDY, **settings}, progress=False)
        assert generate(page, "the ", **settings) == str(expected)
    assert generate(page, "the ", temperature=5, top_k=1) == generate(page, "the ")
    assert generate(page, "the ", temperature=5, top_p=0.01) == generate(page, "the ")


def test_a_text_ends_before_the_stop_string(page: Any) -> None:
    whole = generate(page, "the will ")
    stop = whole[20:24]
    assert generate(page, "the will ", stop=stop.upper()) == whole[: whole.index(stop)]


def test_tokens_are_chosen_by_their_probabilities(page: Any) -> None:
    shares = page.evaluate(
        """async () => {
          const { choose } = await import("./language.js");
          const logits = [9, ...[0.1, 0.2, 0.3, 0.4].map(Math.log)];
          const share = (settings) => {
            const counts = [0, 0, 0, 0, 0];
            const plain = { temperature: 1, top_k: 0, top_p: 1, ...settings };
            for (let n = 0; n < 1000; n++) counts[choose(logits, [1, 2, 3, 4], (n + 0.5) / 1000, plain)] += 1;
            return counts.map((count) => count / 1000);
          };
          const halves = [{ top_k: 2 }, { top_p: 0.7 }, { top_p: 0.71 }];
          return [{}, { temperature: 0.5 }, ...halves, { temperature: 0 }].map(share);
        }"""
    )
    squared = np.array([0.01, 0.04, 0.09, 0.16]) / 0.3
    expected = [
        [0.1, 0.2, 0.3, 0.4],
        squared,
        [0, 0, 3 / 7, 4 / 7],
        [0, 0, 3 / 7, 4 / 7],
        [0, 2 / 9, 3 / 9, 4 / 9],
        [0, 0, 0, 1],
    ]
    for found, wanted in zip(shares, expected, strict=True):
        assert found == pytest.approx([0, *wanted], abs=2e-3)


def test_what_cannot_be_is_told_beside_the_form(tried: Visit) -> None:
    page = tried.open(TEXTS)
    page.get_by_label("Stop before").fill("§")
    page.get_by_role("button", name="Generate").click()
    page.get_by_text("The stop string contains §, which the model can never generate.").wait_for()
    page.get_by_label("Your text").fill("a")
    page.get_by_role("button", name="Score").click()
    page.locator(".scores").get_by_text("the text must have at least 2 tokens (got 1)").wait_for()


def test_a_text_is_stopped(tried: Visit) -> None:
    page = tried.open(TEXTS)
    page.get_by_role("slider", name="Length").fill("2000")
    page.get_by_role("button", name="Generate").click()
    page.locator(".written .token").first.wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.locator("#view").get_by_text("Stopped after").wait_for()
    assert 0 < page.locator(".written .token").count() < 2000
    page.get_by_role("slider", name="Length").fill("20")
    page.get_by_role("button", name="Generate").click()
    tried.until("document.querySelectorAll('.written[aria-busy=false] .token').length === 20")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("**/*.wasm", "The runtime could not be downloaded."),
        ("**/*.mjs", "The runtime could not be downloaded."),
        ("**/*.onnx", f"{IMAGES.capitalize()} could not be downloaded."),
    ],
)
def test_a_download_that_fails_is_tried_again(tried: Visit, path: str, said: str) -> None:
    tried.forgiven.add("Failed to load resource")
    page = tried.open(IMAGES)
    page.route(path, lambda route: route.abort("connectionrefused"))
    tried.give(("cat.png", noise()))
    problem = page.locator(".images > .problem")
    problem.get_by_role("strong").wait_for()
    assert said in problem.inner_text()
    page.unroute(path)
    problem.get_by_role("button", name="Try again").click()
    page.locator(".heat canvas").wait_for()
    assert problem.text_content() == ""


def use(visit: Visit, model: str) -> Any:
    """Use a model, so that everything that the page can show of it is there."""
    page = visit.open(model)
    if model == TEXTS:
        page.get_by_role("slider", name="Temperature").fill("1.3")
        page.get_by_role("button", name="Generate").click()
        page.locator(f"{DONE} .token").first.wait_for()
        page.get_by_label("Your text").fill("the long text\n" * 3)
        page.get_by_role("button", name="Score").click()
        page.locator(".scores dd").first.wait_for()
        use_lessons(page)
    else:
        visit.give(("a long name of an image without an end.png", noise()), ("b.png", b"no image"))
        page.locator(".terms" if model == IMAGES else ".bars tr").first.wait_for()
    return page


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: `bash .ci/tools`")
@pytest.mark.parametrize("model", [IMAGES, TEXTS, "shapes-tiny"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_axe_finds_nothing(browser: Any, site: FileServer, model: str, width: int) -> None:
    size = {"width": width, "height": 800}
    with Visit(browser, site.url, policy="", viewport=size, reduced_motion="reduce") as visit:
        page = use(visit, model)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate(AXE.read_text(encoding="utf-8"))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate("axe.run(document)")
            assert len(found["passes"]) > 15
            said = [(one["impact"], one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
            assert said == [], scheme
        visit.check()


def test_the_page_is_served_below_a_path_and_links_to_its_home(
    browser: Any, site: FileServer, tmp_path: Path
) -> None:
    from sitegen import browser as sitegen_browser

    sitegen_browser.build(tmp_path / "site/try", [], home="../index.html")
    with FileServer(tmp_path / "site") as server, Visit(browser, f"{server.url}/try", policy="") as visit:
        visit.page.goto(f"{server.url}/try/")
        link = visit.page.get_by_role("link", name="Documentation")
        assert link.get_attribute("href") == "../index.html"
        assert re.search(r"ONNX Runtime \(14\.\d MB\)", visit.page.locator(".about").inner_text())
        visit.check()
