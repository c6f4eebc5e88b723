"""Draw the screenshots of the docs: python -m tests.nightly.browser.screenshots [FOLDER]."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

import zoo
from tests.nightly.browser.serving import Server, chromium
from tests.nightly.browser.visits import Visit

IMAGES = Path(__file__).parents[3] / "docs/images"
# A tall and a wide window, of a desktop, and that of a phone
WIDE, TALL, PHONE = ((1200, 1200), (1200, 1060), (390, 1000))


def shapes(count: int) -> list[tuple[str, bytes]]:
    """Return images of shapes as the model knows them, each with its class as its name."""
    few: Any = {"train_size": 8, "val_size": 8, "test_size": 8}
    data: Any = zoo.open_dataset("shapes", size=128, objects=3, clutter=8, **few)
    files: list[tuple[str, bytes]] = []
    for name, image in zip(data.preprocess["classes"], data.split("test").images[:count], strict=False):
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")
        files.append((f"{name}.png", buffer.getvalue()))
    return files


def image_of_images(visit: Visit) -> None:
    page = visit.open("shapes-resnet20")
    visit.give(*shapes(5))
    page.locator(".heat canvas").wait_for()
    visit.until("!document.querySelector('.strip').textContent.includes('…')")


def image_of_text(visit: Visit) -> None:
    page = visit.open("nietzsche-rnn")
    page.get_by_label("Prompt").fill("the will to power is ")
    page.get_by_label("Seed", exact=True).fill("4")
    page.get_by_role("button", name="Generate").click()
    page.locator('.written[aria-busy="false"] .token').first.wait_for()


def image_of_a_phone(visit: Visit) -> None:
    image_of_text(visit)
    visit.page.locator("#sampling-heading").evaluate("(heading) => heading.scrollIntoView()")


SHOTS: list[tuple[str, Any, tuple[int, int], str]] = [
    ("serve-images.png", image_of_images, WIDE, "light"),
    ("serve-text.png", image_of_text, TALL, "light"),
    ("serve-phone.png", image_of_a_phone, PHONE, "dark"),
]


def draw(folder: Path) -> None:
    """Write each screenshot as a PNG of 128 colors."""
    with Server("shapes-resnet20", "nietzsche-rnn") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium())
        for name, use, (width, height), scheme in SHOTS:
            size = {"width": width, "height": height}
            with Visit(
                browser, server.url, viewport=size, color_scheme=scheme, reduced_motion="reduce"
            ) as visit:
                use(visit)
                shot = Image.open(io.BytesIO(visit.page.screenshot()))
            shot.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(folder / name, optimize=True)
            print(f"{folder / name}: {(folder / name).stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if sys.argv[1:] else IMAGES)
