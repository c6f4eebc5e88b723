"""Images made to cost far more than they weigh are refused wherever zoo opens one."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

import zoo
from tests.nightly.reliability import images

# Pillow warns of what it skips, which is no failure
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# More than the bounds allow, and refused at once
SIZE = 1_600_000


@pytest.fixture(scope="module")
def model() -> zoo.Model:
    return zoo.load("cifar10-convnet", progress=False)


def row_of(model: zoo.Model, content: bytes) -> dict[str, Any]:
    (row,) = model.predict([content], progress=False)
    return row


@pytest.mark.parametrize("name", images.HEADERS)
def test_what_precedes_the_pixels_is_bounded(model: zoo.Model, name: str) -> None:
    size = 10_000_000 if name in ("JPEG profiles", "TIFF tiles") else SIZE
    error = row_of(model, images.HEADERS[name](size))["error"]
    assert "cannot be read as an image: too much data precedes its pixels (more than" in (error or "")


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        pytest.param(
            *("PNG chunks after the pixels", 8_000_000, "decoding it takes more than 262,144 reads"),
            marks=pytest.mark.slow,  # three seconds
        ),
        ("BMP runs of one pixel", 2_000_000, "decoding it takes more than 262,144 reads"),
        ("plain PPM with comments", 20_000, "it has more than 100 comments"),
        ("PNG EXIF tags", 100_000, "it has more than 65,536 bytes of EXIF data"),
        ("WEBP EXIF tags", 100_000, "it has more than 65,536 bytes of EXIF data"),
    ],
)
def test_what_costs_more_than_it_weighs_is_refused(model: zoo.Model, name: str, size: int, why: str) -> None:
    error = row_of(model, images.BODIES[name](size))["error"]
    assert f"cannot be read as an image: {why}" in (error or "")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_an_image_is_turned_by_exif_data_that_cannot_be_written_again(model: zoo.Model, form: str) -> None:
    directory = 0x8769, 1, 200, 8  # its place is a number, and not 200 bytes
    odd = b"Exif\0\0" + images.tiff((0x0112, 3, 1, 6), directory, data=bytes(200))
    lossless = {"lossless": True} if form == "WEBP" else {}
    turned = images.encoded(images.NOISE, form, exif=odd, **lossless)
    pixels = Image.open(io.BytesIO(turned)).transpose(Image.Transpose.ROTATE_270)
    pixels.info.clear()
    upright = row_of(model, images.encoded(pixels, "PNG"))
    assert row_of(model, turned)["predictions"] == upright["predictions"] != []


def test_a_damaged_image_is_a_row_with_predictions_or_a_reason(model: zoo.Model) -> None:
    contents = [content for _, content in images.mutated(180)]
    rows = list(model.predict(contents, progress=False))
    assert all(bool(row["predictions"]) == (row["error"] is None) for row in rows)
    assert 20 < sum(row["error"] is None for row in rows) < 160
