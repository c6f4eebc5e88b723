"""`zoo serve` beside clients that mean harm: silent connections, and images that cost more than they weigh.

The server, the attackers and an honest client are processes of their own on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

import zoo
from benchmarks.measuring import benchmark, chosen
from benchmarks.rows import Row
from benchmarks.serving import NAME, Client, ask_all, encoded, memory, pngs, request, serving, upload
from tests.nightly.reliability.images import BODIES, HEADERS, mutated

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# Sends a request again and again until its input ends, and prints the longest that it took to be answered in
# seconds, and how often it was refused, so that it had to be sent once more
POLLER = """
import pathlib, socket, sys, threading, time
over, longest, refused = threading.Event(), 0.0, 0
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
request = pathlib.Path(sys.argv[2]).read_bytes()
while not over.wait(0.01):
    began, status = time.perf_counter(), b""
    while status != b"200" and time.perf_counter() < began + 100:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=300) as client:
            client.sendall(request)
            status = client.makefile("rb").readline().split()[1]
        refused += status != b"200"
    longest = max(longest, time.perf_counter() - began)
print(longest, refused)
"""
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
import collections, http.client, json, pathlib, socket, sys, threading
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
print(json.dumps(statuses, separators=(',', ':')))
"""


@contextlib.contextmanager
def beside(code: str, *words: object) -> Iterator[list[str]]:
    """Run a program in another process; the list then has the words that it printed."""
    found = list[str]()
    command = [sys.executable, "-c", code, *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield found
        found.extend(process.communicate("")[0].split())


@contextlib.contextmanager
def polling(port: int, asked: bytes = HEALTH) -> Iterator[list[float]]:
    """Send a request from another process; the list then has the seconds it took at most, and refusals."""
    found = list[float]()
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(asked)
        with beside(POLLER, port, file.name) as printed:
            yield found
        found += map(float, printed)


@benchmark(minutes=1)
def silent_connections(*, connections: int = 2_000, duration: float = 20.0) -> Iterator[Row]:
    """Longest time of `/healthz` of `zoo serve` beside 2,000 connections that send half a header.

    A connection is opened again when the server closes it; once with the usual limit on open files, and once
    with 1,024.
    """
    for files in (0, 1_024):
        with (
            tempfile.TemporaryDirectory() as name,
            serving(Path(name), NAME, files=files) as (port, process),
            beside(SILENT, port, connections),
        ):
            time.sleep(5)  # until all are open
            with polling(port) as longest:
                time.sleep(duration)
            opened = len(list(Path(f"/proc/{process}/fd").iterdir()))
        case = f"{connections:,} connections, {f'{files:,} open files' if files else 'the usual limit'}"
        yield Row(case, "longest /healthz", longest[0], "s")
        yield Row(case, "open at the end", opened)


@benchmark(minutes=3)
def slow_images(*, damaged: int = 2_000, size: int = 16_000_000) -> Iterator[Row]:
    """Longest time of `/healthz` of `zoo serve` beside images that are slow to parse, and damaged images.

    Images of 16 MB whose headers or pixels cost far more than they weigh are sent one after the other, and
    then 2,000 damaged images of nine formats. Also the statuses, the memory, and the files that the server
    opened outside its folder and those of Python.
    """
    each, statuses = dict[str, float](), Counter[int]()
    with tempfile.TemporaryDirectory() as name:
        folder, trace = Path(name), Path(name, "opened")
        with serving(folder, NAME, trace=trace) as (port, process):
            asyncio.run(Client(port).ask(request("/healthz", b"", "", method="GET")))
            asyncio.run(Client(port).ask(upload("/predict", input=encoded(Image.new("RGB", (9, 9))))))
            trace.write_text("")
            for kind, make in (HEADERS | BODIES).items():
                asked = upload("/predict", input=make(size))
                with polling(port) as longest:
                    statuses[asyncio.run(Client(port).ask(asked))[0]] += 1
                each[kind] = longest[0]
            uploads = [upload("/predict", input=content) for _, content in mutated(damaged)]
            with polling(port) as longest:
                answers, _ = asyncio.run(ask_all(port, uploads, 16))
            resident = memory(process)
        opened = trace.read_text().splitlines()
    own = (name, sys.prefix, sys.base_prefix, str(Path(zoo.__file__).parents[1]))
    for kind, taken in each.items():
        yield Row(kind, "longest /healthz", taken, "s")
    case = f"{damaged:,} damaged images"
    yield Row(case, "longest /healthz", longest[0], "s")
    for title, counted in (
        (f"{len(each)} slow images", statuses),
        (case, Counter(status for status, _ in answers)),
    ):
        for status, count in sorted(counted.items()):
            yield Row(title, f"status {status}" if status else "no response", count)
    yield Row("all images", "memory at the end", resident, "MiB")
    outside = {file for file in opened if not file.startswith(own)}
    yield Row("all images", "files opened outside", len(outside), "wrong", len(each) + damaged)


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


# How many images are sent in a request, their width, and a function that makes one
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


@benchmark(minutes=8)
def image_bombs(*names: str, clients: int = 64, duration: float = 10.0) -> Iterator[Row]:
    """Longest time of an honest prediction of `zoo serve` beside 64 clients that send images of great cost.

    Each image is sent to `/predict` and then to `/analyze` for ten seconds, without pauses. Also how often
    the honest client was refused, the statuses of the attackers, and the most memory that the server took.
    """
    honest = upload("/predict", input=pngs(1)[0]).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    for name in chosen(names, BOMBS):
        count, side, make = BOMBS[name]
        # an image to analyze may have half as many pixels
        attacks = {
            "/predict": upload("/predict", *[make(side)] * count),
            "/analyze": upload("/analyze", make(int(0.7 * side)), analyzer="grad-cam"),
        }
        for path, attack in attacks.items():
            with tempfile.TemporaryDirectory() as place:
                file = Path(place, "attack")
                file.write_bytes(attack)
                with serving(Path(place), NAME) as (port, process):
                    asyncio.run(Client(port).ask(honest))
                    with beside(ATTACKER, port, file, clients) as printed, polling(port, honest) as longest:
                        time.sleep(duration)
                    peak = memory(process, "VmHWM")
            case = f"{name}, {path}"
            yield Row(case, "size of a request", len(attack) / 1e6, "MB of a request")
            yield Row(case, "longest prediction", longest[0], "s")
            yield Row(case, "predictions refused", longest[1])
            yield Row(case, "peak memory", peak, "MiB")
            for status, sent in json.loads(printed[0]).items():
                yield Row(case, f"attackers, status {status}", sent)
