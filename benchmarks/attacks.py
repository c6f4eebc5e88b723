"""`zoo serve` beside clients that mean harm: silent connections, and images that cost more than they weigh.

    python benchmarks/attacks.py [silent bombs]

The server, the attackers and an honest client are processes of their own on this machine.

- silent: 2,000 connections with half a header, which are opened again when the server closes them, once with
  the usual limit on open files and once with 1,024; how long `/healthz` took at most.
- bombs: images, each sent to `/predict` and then to `/analyze` by 64 clients at once, for 10 seconds, without
  pauses; how long the prediction of a small image took at most, and how often it had to be sent again because
  it was refused; the statuses of the attackers, and the most memory that the server took.
"""

from __future__ import annotations

import asyncio
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from serving import NAME, Client, beside, encoded, memory, pngs, polling, run, serving, upload

from tests.nightly.reliability.images import BODIES

SILENT_CLIENTS, BOMB_CLIENTS, SECONDS = 2_000, 64, 10

# Keeps connections open, and sends each the beginning of a request, until its input ends
SILENT = r"""
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, 2 * resource.getrlimit(resource.RLIMIT_NOFILE)[1:])
async def connection():
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
            writer.write(b"GET / HTTP/1.1\r\nHost: local")
            await reader.read()
            writer.transport.abort()
        except OSError:
            pass
async def main():
    connections = [asyncio.create_task(connection()) for _ in range(int(sys.argv[2]))]
    await asyncio.to_thread(sys.stdin.read)
    for one in connections:
        one.cancel()
asyncio.run(main())
"""
# Sends a request from several clients at once, without pauses, until its input ends; prints the statuses
ATTACKER = """
import collections, http.client, pathlib, socket, sys, threading
over, statuses = threading.Event(), collections.Counter()
request = pathlib.Path(sys.argv[2]).read_bytes()
def attack():
    while not over.is_set():
        try:
            with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=300) as client:
                client.sendall(request)
                answer = http.client.HTTPResponse(client)
                answer.begin()
                answer.read()
                statuses[answer.status] += 1
        except (OSError, http.client.HTTPException):
            statuses["none"] += 1
for _ in range(int(sys.argv[3])):
    threading.Thread(target=attack, daemon=True).start()
sys.stdin.read()
print(dict(statuses))
"""


def silent(folder: Path) -> None:
    """Poll a server beside many connections that send nothing more."""
    for files in (0, 1_024):
        with serving(folder, NAME, files=files) as (port, process), beside(SILENT, port, SILENT_CLIENTS):
            time.sleep(5)  # until all are open
            with polling(port) as longest:
                time.sleep(2 * SECONDS)
            opened = len(list(Path(f"/proc/{process}/fd").iterdir()))
        limit = f"a limit of {files:,}" if files else "the usual limit"
        print(
            f"{SILENT_CLIENTS:,} silent connections, {limit} on open files, {opened:,} open at the end:",
            f"/healthz at most {longest[0]:.3f} s",
            flush=True,
        )


def scans(side: int, count: int) -> bytes:
    """Return a progressive JPEG that repeats its last scan."""
    whole = encoded(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    last = whole[whole.rfind(b"\xff\xc4", 0, whole.rfind(b"\xff\xda")) : -2]
    return whole[:-2] + count * last + whole[-2:]


def texts(count: int) -> bytes:
    """Return a small PNG with compressed texts of a megabyte each."""
    text = b"zTXta\0\0" + zlib.compress(bytes(1_000_000), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    whole = encoded(Image.new("RGB", (40, 40)), "PNG")
    return whole[:33] + count * chunk + whole[33:]


def flat(mode: str, form: str, **options: Any) -> Callable[[int], bytes]:
    """Return a function that makes a black square image."""
    return lambda side: encoded(Image.new(mode, (side, side)), form, **options)


def noise(form: str, **options: Any) -> Callable[[int], bytes]:
    """Return a function that makes a square image that compresses badly."""
    return lambda side: encoded(Image.effect_noise((side, side), 60).convert("RGB"), form, **options)


def column(side: int) -> bytes:
    """Return an image of the pixels of a square in one column."""
    return encoded(Image.new("L", (1, side * side)), "PNG")


BOMBS: dict[str, tuple[int, int, Callable[[int], bytes]]] = {
    "PNG in a column, too many pixels": (32, 8192, column),
    "PNG in a column": (1, 4096, column),
    "PNG of 16 bits": (1, 4096, flat("I;16", "PNG")),
    "WebP, too many pixels": (16, 8000, flat("RGB", "WEBP")),
    "WebP of noise": (1, 4096, noise("WEBP", method=0, quality=60)),
    "WebPs of noise": (16, 1024, noise("WEBP", method=0)),
    "AVIF of noise": (1, 4096, noise("AVIF", speed=10, quality=60)),
    "JPEG of 98 scans": (1, 8192, lambda side: scans(side, 88)),
    "JPEG of 15 scans": (1, 8192, lambda side: scans(side, 5)),
    "small JPEG of 98 scans": (1, 2048, lambda side: scans(side, 88)),
    "TIFF in Lab": (1, 4096, flat("LAB", "TIFF", compression="tiff_deflate")),
    "GIF": (1, 4096, flat("L", "GIF")),
    "PNG with a million chunks": (1, 0, lambda _: BODIES["PNG chunks after the pixels"](16_000_000)),
    "PNGs with 64 MB of compressed texts": (64, 0, lambda _: texts(64)),
    "plain PPM of 16 MB": (1, 0, lambda _: BODIES["plain PPM"](16_000_000)),
    "plain PPMs of 2 MB": (8, 0, lambda _: b"P3\n600 600\n255\n" + b"0 " * 1_000_000),
}
"""How many images are sent in a request, their width, and a function that makes one."""


def bombs(folder: Path) -> None:
    """Ask for predictions of a small image beside clients that send images of great cost."""
    honest = upload("/predict", input=pngs(1)[0]).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    for name, (count, side, make) in BOMBS.items():
        # an image to analyze may have half as many pixels
        attacks = {
            "/predict": upload("/predict", *[make(side)] * count),
            "/analyze": upload("/analyze", make(int(0.7 * side)), analyzer="grad-cam"),
        }
        for path, attack in attacks.items():
            (folder / "attack").write_bytes(attack)
            with serving(folder, NAME) as (port, process):
                asyncio.run(Client(port).ask(honest))
                with (
                    beside(ATTACKER, port, folder / "attack", BOMB_CLIENTS) as statuses,
                    polling(port, honest) as longest,
                ):
                    time.sleep(SECONDS)
                peak = memory(process, "VmHWM")
            print(
                f"{name}, {count} of {len(attack) / count / 1e6:.2f} MB" if path == "/predict" else name,
                f"to {path}: answered after at most {longest[0]:.2f} s, {longest[1]:.0f} times refused;",
                f"attackers {' '.join(statuses)}; {peak:,.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    run({"silent": silent, "bombs": bombs})
