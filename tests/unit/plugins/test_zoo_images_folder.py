"""The user's own images: all modes, damaged files, folder layouts and random splits."""

from __future__ import annotations

import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image, ImageOps, features
from torchvision.transforms import v2

import zoo
from zoo.console.terminal import warnings_as_lines
from zoo.data import image_files as images
from zoo.data.image_files import IMAGE_SUFFIXES, read_image, read_square
from zoo.errors import DataError, OptionError, ZooWarning
from zoo.interfaces import SPLITS, HasFiles
from zoo_images import decoded_images
from zoo_images.class_folders import find_images
from zoo_images.folder import folder

WHITE, BLACK, RED = [255, 255, 255], [0, 0, 0], [255, 0, 0]


def decode(content: bytes, *, size: int, channels: int) -> torch.Tensor:
    return torch.from_numpy(images.decode(content, size=size, channels=channels))


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def put(root: Path, *names: str, color: str = "red") -> Path:
    """Write images of one color, each larger than the one before, so that no two are equal."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + number, 30), color).save(path)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder of ten red cats and ten blue dogs."""
    home = tmp_path / "images"
    put(home, *(f"cat/{n}.png" for n in range(10)))
    return put(home, *(f"dog/{n}.jpg" for n in range(10)), color="blue")


def error_of(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        folder(root=str(root), **options)
    return str(caught.value)


def palette(**options: Any) -> bytes:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, *RED])
    return encoded(image, **options)


def gray16() -> Image.Image:
    return Image.fromarray(np.full((20, 30), 0x8080, np.uint16))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (encoded(Image.new("RGB", (9, 40), "red")), RED),
        (encoded(Image.new("RGB", (1, 500), "red")), RED),
        (encoded(Image.new("L", (20, 20), 90)), [90] * 3),
        (encoded(Image.new("1", (20, 20), 1)), WHITE),
        (encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0))), WHITE),
        (encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 128))), [127] * 3),
        (encoded(Image.new("LA", (20, 20), (0, 0))), WHITE),
        (encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), "WEBP", lossless=True), WHITE),
        (encoded(Image.new("L", (20, 20), 7), transparency=7), WHITE),
        (palette(), RED),
        (palette(transparency=1), WHITE),
        (palette(transparency=b"\xff\x00"), WHITE),
        (palette(format_="GIF", transparency=1), WHITE),
        (encoded(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", quality=95), RED),
        (encoded(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "TIFF"), RED),
        (encoded(gray16()), [0x80] * 3),
        (encoded(gray16(), "TIFF"), [0x80] * 3),
        (encoded(gray16(), "PPM"), [0x80] * 3),
        (
            encoded(
                Image.new("RGB", (20, 20), "red"),
                "GIF",
                save_all=True,
                append_images=[Image.new("RGB", (20, 20), "blue")],
            ),
            RED,
        ),
    ],
    ids=["rgb", "thin", "gray", "1-bit", "rgba", "half-clear", "la", "webp", "gray-clear", "palette",
         "palette-clear", "palette-alpha", "gif-clear", "cmyk-jpeg", "cmyk-tiff", "16-bit-png", "16-bit-tiff",
         "16-bit-ppm", "animated"],
)  # fmt: skip
def test_an_image_of_any_mode_becomes_8_bit_color(content: bytes, wanted: list[int]) -> None:
    pixels = decode(content, size=8, channels=3)
    assert (pixels.shape, pixels.dtype) == ((3, 8, 8), torch.uint8)
    assert (pixels.int() - torch.tensor(wanted)[:, None, None]).abs().max() <= 2


def test_16_bit_gray_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65_535, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = decode(encoded(Image.fromarray(ramp)), size=64, channels=1)
    assert torch.equal(pixels[0], torch.from_numpy((ramp / 257).round().astype(np.uint8)))


def test_color_becomes_gray() -> None:
    pixels = decode(encoded(Image.new("RGB", (20, 20), "red")), size=8, channels=1)
    assert pixels.shape == (1, 8, 8)
    assert pixels.unique().tolist() == [76]  # 299 thousandths of 255


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (1, 1)), (6, (0, 1)), (8, (1, 0))])
def test_an_image_is_turned_upright(orientation: int, corner: tuple[int, int]) -> None:
    image = Image.new("L", (400, 400))
    image.paste(255, (0, 0, 200, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format_ in ("JPEG", "PNG", "TIFF"):
        pixels = decode(encoded(image, format_, exif=exif), size=8, channels=1)[0]
        bright = {(y, x) for y in (0, 1) for x in (0, 1) if pixels[1 + 5 * y, 1 + 5 * x] > 128}
        assert bright == {corner}, format_


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_the_central_square_is_resized(format_: str) -> None:
    image = Image.new("RGB", (900, 300), "blue")
    image.paste((255, 0, 0), (300, 0, 600, 300))
    pixels = decode(encoded(image, format_, quality=100, subsampling=0), size=30, channels=3).int()
    assert (pixels[:, :, 1:-1] - torch.tensor(RED)[:, None, None]).abs().max() <= 3


@pytest.mark.parametrize("orientation", [1, 4, 7])
def test_a_large_image_is_laid_on_white_a_strip_at_a_time(
    monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1_501, 1_200, 4), np.uint8)
    image = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, compress_level=0, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    flat = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    square = v2.CenterCrop(1_200)(flat)
    wanted = v2.functional.pil_to_tensor(square.resize((32, 32), Image.Resampling.BILINEAR))
    composite, pixels = Image.alpha_composite, 0

    def counted(below: Image.Image, above: Image.Image) -> Image.Image:
        nonlocal pixels
        pixels = max(pixels, above.width * above.height)
        return composite(below, above)

    monkeypatch.setattr(Image, "alpha_composite", counted)
    assert torch.equal(decode(content, size=32, channels=3), wanted)
    assert 0 < pixels <= 2**20


def test_a_jpeg_is_not_decoded_smaller_than_it_is_needed() -> None:
    rows = np.arange(400) // 10 % 2 * 160 + 40
    stripes = np.broadcast_to(rows.astype(np.uint8), (400, 400))
    jpeg = encoded(Image.fromarray(stripes), "JPEG", quality=95)
    whole = encoded(Image.open(io.BytesIO(jpeg)))
    for size in (40, 80, 200):
        pixels = [decode(content, size=size, channels=1).int() for content in (jpeg, whole)]
        assert (pixels[0] - pixels[1]).abs().max() <= 8, size


def test_a_jpeg_of_many_scans_is_refused() -> None:
    usual = encoded(Image.new("L", (64, 64), 200), "JPEG", progressive=True)
    assert 1 < usual.count(b"\xff\xda") <= images.MAX_SCANS
    assert decode(usual, size=8, channels=1).min() > 190
    scan = usual[usual.rindex(b"\xff\xda") : -2]
    with pytest.raises(ValueError, match="it has more than 100 scans"):
        decode(usual[:-2] + images.MAX_SCANS * scan + usual[-2:], size=8, channels=1)


def test_a_large_jpeg_may_have_fewer_scans() -> None:
    large = encoded(Image.new("L", (8_192, 8_192), 200), "JPEG", progressive=True)
    assert decode(large, size=8, channels=1).min() > 190
    scan = large[large.rindex(b"\xff\xda") : -2]
    with pytest.raises(ValueError, match="it has more than 16 scans"):
        decode(large[:-2] + 16 * scan + large[-2:], size=8, channels=1)


def test_many_pixels_as_text_are_refused() -> None:
    small, large = (b"P2\n700 700\n255\n" + count * b"200 " for count in (490_000, 2**19))
    assert decode(small, size=8, channels=1).min() == 200
    with pytest.raises(ValueError, match="its pixels are more than 2,097,152 bytes of text"):
        decode(large, size=8, channels=1)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "TIFF"])
def test_pixels_are_counted_without_decoding(format_: str) -> None:
    content = encoded(Image.new("L", (70, 30)), format_)
    assert images.pixels_of(content) == 2_100
    assert images.pixels_of(content[:4]) == 0
    assert images.pixels_of(b"") == 0


def test_images_get_the_label_of_their_folder(root: Path) -> None:
    data = folder(root=str(root), size=16)
    assert data.dims == {"in_channels": 3, "image_size": 16, "num_classes": 2}
    assert data.preprocess["classes"] == ["cat", "dog"]
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [16, 2, 2]
    for split in ("train", "val", "test"):
        images, labels = data.split(split).read_batch(range(len(data.split(split))))
        assert labels.bincount().tolist() == [len(labels) // 2] * 2
        for image, label in zip(images, labels, strict=True):
            assert image[0 if label == 0 else 2].min() >= 253
            assert image[2 if label == 0 else 0].max() <= 2
    assert data.preprocess["mean"] == pytest.approx([0.5, 0, 0.5], abs=0.01)


def test_an_empty_root_is_not_the_current_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(DataError, match="root must name a folder"):
        folder(root="")


def test_images_know_their_files(root: Path) -> None:
    split = folder(root=str(root), size=16).split("test")
    assert isinstance(split, HasFiles) is True
    files = split.files or ()
    assert len(set(files)) == len(split)
    for number, file in enumerate(files):
        image, label = split[number]
        assert file.parent.name == ["cat", "dog"][label]
        np.testing.assert_array_equal(read_image(file, size=16, channels=3)[0], image.numpy())


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_the_square_of_an_image_is_what_is_resized_for_a_model(tmp_path: Path, mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 70, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    path = tmp_path / "turned.png"
    Image.fromarray(noise).convert(mode).save(path, exif=exif)
    square = read_square(path, 1_000)
    assert square.size == (40, 40)
    small = square.resize((16, 16), Image.Resampling.BILINEAR)
    expected = read_image(path, size=16, channels=3)[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(np.asarray(small), expected)
    assert read_square(path, 16).size == (16, 16)
    with pytest.raises(DataError, match=r"gone\.png cannot be read as an image"):
        read_square(tmp_path / "gone.png", 16)


def test_gray_images_have_one_channel(root: Path) -> None:
    assert folder(root=str(root), size=16, channels=1).split("train")[0][0].shape == (1, 16, 16)


def test_all_images_are_decoded_at_opening(root: Path) -> None:
    data = folder(root=str(root), size=16)
    shutil.rmtree(root)
    assert len(data.split("train")[3][0].unique()) > 1


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the empty cache of decoded images."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded" / "images"


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that collects the paths of decoded images."""
    read: list[Path] = []

    def recording(path: Path, **options: Any) -> Any:
        read.append(path)
        return read_image(path, **options)

    monkeypatch.setattr(decoded_images, "read_image", recording)
    return read


def test_a_cached_image_is_not_decoded_again(root: Path, cache: Path, decodings: list[Path]) -> None:
    first = folder(root=str(root), size=16)
    assert len(decodings) == 20
    root = root.rename(root.with_name("moved"))
    again = folder(root=str(root), size=16)
    assert len(decodings) == 20
    assert torch.equal(first.split("train").images, again.split("train").images)
    assert first.fingerprint == again.fingerprint
    put(root, "dog/5.jpg", color="green")
    assert not torch.equal(first.split("train").images, folder(root=str(root), size=16).split("train").images)
    assert len(decodings) == 40
    assert len([*cache.glob("*/pixels.bin")]) == 2


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole.replace(b"0.", b"1.", 1)])
def test_damaged_statistics_are_computed_again(
    damage: Callable[[bytes], bytes], root: Path, cache: Path
) -> None:
    first = folder(root=str(root), size=16).preprocess
    (place,) = cache.glob("*/fact.json")
    place.write_bytes(damage(place.read_bytes()))
    assert folder(root=str(root), size=16).preprocess == first


def test_a_damaged_cache_is_decoded_again(root: Path, cache: Path, decodings: list[Path]) -> None:
    before = folder(root=str(root), size=16).split("train").images.clone()
    (made,) = (path.parent for path in cache.glob("*/pixels.bin"))
    pixels = bytearray((made / "pixels.bin").read_bytes())
    pixels[100] ^= 1
    (made / "pixels.bin").write_bytes(pixels)
    assert torch.equal(folder(root=str(root), size=16).split("train").images, before)
    assert len(decodings) == 40


def test_writing_to_the_images_leaves_the_cache_alone(root: Path, cache: Path, decodings: list[Path]) -> None:
    folder(root=str(root), size=16).split("train").images.zero_()
    assert folder(root=str(root), size=16).split("train").images.any()
    assert len(decodings) == 20


def test_an_image_that_changes_while_it_is_read_is_named(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(path: Path, **options: Any) -> tuple[images.Pixels, bytes]:
        return read_image(path, **options)[0], b"other bytes"

    monkeypatch.setattr(decoded_images, "read_image", other)
    assert error_of(root) == f"{root / 'cat' / '0.png'} changed while it was being read"
    assert not list(cache.iterdir())


def test_the_fingerprint_is_of_the_images_their_names_and_the_options(root: Path, tmp_path: Path) -> None:
    def fingerprint(**options: Any) -> str:
        return folder(**({"root": str(root), "size": 16} | options)).fingerprint

    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    (moved / "cat/.hidden.png").write_bytes(b"")
    (moved / "notes.txt").write_text("mine")
    before = fingerprint()
    assert before == fingerprint(root=str(moved))
    changes: list[dict[str, Any]] = [{"size": 17}, {"channels": 1}, {"split_seed": 1}, {"val_share": 0.2}]
    others = [fingerprint(**change) for change in changes]
    put(root, "dog/5.jpg", color="green")
    others.append(fingerprint())
    (moved / "cat/9.png").rename(moved / "cat/a.png")
    others.append(fingerprint(root=str(moved)))
    assert len({before, *others}) == len(others) + 1


def test_the_split_is_drawn_from_seed_and_names(root: Path) -> None:
    shares: dict[Any, float] = {"val": 0.3, "test": 0.2}

    def names(seed: int = 0) -> dict[str, list[str]]:
        return {
            split: [p.name for p in found] for split, found in find_images(str(root), shares, seed)[1].items()
        }

    drawn = names()
    assert {split: len(each) for split, each in drawn.items()} == {"train": 10, "val": 6, "test": 4}
    everything = [p.relative_to(root).as_posix() for p in root.glob("*/*")]
    assert sorted(itertools.chain(*drawn.values())) == sorted(everything)
    assert drawn == names()
    assert drawn != names(seed=1)
    assert [each == sorted(each) for each in drawn.values()] == [True] * 3
    put(root, "emu/0.png", "emu/1.png")
    assert [name for name in names()["val"] if "emu" not in name] == drawn["val"]


def test_shares_that_leave_nothing_to_train_on_are_refused(root: Path) -> None:
    assert error_of(root, val_share=0.5, test_share=0.5) == (
        f"val_share=0.5 and test_share=0.5 leave none of the 10 images in {root / 'cat'} for training"
    )


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_split_folders_are_used_as_they_are_and_a_train_folder_alone_is_split(
    tmp_path: Path, val: str
) -> None:
    for split, count in (("train", 6), (val, 2), ("test", 1)):
        put(tmp_path, *(f"{split}/{name}/{n}.png" for name in ("cat", "dog") for n in range(count)))
    data = folder(root=str(tmp_path), size=8)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [12, 4, 2]
    shutil.rmtree(tmp_path / "test")
    data = folder(root=str(tmp_path), size=8)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [12, 4, 0]
    shutil.rmtree(tmp_path / val)
    data = folder(root=str(tmp_path), size=8)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [8, 2, 2]


def test_a_class_may_be_called_train(root: Path) -> None:
    put(root, "train/0.png")
    assert folder(root=str(root), size=8).preprocess["classes"] == ["cat", "dog", "train"]


def test_files_that_are_not_images_are_skipped(root: Path) -> None:
    for name in ("cat/notes.txt", "cat/.hidden.png", ".git/x.png", "loose.png", "cat/Thumbs.db"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no image")
    (root / "cat/10.PNG").write_bytes((root / "cat/1.png").read_bytes())
    data = folder(root=str(root), size=8)
    assert sum(len(data.split(split)) for split in ("train", "val", "test")) == 21


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


noise = Image.effect_noise((200, 200), 90)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("x.jpg", truncated(encoded(noise, "JPEG")), "image file is truncated"),
        ("x.png", truncated(encoded(noise)), "image file is truncated"),
        ("x.png", b"", "it is empty"),
        ("x.heic", b"\x00\x00\x00\x18ftypheic", "its format is unknown or not supported"),
        ("x.png", encoded(Image.new("RGB", (9, 9)), "EPS"), "its format is unknown or not supported"),
        ("x.tif", encoded(Image.new("RGB", (9, 9)), "TGA"), "its format is unknown or not supported"),
        ("x.tif", encoded(Image.new("F", (9, 9)), "TIFF"), "its pixels are floating-point numbers"),
    ],
    ids=["jpeg", "png", "empty", "heic", "eps", "tga", "float"],
)
def test_the_first_image_that_cannot_be_read_is_named(
    root: Path, name: str, content: bytes, why: str
) -> None:
    for place in ("cat", "dog"):
        (root / place / name).write_bytes(content)
    for seed in range(3):
        assert re.match(
            f"{root / 'cat' / name} cannot be read as an image: {why}", error_of(root, split_seed=seed)
        )


def test_no_program_is_started_for_an_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: started.append("gs"))
    monkeypatch.setattr("subprocess.Popen", lambda *arguments, **_: started.append(arguments))
    (root / "cat/x.png").write_bytes(encoded(Image.new("RGB", (9, 9)), "EPS"))
    assert error_of(root).startswith(f"{root / 'cat/x.png'} cannot be read as an image: ")
    assert started == []


@pytest.mark.parametrize("format_", ["AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"])
def test_every_format_is_read_whatever_the_file_is_called(root: Path, format_: str) -> None:
    if format_ == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    (root / "cat/x.png").write_bytes(encoded(Image.new("RGB", (20, 20), "red"), format_))
    assert folder(root=str(root), size=8).preprocess["classes"] == ["cat", "dog"]


def test_decoders_of_rare_formats_are_loaded_once_they_are_needed(tmp_path: Path) -> None:
    for format_ in ("PNG", "WEBP"):
        image = encoded(Image.new("RGB", (20, 20), "red"), format_, lossless=True)
        (tmp_path / format_).write_bytes(image)
    code = """
import sys
from pathlib import Path
from zoo.data.image_files import decode
for format_ in ("PNG", "WEBP"):
    print(decode(Path(format_).read_bytes(), size=8, channels=3).mean((1, 2)).round(), end=" ")
    print("PIL.WebPImagePlugin" in sys.modules)
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "[255.   0.   0.] False\n[255.   0.   0.] True\n", done.stderr


def test_a_broken_link_is_named(root: Path) -> None:
    (root / "cat/link.png").symlink_to(root / "nothing.png")
    assert error_of(root) == f"{root / 'cat/link.png'} cannot be read: No such file or directory"


def test_a_device_is_named(root: Path) -> None:
    (root / "cat/null.png").symlink_to(os.devnull)
    assert error_of(root) == (
        f"{root / 'cat/null.png'} cannot be read: it is a pipe or a device, not a regular file"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_named_and_not_waited_for(root: Path) -> None:
    pipe = root / "dog/pipe.png"
    os.mkfifo(pipe)
    wrote = threading.Event()

    def write() -> None:  # waits for a reader, and lets it go
        pipe.write_bytes(b"")
        wrote.set()

    threading.Thread(target=write, daemon=True).start()
    assert error_of(root).startswith(f"{pipe} cannot be read: it is a pipe or a device")
    assert not wrote.is_set(), "nobody opened it"
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    wrote.wait(60)
    os.close(reader)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_193, 10_000, 20_000], ids=["ours", "a warning", "an error"])
def test_an_image_that_would_fill_memory_is_refused_by_its_header(root: Path, side: int) -> None:
    (root / "dog/bomb.ppm").write_bytes(b"P6 %d %d 255\n" % (side, side))
    assert error_of(root) == (
        f"{root / 'dog/bomb.ppm'} cannot be read as an image: it has more than 67,108,864 pixels"
    )


def test_the_largest_image_is_not_refused(root: Path) -> None:
    (root / "dog/large.ppm").write_bytes(b"P4 8192 8192\n")
    assert error_of(root).startswith(
        f"{root / 'dog/large.ppm'} cannot be read as an image: image file is trunc"
    )


@pytest.mark.filterwarnings("default")
def test_the_command_silences_warnings_of_pillow(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # it warns above, and refuses above twice that
    with warnings_as_lines():
        assert folder(root=str(root), size=8).preprocess["classes"] == ["cat", "dog"]
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("cpus", "most"), [(3, 3), (64, 8), (None, 1)])
def test_images_are_decoded_in_parallel_by_at_most_eight_threads(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, cpus: int | None, most: int
) -> None:
    lock = threading.Lock()
    meeting = threading.Barrier(most)  # breaks, unless `most` threads decode at the same time
    running, started, highest = 0, 0, 0

    def counted(path: Path, **options: Any) -> Any:
        nonlocal running, started, highest
        with lock:
            running, started, highest = running + 1, started + 1, max(highest, running + 1)
            first = started <= most
        if first:
            meeting.wait(timeout=60)
        try:
            return read_image(path, **options)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr("os.cpu_count", lambda: cpus)
    monkeypatch.setattr(decoded_images, "read_image", counted)
    folder(root=str(root), size=8)
    assert (started, highest) == (20, most)


def empty_class(root: Path) -> str:
    (root / "emu").mkdir()
    (root / "emu/notes.txt").write_text("none yet")
    return f"the class folder {root / 'emu'} contains no images"


def no_classes(root: Path) -> str:
    shutil.rmtree(root / "cat")
    (root / "dog").rename(root / ".dog")
    return f"{root} contains no class folders"


def one_class(root: Path) -> str:
    shutil.rmtree(root / "cat")
    return f"{root} must contain at least two class folders (found only 'dog')"


def nested(root: Path) -> str:
    put(root, "cat/black/1.png")
    return f"class folders cannot contain subfolders (found {root / 'cat/black'})"


def a_file(root: Path) -> str:
    shutil.rmtree(root)
    root.write_text("no folder")
    return f"there is no folder {str(root)!r}"


def as_train(root: Path) -> None:
    (root / "train").mkdir()
    for name in ("cat", "dog"):
        (root / name).rename(root / "train" / name)


def other_class(root: Path) -> str:
    as_train(root)
    put(root, "val/cat/1.png", "val/dgo/1.png", "val/dog/1.png")
    return f"{root / 'val'} and {root / 'train'} have different classes: only {root / 'val'} has 'dgo'"


def lacking_class(root: Path) -> str:
    as_train(root)
    put(root, "test/dog/1.png")
    return f"{root / 'test'} and {root / 'train'} have different classes: only {root / 'train'} has 'cat'"


def unlabeled(root: Path) -> str:
    as_train(root)
    put(root, "test/1.png")
    return f"{root / 'test'} contains no class folders"


def stranger(root: Path) -> str:
    as_train(root)
    put(root, "vla/cat/1.png")
    return f"{root / 'vla'} must be named train, val or test, like the other folders in {root}"


def twice(root: Path) -> str:
    as_train(root)
    put(root, "val/cat/1.png", "val/dog/1.png", "valid/cat/1.png", "valid/dog/1.png")
    return f"{root / 'val'} and {root / 'valid'} both contain the val split"


@pytest.mark.parametrize(
    "spoil",
    [empty_class, no_classes, one_class, nested, a_file, other_class, lacking_class, unlabeled,
     stranger, twice],
)  # fmt: skip
def test_a_wrong_layout_is_refused_with_the_folder(root: Path, spoil: Callable[[Path], str]) -> None:
    message = spoil(root)
    assert error_of(root) == message


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-of-this-name/images"])
def test_an_impossible_folder_name_is_refused(name: str) -> None:
    assert error_of(Path(name)).startswith(f"{name!r} is not a valid folder name: ")


def test_the_error_of_an_empty_class_lists_the_suffixes_of_images(root: Path) -> None:
    empty_class(root)
    with pytest.raises(DataError) as caught:
        folder(root=str(root))
    assert caught.value.hint == f"image files end in {', '.join(IMAGE_SUFFIXES)}"


def test_a_full_disk_is_reported(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded_images.os, "fsync", full)
    assert error_of(root) == f"the decoded images cannot be written to {cache}: No space left on device"
    assert not list(cache.iterdir())


def copies(root: Path, *pairs: tuple[str, str]) -> None:
    for source, target in pairs:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / source, root / target)


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    """Return train, val and test folders of cats and dogs, no two of them equal."""
    names = [f"{split}/{name}/{n}.png" for split in SPLITS for name in ("cat", "dog") for n in range(4)]
    return put(tmp_path / "own", *names)


def warned(root: Path, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        zoo.open_dataset("folder", root=str(root), size=8, progress=False, **options)
    return [str(warning.message) for warning in found]


@pytest.mark.parametrize("cache", [True, False])
def test_images_that_are_in_two_splits_are_counted_with_two_examples(splits: Path, cache: bool) -> None:
    assert warned(splits, cache=cache) == []
    copies(
        splits,
        ("train/cat/0.png", "test/cat/a.png"),
        ("train/cat/1.png", "test/cat/b.png"),
        ("train/dog/0.png", "test/dog/c.png"),
        ("val/dog/2.png", "test/dog/d.png"),
    )
    assert warned(splits, cache=cache) == [
        "3 of 12 test images are also in train, such as test/cat/a.png = train/cat/0.png and "
        "test/cat/b.png = train/cat/1.png; 1 of 12 test images is also in val, such as "
        "test/dog/d.png = val/dog/2.png"
    ]


def test_copies_within_one_class_of_one_split_are_no_leak(splits: Path) -> None:
    copies(splits, ("train/cat/0.png", "train/cat/copy.png"))
    assert warned(splits) == []


def test_an_image_in_two_classes_is_named(splits: Path) -> None:
    copies(splits, ("train/cat/0.png", "train/dog/a.png"), ("train/cat/0.png", "train/dog/b.png"))
    assert warned(splits) == [
        "1 image is present with different labels, such as train/cat/0.png = train/dog/a.png"
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder of twelve images in a subfolder, whose classes are in `labels.csv`."""
    (tmp_path / "pics").mkdir()
    rows = ["file,Label"]
    for number in range(12):
        name = ("Ankle boot", "T-shirt/top, short")[number % 2]
        Image.new("RGB", (12, 12), (20 * number,) * 3).save(tmp_path / f"pics/{number}.png")
        rows.append(f'{number}.png,"{name}"')
    (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def test_a_table_gives_each_image_one_class_which_may_contain_spaces_and_commas(table: Path) -> None:
    with pytest.warns(
        ZooWarning, match="labels.csv: one class per image; 2 classes: 'Ankle boot', 'T-shirt/top, "
    ):
        data = zoo.open_dataset("folder", root=str(table), size=8, val_share=0.2, test_share=0.2)
    assert data.preprocess["classes"] == ["Ankle boot", "T-shirt/top, short"]
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [8, 2, 2]
    for image, label in zip(data.split("train").images, data.split("train").labels, strict=True):
        assert round(int(image[0, 0, 0]) / 20) % 2 == label


def test_tables_of_splits_are_not_divided_again(table: Path) -> None:
    lines = (table / "labels.csv").read_text().splitlines()
    (table / "train.csv").write_text("\n".join(lines[:9]))
    (table / "test.csv").write_text("\n".join([lines[0], *lines[9:]]))
    data = zoo.open_dataset("folder", root=str(table), size=8)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [8, 0, 4]


def test_a_table_without_a_header_is_an_error_that_names_the_columns(table: Path) -> None:
    (table / "pics").rename(table / ".pics")
    (table / "labels.csv").write_text("")
    with pytest.raises(DataError, match="contains no class folders") as caught:
        zoo.open_dataset("folder", root=str(table), size=8)
    assert str(caught.value.hint).endswith("or labels.csv with the columns `file` and `label`")


def test_an_image_without_a_class_is_an_error(table: Path) -> None:
    (table / "labels.csv").write_text("file,label\n0.png,a\n1.png,\n")
    with pytest.raises(DataError, match=r"labels\.csv, line 3: missing label$"):
        zoo.open_dataset("folder", root=str(table), size=8)


def many(root: Path) -> Path:
    """Return a folder of twenty cats, ten dogs and five emus."""
    for name, count in {"cat": 20, "dog": 10, "emu": 5}.items():
        put(root, *(f"{name}/{number}.png" for number in range(count)))
    return root


def by_split(root: Path, **options: Any) -> dict[str, set[str]]:
    data = zoo.open_dataset("folder", root=str(root), size=8, progress=False, **options)
    return {
        split: {path.relative_to(root).as_posix() for path in data.split(split).files or ()}
        for split in SPLITS
    }


def per_class(names: set[str]) -> list[int]:
    return [sum(name.startswith(kind) for name in names) for kind in ("cat", "dog", "emu")]


def test_folds_have_the_same_share_of_each_class_and_the_test_split_stays(tmp_path: Path) -> None:
    root = many(tmp_path)
    whole = by_split(root, test_share=0.2)
    parts = [by_split(root, test_share=0.2, fold=fold, folds=4) for fold in range(4)]
    assert all(part["test"] == whole["test"] for part in parts)
    assert [per_class(part["val"]) for part in parts] == [[4, 2, 1]] * 4
    assert set().union(*(part["val"] for part in parts)) == whole["train"] | whole["val"]
    assert all(part["train"] == (whole["train"] | whole["val"]) - part["val"] for part in parts)
    other = by_split(root, test_share=0.2, fold=0, folds=4, split_seed=1)
    assert other["val"] != parts[0]["val"]


def test_a_fold_mixes_train_and_val_that_are_folders(root: Path) -> None:
    split = root.parent / "split"
    for name, numbers in {"train": range(6), "val": range(6, 8), "test": range(8, 10)}.items():
        for kind, number in itertools.product(("cat", "dog"), numbers):
            (split / name / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(sorted((root / kind).iterdir())[number], split / name / kind)
    found = by_split(split, fold=1, folds=4)
    assert [len(found[name]) for name in SPLITS] == [12, 4, 4]
    assert any(name.startswith("train") for name in found["val"])
    assert all(name.startswith("test") for name in found["test"])


def test_a_share_of_the_training_images_has_all_classes_and_contains_the_smaller_ones(tmp_path: Path) -> None:
    root = many(tmp_path)
    options: dict[str, Any] = {"val_share": 0, "test_share": 0.2}
    half, tenth = (by_split(root, **options, train_share=share) for share in (0.5, 0.1))
    assert (per_class(half["train"]), per_class(tenth["train"])) == ([8, 4, 2], [2, 1, 1])
    assert tenth["train"] < half["train"] < by_split(root, **options)["train"]
    assert tenth["test"] == by_split(root, **options)["test"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 7}, r"^fold must be at most 4, because folds=5 \(got 7\)$"),
        ({"fold": 0, "folds": 100}, r"^28 images cannot be divided into 100 folds$"),
        ({"train_share": 0}, r"train_share must be greater than 0 \(got 0\)$"),
        ({"classes": ["cat="]}, r"^classes must be a list of OLD=NEW \(got 'cat='\)$"),
        (
            {"classes": ["cats=x"]},
            r"must be one of 'cat', 'dog', 'emu' \(got 'cats'\); did you mean 'cat'\?$",
        ),
        ({"classes": ["cat=x", "cat=y"]}, r"^classes renames 'cat' twice, to 'x' and to 'y'$"),
        ({"classes": ["cat=x", "dog=x", "emu=x"]}, r"^classes merges all classes into 'x'$"),
    ],
)
def test_wrong_folds_shares_and_classes_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((DataError, OptionError), match=message):
        by_split(many(tmp_path), test_share=0.2, **options)


def test_a_class_of_one_image_cannot_be_in_a_fold(tmp_path: Path) -> None:
    put(many(tmp_path), "fox/0.png")
    options: dict[str, Any] = {"val_share": 0, "test_share": 0, "folds": 2}
    outcomes = list[str]()
    for fold in range(2):
        try:
            outcomes.append(str(len(by_split(tmp_path, fold=fold, **options)["train"])))
        except DataError as error:
            outcomes.append(str(error))
    assert (
        sorted(outcomes)[1] == f"fold={outcomes.index(sorted(outcomes)[1])} leaves none of the images of "
        "class 'fox' for training"
    )


def test_merged_classes_have_the_images_of_both(tmp_path: Path) -> None:
    def opened(**options: Any) -> Any:
        return zoo.open_dataset("folder", root=str(tmp_path), size=8, progress=False, **options)

    many(tmp_path)
    data, plain = opened(classes=["emu=big bird", "dog=cat"]), opened()
    assert data.preprocess["classes"] == ["cat", "big bird"]
    for split in SPLITS:
        assert data.split(split).files == plain.split(split).files, "no image moves to another split"
        labels = [int(file.parent.name == "emu") for file in data.split(split).files]
        assert data.split(split).labels.tolist() == labels
    assert data.fingerprint != plain.fingerprint
    assert opened(classes=["emu=dog", "dog=emu"]).preprocess["classes"] == ["cat", "emu", "dog"], "a swap"


def test_the_split_may_be_a_column_and_other_columns_are_named(table: Path) -> None:
    lines = (table / "labels.csv").read_text().splitlines()
    parts = ["split,width", *(f"{('train', 'Val', 'test', 'train')[number // 3]},12" for number in range(12))]
    (table / "labels.csv").write_text("\n".join(map(",".join, zip(lines, parts, strict=True))))
    with pytest.warns(ZooWarning, match=r"labels\.csv: columns that are not used: 'width'$"):
        data = zoo.open_dataset("folder", root=str(table), size=8)
    grays = {
        split: sorted(round(int(image[0, 0, 0]) / 20) for image in data.split(split).images)
        for split in SPLITS
    }
    assert grays == {"train": [0, 1, 2, 9, 10, 11], "val": [3, 4, 5], "test": [6, 7, 8]}


def test_a_table_of_classes_without_files_is_refused(table: Path) -> None:
    (table / "labels.csv").write_text("label,split\na,train\n")
    with pytest.raises(DataError, match=r"labels\.csv has no column of file names \(found label, split\)"):
        zoo.open_dataset("folder", root=str(table), size=8)
