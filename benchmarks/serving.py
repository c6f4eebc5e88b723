"""`zoo serve` under load: many clients, what batching brings, hostile requests, and what they leave behind.

    ZOO_DATA=FOLDER python benchmarks/serving.py [load batching hostile images]

The server is a process of its own; the clients are one process that writes requests made beforehand on open
sockets, and says how much time of a core it takes. Images are CIFAR-10's test images as PNG, or drawn ones.

- load: 64 clients, 10,000 requests of one image; each answer is compared with that of `model.predict`.
- batching: images a second of the model in batches of 1 and 64, and of the server with 1 and 64 clients, in
  turn; what 64 clients gain, as a share of what the model gains.
- hostile: 10,000 malformed or hostile requests, from 16 clients; their statuses, the server's memory after a
  thousand and after all, and files that were not there before.
- images: images of 16 MB whose headers or pixels cost far more than they weigh, one after the other, and
  2,000 damaged images of nine formats; how long `/healthz` took at most, asked all the while by another
  process, the statuses, and the files that the server opened outside its folder and those of Python.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

import zoo
from tests.nightly.reliability.images import BODIES, HEADERS, mutated
from zoo.errors import ZooError
from zoo.models.torch_threads import default_threads

NAME, TEXT = "cifar10-resnet20", "nietzsche-rnn"
CLIENTS, REQUESTS, HOSTILE = 64, 10_000, 10_000
MUTATED = 2_000
TURNS = 3
BOUNDARY = b"0123456789"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


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
TRACED = """
import sys
log = open(sys.argv.pop(1), "a", buffering=1)
def opened(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        log.write(arguments[0] + "\\n")
sys.addaudithook(opened)
from zoo.cli import run
sys.exit(run(sys.argv[1:]))
"""
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


@contextlib.contextmanager
def serving(
    folder: Path, *words: str, trace: Path | None = None, files: int = 0
) -> Iterator[tuple[int, int]]:
    """Lend the port and the process number of a server, whose current and temporary folder is `folder`.

    It may have `files` files open, if that is not 0.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    python = ["-m", "zoo"] if trace is None else ["-c", TRACED, str(trace)]
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


def timed(
    port: int, asked: Sequence[bytes], clients: int
) -> tuple[float, list[tuple[int, bytes]], list[float]]:
    """Return requests a second, answers, and the seconds of each."""
    began = time.perf_counter()
    answers, seconds = asyncio.run(ask_all(port, asked, clients))
    return len(asked) / (time.perf_counter() - began), answers, seconds


def load(folder: Path) -> None:
    """Compare answers under load with those of the model."""
    files = pngs(REQUESTS)
    rows = zoo.load(NAME, progress=False).predict(files, progress=False)
    with serving(folder, NAME) as (port, _):
        asked = [upload("/predict", input=file) for file in files]
        timed(port, asked[:200], CLIENTS)
        before = time.process_time()
        rate, answers, seconds = timed(port, asked, CLIENTS)
        own = time.process_time() - before
    wrong = sum(status != 200 for status, _ in answers)
    other = largest = 0
    for (_, body), row in zip(answers, rows, strict=True):
        (served,) = json.loads(body)[0]["predictions"]
        (ours,) = row["predictions"]
        other += served["class"] != ours["class"]
        largest = max(largest, abs(served["probability"] - ours["probability"]))
    milliseconds = sorted(1_000 * value for value in seconds)
    p50, p99 = statistics.median(milliseconds), milliseconds[int(0.99 * len(milliseconds))]
    print(
        f"{len(asked):,} requests of {CLIENTS} clients: {rate:,.0f}/s, {wrong} not answered,",
        f"{other} other classes,",
    )
    print(f"    probabilities differ by at most {largest:.1e}; p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(f"    the clients took {1_000 * own / len(asked):.2f} ms of a core for each request")


def batching(folder: Path) -> None:
    """Compare what many clients gain with what a batch gains."""
    import torch

    torch.set_num_threads(default_threads())
    files, model = pngs(2_048), zoo.load(NAME, progress=False)
    asked = [upload("/predict", input=file) for file in files]
    rates: dict[str, list[float]] = {"model, 1": [], "model, 64": [], "server, 1": [], "server, 64": []}

    def predict(size: int, count: int) -> float:
        began = time.perf_counter()
        for start in range(0, count, size):
            list(model.predict(files[start : start + size], progress=False))
        return count / (time.perf_counter() - began)

    with serving(folder, NAME) as (port, _):
        predict(64, 512)
        timed(port, asked[:512], CLIENTS)
        for _ in range(TURNS):
            rates["model, 1"].append(predict(1, 512))
            rates["server, 1"].append(timed(port, asked[:512], 1)[0])
            rates["model, 64"].append(predict(64, 2_048))
            rates["server, 64"].append(timed(port, asked, CLIENTS)[0])
    best = {name: max(values) for name, values in rates.items()}
    print(", ".join(f"{name}: {rate:,.0f}/s" for name, rate in best.items()))
    by_model, by_server = best["model, 64"] / best["model, 1"], best["server, 64"] / best["server, 1"]
    share = best["server, 64"] / best["model, 64"]
    print(f"a batch of 64 gains {by_model:.2f} x, 64 clients {by_server:.2f} x: {by_server / by_model:.0%}")
    print(f"    64 clients have {share:.0%} of the model's rate in batches of 64")


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


def hostile(folder: Path) -> None:
    """Count the answers to hostile requests, and look at what they leave."""
    with serving(folder, NAME, TEXT) as (port, process):
        before = set(folder.rglob("*"))
        asked = list(hostile_requests(HOSTILE))
        answers, seconds = list[tuple[int, bytes]](), list[float]()
        resident = list[float]()
        for start in range(0, len(asked), 1_000):
            more, took = asyncio.run(ask_all(port, asked[start : start + 1_000], 16))
            answers += more
            seconds += took
            resident.append(memory(process))
        status, _ = asyncio.run(Client(port).ask(request("/healthz", b"", "", method="GET")))
        left = set(folder.rglob("*")) - before
    statuses = Counter(status for status, _ in answers)
    print(
        f"{len(asked):,} hostile requests: {dict(sorted(statuses.items()))}, the longest {max(seconds):.1f} s"
    )
    print(f"    resident after each 1,000: {', '.join(f'{value:.0f}' for value in resident)} MiB")
    print(f"    files left: {len(left)}; afterwards /healthz answers {status}")


def images(folder: Path) -> None:
    """Poll a server to which images are sent that cost more than they weigh, and damaged ones."""
    made = HEADERS | BODIES
    trace = folder / "opened"
    with serving(folder, NAME, trace=trace) as (port, process):
        ready = request("/healthz", b"", "", method="GET")
        asyncio.run(Client(port).ask(ready))
        asyncio.run(Client(port).ask(upload("/predict", input=encoded(Image.new("RGB", (9, 9))))))
        trace.write_text("")
        each = dict[str, float]()
        statuses = Counter[int]()
        for name, make in made.items():
            asked = upload("/predict", input=make(16_000_000))
            with polling(port) as longest:
                statuses[asyncio.run(Client(port).ask(asked))[0]] += 1
            each[name] = longest[0]
        damaged = [upload("/predict", input=content) for _, content in mutated(MUTATED)]
        with polling(port) as longest:
            answers, _ = asyncio.run(ask_all(port, damaged, 16))
        peak = memory(process)
    own = (str(folder), sys.prefix, sys.base_prefix, str(Path(zoo.__file__).parents[1]))
    outside = {name for name in trace.read_text().splitlines() if not name.startswith(own)}
    worst = max(each, key=lambda name: each[name])
    print(f"{len(made)} images of 16 MB: {dict(statuses)}, /healthz at most {each[worst]:.2f} s ({worst})")
    counts = dict(Counter(status for status, _ in answers))
    print(f"{MUTATED:,} damaged images: {counts}, /healthz at most {longest[0]:.2f} s")
    print(f"    resident at the end: {peak:.0f} MiB; files opened outside: {sorted(outside) or 'none'}")


def memory(process: int, kind: str = "VmRSS") -> float:
    """Return the memory of a process in MiB: resident now, or `VmHWM` for the most until now."""
    (line,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if kind in line)
    return int(line.split()[1]) / 1024


def run(measures: Mapping[str, Callable[[Path], None]]) -> None:
    """Call the functions that the arguments name, or all of them, each with a temporary folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=[], choices=[*measures, []])
    for name in parser.parse_args().what or measures:
        with tempfile.TemporaryDirectory() as folder:
            measures[name](Path(folder))


if __name__ == "__main__":
    run({"load": load, "batching": batching, "hostile": hostile, "images": images})
