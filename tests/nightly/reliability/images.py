"""Images made by hand to cost far more than they weigh, and damaged images of nine formats."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """Return an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


NOISE = Image.effect_noise((48, 40), 60).convert("RGB")
_JPEG, _PNG, _GIF = (encoded(NOISE, form) for form in ("JPEG", "PNG", "GIF"))


def _jpeg(between: bytes) -> bytes:
    """Put bytes between the first marker of a JPEG and what follows."""
    return _JPEG[:2] + between + _JPEG[2:]


def _chunk(kind: bytes, content: bytes = b"") -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _png(before: bytes = b"", after: bytes = b"") -> bytes:
    """Put chunks before the pixels of a PNG, and after them."""
    return _PNG[:33] + before + _PNG[33:-12] + after + _PNG[-12:]


def _gif(between: bytes) -> bytes:
    """Put blocks between the palette of a GIF and its first frame."""
    start = 13 + 3 * (2 << (_GIF[10] & 7))
    return _GIF[:start] + between + _GIF[start:]


def tiff(*tags: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """Return a TIFF directory, and what follows it."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def many_tags(count: int) -> bytes:
    """Return a directory that turns the image, in which `count` tags share the same bytes."""
    return tiff((274, 3, 1, 6), *((300 + number, 1, 200, 8) for number in range(count)))


def _tiles(size: int) -> bytes:
    """Return a TIFF of 8,192 x 8,192 pixels in tiles of 16 x 16, all of them the same bytes."""
    count = size // 8
    start = 8 + 2 + 12 * 10 + 4
    tags = [(256, 3, 1, 8192), (257, 3, 1, 8192), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(277, 3, 1, 1), (322, 3, 1, 16), (323, 3, 1, 16)]
    tags += [(324, 4, count, start), (325, 4, count, start + 4 * count)]
    return tiff(*tags, data=struct.pack("<I", 8) * count + struct.pack("<I", 256) * count)


def _big_tiff(size: int) -> bytes:
    """Return a TIFF of 64-bit offsets, which may have any number of tags."""
    count = size // 20
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, count) + struct.pack("<HHQQ", 40_000, 1, 1, 0) * count


def _webp(size: int) -> bytes:
    body = encoded(NOISE, "WEBP", exif=b"Exif\0\0" + tiff((274, 3, 1, 6)))[12:]
    body += b"abcd\0\0\0\0" * (size // 8)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _avif(size: int) -> bytes:
    whole = encoded(NOISE, "AVIF")
    start = int.from_bytes(whole[:4], "big")
    return whole[:start] + struct.pack(">I4s", 8, b"free") * (size // 8) + whole[start:]


def _bmp(size: int) -> bytes:
    """Return a BMP in runs of one pixel."""
    runs = b"\x01\x05" * (size // 2)
    head = struct.pack("<IiiHHIIiiII", 40, 8000, 8000, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(runs), 0, 0, 1078) + head + bytes(1024) + runs


def _of_segment(marker: bytes, content: bytes) -> bytes:
    return _jpeg(marker + struct.pack(">H", len(content) + 2) + content)


HEADERS: dict[str, Callable[[int], bytes]] = {
    "JPEG filler": lambda size: _jpeg(b"\xff" * size),
    "JPEG junk": lambda size: _jpeg(b"\xff\x00" * (size // 2)),
    "JPEG comments": lambda size: _jpeg(b"\xff\xfe\0\2" * (size // 4)),
    "JPEG APP segments": lambda size: _jpeg(b"\xff\xe5\0\2" * (size // 4)),
    "JPEG profiles": lambda size: _jpeg((b"\xff\xe2\xff\xff" + bytes(65_533)) * (1 + size // 65_537)),
    "PNG chunks": lambda size: _png(_chunk(b"abCd") * (size // 12)),
    "PNG texts": lambda size: _png(_chunk(b"tEXt", b"a\0b") * (size // 15)),
    "GIF comments": lambda size: _gif(b"!\xfe\1a\0" * (size // 5)),
    "GIF comment in pieces": lambda size: _gif(b"!\xfe" + b"\1a" * (size // 2) + b"\0"),
    "GIF junk": lambda size: _gif(b"\1" * size),
    "PPM comments": lambda size: b"P6\n" + b"#\n" * (size // 2) + b"8 8\n255\n" + bytes(192),
    "PPM comment": lambda size: b"P6\n#" + b"a" * size + b"\n8 8\n255\n" + bytes(192),
    "TIFF tags": lambda size: many_tags(min(size // 12, 65_000)),
    "BigTIFF tags": _big_tiff,
    "TIFF tiles": _tiles,
}
"""What stands before the pixels, in about as many bytes as one likes."""

BODIES: dict[str, Callable[[int], bytes]] = {
    "PNG chunks after the pixels": lambda size: _png(after=_chunk(b"abCd") * (size // 12)),
    "PNG EXIF tags": lambda size: _png(_chunk(b"eXIf", many_tags(min(size // 12, 65_000)))),
    "JPEG EXIF tags": lambda _: _of_segment(b"\xff\xe1", b"Exif\0\0" + many_tags(5_400)),
    "JPEG MPF tags": lambda _: _of_segment(b"\xff\xe2", b"MPF\0" + many_tags(5_400)),
    "WEBP chunks": _webp,
    "WEBP EXIF tags": lambda size: encoded(
        NOISE, "WEBP", exif=b"Exif\0\0" + many_tags(min(size // 12, 65_000))
    ),
    "AVIF boxes": _avif,
    "BMP runs of one pixel": _bmp,
    "GIF pixels in pieces": lambda size: _gif(
        b",\0\0\0\0\x40\x1f\x40\x1f\0\x08" + b"\1\0" * (size // 2) + b"\0"
    ),
    "plain PPM with comments": lambda size: b"P3\n800 800\n255\n" + b"#\n" * (size // 2) + b"0 " * 192,
    "plain PPM": lambda size: b"P3\n8000 8000\n255\n" + b"0 " * (size // 2),
    "plain PBM": lambda size: b"P1\n8000 8000\n" + b"0" * size,
}
"""The same for the pixels and what follows them."""


def mutated(count: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield damaged images with their formats: bytes changed, cut, doubled, or taken from another image."""
    draws = random.Random(seed)
    exif = Image.Exif()
    exif[0x0112] = 6
    more: dict[str, dict[str, Any]] = {"MPO": {"save_all": True, "append_images": [NOISE]}}
    whole = {
        form: encoded(NOISE, form, **more.get(form, {} if form in ("BMP", "GIF", "PPM") else {"exif": exif}))
        for form in FORMATS
    }
    extreme = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\1\0\0"]
    for number in range(count):
        form = FORMATS[number % len(FORMATS)]
        content = bytearray(whole[form])
        for _ in range(draws.choice((1, 1, 2, 4, 16))):
            # mostly in the header, where sizes, counts and offsets stand
            end = len(content) if draws.random() < 0.3 else min(len(content), 200)
            at, length = draws.randrange(max(end, 1)), draws.choice((1, 2, 4, 16, 64))
            match draws.randrange(6):
                case 0:
                    content[at : at + 1] = bytes([draws.randrange(256)])
                case 1:
                    content[at : at + 4] = draws.choice(extreme)
                case 2:
                    del content[at : at + length]
                case 3:
                    content[at:at] = content[at : at + length] * draws.choice((1, 8, 512))
                case 4:
                    other = whole[draws.choice(FORMATS)]
                    content[at : at + length] = other[at : at + length]
                case _:
                    content[at:] = b"" if draws.random() < 0.2 else content[at:]
        yield form, bytes(content)
