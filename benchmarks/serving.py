"""`zoo serve` under load: many clients, what batching brings, hostile requests, and what they leave behind.

The server is a process of its own; the clients are one process that writes requests made beforehand on open
sockets. Images are CIFAR-10's test images as PNG, or drawn ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

import zoo
from benchmarks.measuring import benchmark, in_turn, median_of, ratio_of
from benchmarks.rows import Row
from zoo.errors import ZooError
from zoo.models.torch_threads import default_threads

NAME, TEXT = "cifar10-resnet20", "nietzsche-rnn"
CLIENTS = 64
BOUNDARY = b"0123456789"


def pngs(count: int) -> list[bytes]:
    """Return the first test images of CIFAR-10, or drawn ones, as PNG files."""
    try:
        split = zoo.open_dataset("cifar10", progress=False).split("test")
    except ZooError:
        split = zoo.open_dataset("shapes", size=32, test_size=count, progress=False).split("test")
    return [encoded(Image.fromarray(split[n % len(split)][0].permute(1, 2, 0).numpy())) for n in range(count)]


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Return an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


# Runs `zoo` and writes down which files it opens
_TRACED = """
import sys
log = open(sys.argv.pop(1), "a", buffering=1)
def opened(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        log.write(arguments[0] + "\\n")
sys.addaudithook(opened)
from zoo.cli import run
sys.exit(run(sys.argv[1:]))
"""


@contextlib.contextmanager
def serving(
    folder: Path, *words: str, trace: Path | None = None, files: int = 0
) -> Iterator[tuple[int, int]]:
    """Lend the port and the process number of a server, whose current and temporary folder is `folder`.

    Args:
        trace: a file for the names of the files that the server opens.
        files: how many files it may have open, unless 0.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    python = ["-m", "zoo"] if trace is None else ["-c", _TRACED, str(trace)]
    command = [sys.executable, *python, "serve", *words, "--port", str(port), "--quiet"]
    if files:
        command = ["sh", "-c", f'ulimit -Sn {files}; exec "$@"', "sh", *command]
    environ = {**os.environ, "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                with contextlib.suppress(ConnectionError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                assert process.poll() is None
                time.sleep(0.1)
            yield port, process.pid
        finally:
            process.terminate()


def request(path: str, body: bytes, kind: str, *, method: str = "POST", host: str = "localhost") -> bytes:
    """Return a request."""
    head = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + body


def form(*inputs: bytes, **parts: bytes | str) -> bytes:
    """Return a multipart body; what is bytes is a file, and inputs are files of that name."""
    found = list[bytes]()
    for name, value in [*parts.items(), *(("input", content) for content in inputs)]:
        file = b'; filename="x.png"' if isinstance(value, bytes) else b""
        content = value if isinstance(value, bytes) else value.encode()
        found.append(
            b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n' % (BOUNDARY, name.encode(), file)
        )
        found[-1] += content + b"\r\n"
    return b"".join(found) + b"--%b--\r\n" % BOUNDARY


def upload(path: str, *inputs: bytes, **parts: bytes | str) -> bytes:
    """Return a request with a form."""
    return request(path, form(*inputs, **parts), f"multipart/form-data; boundary={BOUNDARY.decode()}")


class Client:
    """A connection, which is opened again when it is closed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, asked: bytes) -> tuple[int, bytes]:
        """Return the status and the body of an answer; 0 if there is none."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        try:
            writer.write(asked)
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 120)).lower()
            body = await _body(reader, head)
            if b"connection: close" in head:
                self.close()
            return int(head[9:12]), body
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            self.close()
            return 0, b""

    def close(self) -> None:
        """Close the connection."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """Return what follows the headers of an answer."""
    if b"transfer-encoding: chunked" in head:
        return await reader.readuntil(b"0\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return await reader.readexactly(int(line[15:]))
    return await reader.read()


async def ask_all(
    port: int, asked: Sequence[bytes], clients: int
) -> tuple[list[tuple[int, bytes]], list[float]]:
    """Return the answers to clients that each wait for one before asking again, and the seconds of each."""
    answers, seconds = [(0, b"")] * len(asked), [0.0] * len(asked)
    numbers = iter(range(len(asked)))

    async def work() -> None:
        client = Client(port)
        for number in numbers:
            began = time.perf_counter()
            answers[number] = await client.ask(asked[number])
            seconds[number] = time.perf_counter() - began
        client.close()

    await asyncio.gather(*(work() for _ in range(clients)))
    return answers, seconds


def rate(port: int, asked: Sequence[bytes], clients: int) -> float:
    """Return how many requests are answered a second."""
    began = time.perf_counter()
    asyncio.run(ask_all(port, asked, clients))
    return len(asked) / (time.perf_counter() - began)


def memory(process: int, kind: str = "VmRSS") -> float:
    """Return the memory of a process in MiB: resident now, or `VmHWM` for the most until now."""
    (line,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if kind in line)
    return int(line.split()[1]) / 1024


def hostile_requests(count: int) -> Iterator[bytes]:
    """Yield requests that are malformed, or mean harm."""
    draws = random.Random(0)
    image = Image.effect_noise((48, 40), 60).convert("RGB")
    files = [encoded(image, kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")]
    huge = encoded(Image.new("1", (30_000, 30_000)))
    words = [
        "../../etc/passwd",
        "\0",
        "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"),
        "{" * 500,
        "",
    ]
    words += ["1e999", "-1", "NaN", "[" * 500, "9" * 5_000, "%00", "🦄", "a" * 30_000, "null", "true", "{}"]
    paths = [
        "/predict",
        "/sample",
        "/analyze",
        "/models",
        "/../../etc/passwd",
        "/%2e%2e/x",
        "/openapi.json",
        "//",
        "/*",
    ]
    analyzers = [
        "grad-cam",
        "cam",
        "score-cam",
        "eigen-cam",
        "activations",
        "neighbors",
        "surprisal",
        "confusion",
    ]

    def word() -> str:
        return draws.choice(words)

    def damaged(content: bytes) -> bytes:
        found = bytearray(content[: draws.randrange(1, len(content) + 1)])
        for _ in range(draws.randrange(0, 9)):
            found[draws.randrange(len(found))] = draws.randrange(256)
        return bytes(found)

    def options() -> str:
        names = ["flips", "rectify", "batch_size", "passages", "length", "count", word()]
        return json.dumps({draws.choice(names): draws.choice([word(), -1, 10**9, 0, True, None, 1.5])})

    made = [
        lambda: upload("/predict", model=NAME, input=damaged(draws.choice(files))),
        lambda: upload("/predict", model=NAME, input=huge),
        lambda: upload("/predict", model=draws.choice([NAME, TEXT, word()]), top=word(), text=word()),
        lambda: upload(
            "/analyze", model=NAME, analyzer=draws.choice(analyzers), input=files[0], options=options()
        ),
        lambda: upload("/analyze", model=NAME, analyzer="cam", input=damaged(files[1]), layer=word()),
        lambda: upload(
            "/analyze", model=TEXT, analyzer=draws.choice(analyzers), text=word(), options=options()
        ),
        lambda: upload("/analyze", **{"model": NAME, "analyzer": "cam", "input": files[0], "class": word()}),
        lambda: request(
            "/sample", json.dumps({"model": TEXT, draws.choice(fields): word()}).encode(), "application/json"
        ),
        lambda: request(
            "/sample",
            json.dumps({"model": TEXT, "max_new_tokens": 5, "prompt": word()}).encode(),
            "application/json",
        ),
        lambda: request(
            "/sample",
            damaged(b'{"model": "nietzsche-rnn", "max_new_tokens": 5, "seed": 1e400}'),
            "application/json",
        ),
        lambda: request(
            draws.choice(paths), damaged(form(input=files[0])), f"multipart/form-data; boundary={'0' * 20}"
        ),
        lambda: request(
            draws.choice(paths),
            draws.randbytes(200),
            draws.choice(["text/plain", "multipart/form-data", "x"]),
        ),
        lambda: request(
            draws.choice(paths), b"", "", method=draws.choice(["GET", "PUT", "DELETE", "TRACE", "OPTIONS"])
        ),
        lambda: request(
            "/models", b"", "", method="GET", host=draws.choice(["evil.example.org", "[::", "a" * 5_000])
        ),
        lambda: b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        lambda: b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        lambda: draws.randbytes(100) + b"\r\n\r\n",
    ]
    fields = ["prompt", "length", "temperature", "top_k", "top_p", "stop", "seed", "x"]
    for number in range(count):
        yield made[number % len(made)]()


@benchmark(minutes=2)
def serving_load(*, requests: int = 10_000) -> Iterator[Row]:
    """Results, throughput and latency of `zoo serve` with 64 clients, compared with `zoo predict`."""
    files = pngs(requests)
    rows = zoo.load(NAME, progress=False).predict(files, progress=False)
    asked = [upload("/predict", input=file) for file in files]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), NAME) as (port, _):
        rate(port, asked[:200], CLIENTS)
        began, used = time.perf_counter(), time.process_time()
        answers, seconds = asyncio.run(ask_all(port, asked, CLIENTS))
        taken, own = time.perf_counter() - began, time.process_time() - used
    other, largest = 0, 0.0
    for (_, body), row in zip(answers, rows, strict=True):
        (served,), (ours,) = json.loads(body)[0]["predictions"], row["predictions"]
        other += served["class"] != ours["class"]
        largest = max(largest, abs(served["probability"] - ours["probability"]))
    case = f"{CLIENTS} clients"
    yield Row(case, "not answered", sum(status != 200 for status, _ in answers), "wrong", requests)
    yield Row(case, "other classes", other, "wrong", requests)
    yield Row(case, "largest difference of a probability", largest, "difference", requests)
    yield Row(case, "rate", requests / taken, "requests/s", requests)
    milliseconds = sorted(1_000 * value for value in seconds)
    yield median_of(case, "median latency", milliseconds, "ms")
    yield Row(case, "99th percentile", milliseconds[int(0.99 * requests)], "ms", requests)
    yield Row(case, "CPU time of the clients for a request", 1_000 * own / requests, "ms", requests)


@benchmark(minutes=3)
def serving_batches(*, rounds: int = 3) -> Iterator[Row]:
    """Throughput of `zoo serve` with 64 clients relative to one, and of the model in batches."""
    import torch

    torch.set_num_threads(default_threads())
    files, model = pngs(2_048), zoo.load(NAME, progress=False)
    asked = [upload("/predict", input=file) for file in files]

    def predict(size: int, count: int) -> float:
        began = time.perf_counter()
        for start in range(0, count, size):
            list(model.predict(files[start : start + size], progress=False))
        return count / (time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), NAME) as (port, _):
        ways = {
            "model, 1": lambda: predict(1, 512),
            "server, 1": lambda: rate(port, asked[:512], 1),
            "model, 64": lambda: predict(64, 2_048),
            "server, 64": lambda: rate(port, asked, CLIENTS),
        }
        rates = in_turn(ways, rounds)
    for case in ("model", "server"):
        yield median_of(case, "rate of 64", rates[f"{case}, 64"], "images/s")
        yield ratio_of(case, "64 beside 1", rates[f"{case}, 64"], rates[f"{case}, 1"], "times as fast")
    gains = {
        case: [many / one for many, one in zip(rates[f"{case}, 64"], rates[f"{case}, 1"], strict=True)]
        for case in ("model", "server")
    }
    yield ratio_of("server", "gain beside the model's", gains["server"], gains["model"], "times as much gain")
    yield ratio_of(
        "server", "64 clients beside the model, 64", rates["server, 64"], rates["model, 64"], "times as fast"
    )


@benchmark(minutes=3)
def serving_hostile(*, requests: int = 10_000) -> Iterator[Row]:
    """Statuses, memory and files that 10,000 hostile or malformed requests leave in `zoo serve`."""
    case, statuses, longest, done = f"{requests:,} requests", Counter[int](), 0.0, 0
    with tempfile.TemporaryDirectory() as name, serving(Path(name), NAME, TEXT) as (port, process):
        before, asked = set(Path(name).rglob("*")), list(hostile_requests(requests))
        while done < requests:
            answers, seconds = asyncio.run(ask_all(port, asked[done : done + 1_000], 16))
            statuses.update(status for status, _ in answers)
            longest, done = max(longest, *seconds), done + len(answers)
            yield Row(case, f"memory after {done:,}", memory(process), "MiB")
        status, _ = asyncio.run(Client(port).ask(request("/healthz", b"", "", method="GET")))
        left = set(Path(name).rglob("*")) - before
    assert status == 200, "the server does not answer any more"
    for code, count in sorted(statuses.items()):
        yield Row(case, f"status {code}" if code else "no response", count)
    yield Row(case, "5xx responses", sum(n for code, n in statuses.items() if code >= 500), "wrong", requests)
    yield Row(case, "longest", longest, "s", requests)
    yield Row(case, "files left", len(left), "wrong", requests)
