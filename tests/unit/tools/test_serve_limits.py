"""What a server refuses: requests that are too large, too many, too slow, or of somebody who may not ask."""

from __future__ import annotations

import asyncio
import functools
import io
import itertools
import resource
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.vocabulary import Vocabulary
from zoo.errors import OptionError
from zoo.plugin import InputReader, image_reader

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
import httpx2
import uvicorn
from starlette.testclient import TestClient

from zoo.tools.serve.access import Access, is_loopback
from zoo.tools.serve.app import create_app
from zoo.tools.serve.http_protocol import Connections, Protocol
from zoo.tools.serve.model_threads import Worker
from zoo.tools.serve.request_limits import RequestLimits
from zoo.tools.serve.served_models import Served

LOCAL = "http://localhost:8000"
SMALL = RequestLimits(body=200_000, inputs=3, pixels=2_000, characters=50, requests=2, seconds=20)
FORM = {"content-type": "application/x-www-form-urlencoded"}
TOKEN = "a token of somebody"


class Clock:
    """The clock of the event loop and of the server. It can be advanced, so that no test depends on speed."""

    def __init__(self) -> None:
        self._monotonic = time.monotonic
        self._ahead = 0.0

    def __call__(self) -> float:
        return self._monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


class Fake:
    """A model that predicts once it may, samples without end, and calls its module without end to analyze.

    Attributes:
        steps: called for each token of a sample and each call of the module, with the number of those before.
    """

    name = "fake"
    analyzers = ()
    vocabulary = Vocabulary({"vocabulary": ["a", "b"], "specials": 0})
    worker: Worker

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.begin = threading.Event()
        self.begin.set()
        self.module = torch.nn.Identity()
        self.steps: Callable[[int], object] = lambda _: None

    def predict(self, given: Iterable[Any], **_: Any) -> list[dict[str, Any]]:
        self.seen += (inputs := [*given])
        self.begin.wait(20)
        return [{"input": "", "predictions": [], "error": None} for _ in inputs]

    def sample(self, *_: Any, **__: Any) -> Fake:
        return self

    def stream(self) -> Iterator[tuple[str, float]]:
        for step in itertools.count():
            self.steps(step)
            time.sleep(0.001)
            yield "a", 1.0

    def analyze(self, analyzer: str, *_: Any, **__: Any) -> Any:
        if analyzer == "labels":
            raise OptionError("labels are missing", hint="choose a split with --split")
        for step in itertools.count():
            self.steps(step)
            self.module(torch.zeros(1))


class Reading:
    """Reads images; those of more than 100 pixels in width wait until they may.

    Attributes:
        seen: widths of the images that were read, or are being read.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.begin = threading.Event()
        self.reader = InputReader(read=self.read, what="images", picture=lambda *_: Image.new("RGB", (8, 8)))

    def read(self, content: bytes) -> tuple[Any, int]:
        self.seen.append(Image.open(io.BytesIO(content)).width)
        if self.seen[-1] > 100:
            self.begin.wait(20)
        return np.zeros((3, 8, 8), np.uint8), -1


@contextmanager
def serving(
    limits: RequestLimits = SMALL, *, images: InputReader | None = None, **more: Any
) -> Iterator[tuple[Fake, Any]]:
    """Lend a model of images, `net`, and one of texts, `text`, which are one, and their application."""
    model = Fake()
    model.worker = worker = Worker(cast("Any", model))
    readers = {
        "net": images or image_reader(size=8, channels=3),
        "text": InputReader(read=str, what="texts", strings=True),
    }
    fake: Any = {"model": model, "worker": worker, "samples": True, "facts": {}, "page": ""}
    served = [Served(name=name, reader=reader, **fake) for name, reader in readers.items()]
    try:
        yield model, create_app(served, limits=limits, **more)
    finally:
        model.begin.set()
        worker.close()


@pytest.fixture
def client() -> Iterator[TestClient]:
    with serving() as (_, app), TestClient(app, base_url=LOCAL) as client:
        yield client


def image(width: int, height: int, form: str = "PNG") -> tuple[str, bytes]:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, form)
    return ("x", buffer.getvalue())


def said(answer: Any) -> tuple[int, str]:
    (error,) = answer.json().values()
    assert error.keys() == {"message", "hint"}
    return answer.status_code, error["message"]


def files(count: int, side: int = 10, form: str = "PNG") -> dict[str, Any]:
    return {"data": {"model": "net"}, "files": [("input", image(side, side, form))] * count}


@pytest.mark.parametrize(
    ("path", "request_", "status", "message"),
    [
        ("/predict", files(3), 200, ""),
        ("/predict", files(4), 413, "a request may have at most 3 inputs"),
        ("/predict", files(2, 40), 413, "may have at most 2,000 pixels in total (got 3,200)"),
        (
            "/analyze",
            {**files(1, 40), "data": {"model": "net", "analyzer": "x"}},
            413,
            "at most 1,000 pixels",
        ),
        ("/predict", {"data": {"model": "text", "text": ["a" * 20] * 2}}, 200, ""),
        ("/predict", {"data": {"model": "text", "text": ["a" * 20] * 3}}, 413, "50 characters (got 60)"),
        ("/predict", {"data": {"model": "text", "text": ["a"] * 4}}, 413, "at most 3 inputs (got 4)"),
        ("/predict", {"data": {"model": "text", "text": [""] * 200}}, 413, "at most 3 inputs"),
        ("/analyze", {"data": {"model": "text", "text": "a" * 60, "analyzer": "x"}}, 413, "50 characters"),
        ("/sample", {"json": {"model": "text", "prompt": "a" * 60}}, 413, "50 characters (got 60)"),
        ("/sample", {"json": {"model": "text", "stop": "a" * 60}}, 413, "50 characters (got 60)"),
        (
            "/sample",
            {"json": {"max_new_tokens": 10_001}},
            422,
            "max_new_tokens must be less than or equal to 10000 (got 10001)",
        ),
        ("/sample", {"json": {"temperature": 1e9}}, 422, "temperature must be less"),
        ("/sample", {"json": {"prompt": "a" * 90_000}}, 413, "at most 16,834 bytes"),
        ("/sample", {"content": b" " * 90_000, "headers": {}}, 413, "at most 16,834 bytes"),
        ("/predict", {"content": b"&" * 90_000, "headers": FORM}, 413, "at most 16,834 bytes"),
        ("/predict", {"files": [("input", ("x", b"a" * 300_000))]}, 413, "at most 200,000 bytes"),
    ],
)
def test_a_request_is_limited(
    client: TestClient, path: str, request_: dict[str, Any], status: int, message: str
) -> None:
    headers = {"content-type": "application/json"} if "content" in request_ else {}
    asked: Any = {"headers": headers} | request_
    answer = client.post(path, **asked)
    if status == 200:
        assert answer.status_code == 200, answer.text
    else:
        got, words = said(answer)
        assert (got, message in words) == (status, True), words


@pytest.mark.parametrize(
    ("path", "kind", "most"),
    [
        ("/predict", "multipart/form-data; boundary=a", 200_000),
        ("/predict", "application/x-www-form-urlencoded", 16_834),
        ("/sample", "application/json", 16_834),
        ("/sample", "text/plain", 16_834),
    ],
)
def test_a_body_of_unknown_length_is_refused_while_it_arrives(path: str, kind: str, most: int) -> None:
    taken, sent = 0, list[Any]()

    async def receive() -> Any:
        nonlocal taken
        taken += 1
        start = b'--a\r\nContent-Disposition: form-data; name="input"; filename="x"\r\n\r\n'
        filler = b"&" if "urlencoded" in kind else b" "
        body = start.ljust(1_000) if taken == 1 and "multipart" in kind else filler * 1_000
        return {"type": "http.request", "body": body, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    with serving() as (_, app):
        asyncio.run(asyncio.wait_for(app(scope(path, kind), receive, send), 20))
    assert (sent[0]["status"], taken) == (413, most // 1_000 + 1)
    assert (b"connection", b"close") in sent[0]["headers"]  # or the rest would be read as part of it
    assert f"a request may have at most {most:,} bytes".encode() in sent[1]["body"]


def scope(path: str, kind: str) -> dict[str, Any]:
    """Return a POST request as an ASGI server says it, but for its body."""
    headers = [(b"host", b"localhost"), (b"content-type", kind.encode())]
    about: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "query_string": b"",
        "asgi": {"version": "3.0"},
    }
    return about | {"path": path, "headers": headers}


def test_the_description_has_the_bounds(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    max_new_tokens = described["components"]["schemas"]["SampleRequest"]["properties"]["max_new_tokens"]
    assert (max_new_tokens["minimum"], max_new_tokens["maximum"]) == (0, 10_000)
    assert {"401", "403", "413", "421", "503", "504"} <= described["paths"]["/predict"]["post"][
        "responses"
    ].keys()


def together(ask: Callable[[httpx2.AsyncClient], Any], app: Any) -> Any:
    """Return what a coroutine returns that asks an application."""

    async def run() -> Any:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url=LOCAL) as client:
            return await ask(client)

    return asyncio.run(run())


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


def score(client: httpx2.AsyncClient, text: str) -> asyncio.Task[Any]:
    return asyncio.create_task(client.post("/predict", data={"model": "text", "text": text}))


def test_a_full_server_says_when_to_try_again() -> None:
    with serving() as (model, app):
        model.begin.clear()

        async def ask(client: httpx2.AsyncClient) -> Any:
            first = score(client, "a")
            await until(lambda: bool(model.seen))
            second = score(client, "b")
            await until(lambda: bool(model.worker.waiting))
            refused = await score(client, "c")
            health = await client.get("/healthz")
            model.begin.set()
            return refused, health, await first, await second, await score(client, "d")

        refused, health, *served = together(ask, app)
    assert said(refused) == (503, "the server is busy: 2 requests are being served")
    assert refused.headers["retry-after"] == "1"
    assert [answer.status_code for answer in (health, *served)] == [200] * 4
    assert model.seen == ["a", "b", "d"]


def predict(client: httpx2.AsyncClient, *images: tuple[str, bytes]) -> asyncio.Task[Any]:
    given = [("input", image) for image in images]
    return asyncio.create_task(client.post("/predict", data={"model": "net"}, files=given))


def test_on_a_full_server_the_image_with_most_pixels_makes_room() -> None:
    reading, file = Reading(), io.BytesIO()
    Image.effect_noise((90, 90), 90).save(file, "BMP")  # fewer pixels, but more bytes
    with serving(RequestLimits(requests=2), images=reading.reader) as (model, app):
        model.begin.clear()

        async def ask(client: httpx2.AsyncClient) -> Any:
            huge = predict(client, image(2_100, 2_100))
            await until(lambda: 2_100 in reading.seen)
            other = predict(client, ("x", file.getvalue()))
            await until(lambda: 90 in reading.seen)
            small = predict(client, image(10, 10))
            refused = await huge
            model.begin.set()
            reading.begin.set()
            return refused, await other, await small

        refused, *served = together(ask, app)
    assert refused.status_code == 503
    assert [answer.status_code for answer in served] == [200, 200]


def test_large_images_are_decoded_one_at_a_time_and_small_ones_meanwhile() -> None:
    reading = Reading()
    with serving(RequestLimits(), images=reading.reader) as (_, app):

        async def ask(client: httpx2.AsyncClient) -> Any:
            large = [predict(client, image(side, 2_100)) for side in (2_100, 2_200)]
            await until(lambda: bool(reading.seen))
            small = [await predict(client, image(10, 10)) for _ in range(3)]
            seen = [*reading.seen]
            reading.begin.set()
            return seen, small + await asyncio.gather(*large)

        seen, answers = together(ask, app)
    assert seen[1:] == [10, 10, 10]
    assert [answer.status_code for answer in answers] == [200] * 5


def test_images_of_a_request_that_is_over_are_not_decoded(clock: Clock) -> None:
    reading = Reading()
    with serving(RequestLimits(), images=reading.reader) as (_, app):

        async def ask(client: httpx2.AsyncClient) -> Any:
            late = predict(client, *(image(side, 2_100) for side in (2_100, 2_110, 2_120)))
            await until(lambda: bool(reading.seen))
            clock.advance(RequestLimits().seconds)
            assert said(await late)[0] == 504
            reading.begin.set()
            return await predict(client, image(2_200, 2_200))

        answer = together(ask, app)
    assert (answer.status_code, len(reading.seen), reading.seen[-1]) == (200, 2, 2_200)


def test_what_waits_too_long_is_refused_and_never_computed(clock: Clock) -> None:
    with serving() as (model, app):
        model.begin.clear()

        async def ask(client: httpx2.AsyncClient) -> Any:
            first = score(client, "a")
            await until(lambda: bool(model.seen))
            second = score(client, "b")
            await until(lambda: bool(model.worker.waiting))
            clock.advance(SMALL.seconds)
            refused = await asyncio.gather(first, second)
            model.begin.set()
            return refused, await score(client, "c")

        refused, served = together(ask, app)
    assert [said(one) for one in refused] == [(504, "the request took more than 20 seconds")] * 2
    assert (served.status_code, model.seen) == (200, ["a", "c"])


def test_the_server_answers_while_an_image_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    opening, go_on, waited = threading.Event(), threading.Event(), list[bool]()

    def open_(*_: Any, **__: Any) -> Any:
        opening.set()
        waited.append(go_on.wait(20))
        raise ValueError("enough")

    monkeypatch.setattr(Image, "open", open_)
    with serving(RequestLimits(seconds=60)) as (_, app):

        async def ask(client: httpx2.AsyncClient) -> Any:
            first = asyncio.create_task(client.post("/predict", **files(1)))
            await until(opening.is_set)
            health = await client.get("/healthz")
            go_on.set()
            return health, await first

        answers = together(ask, app)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert all(waited)


def test_the_time_limit_does_not_wait_for_an_image(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    opening, go_on = threading.Event(), threading.Event()

    def open_(*_: Any, **__: Any) -> Any:
        opening.set()
        go_on.wait(20)

    async def ask(client: httpx2.AsyncClient) -> Any:
        refused = asyncio.create_task(client.post("/predict", **files(1)))
        try:
            await until(opening.is_set)
            clock.advance(SMALL.seconds)
            return await refused
        finally:
            go_on.set()  # or the loop would wait for the thread that opens it

    monkeypatch.setattr(Image, "open", open_)
    with serving() as (model, app):
        refused = together(ask, app)
    assert (said(refused)[0], model.seen) == (504, [])


def test_what_a_client_leaves_is_never_computed() -> None:
    with serving() as (model, app):
        model.begin.clear()
        left = asyncio.Event()
        body = b"model=text&text=left"
        request = scope("/predict", "application/x-www-form-urlencoded")
        messages = iter([{"type": "http.request", "body": body}])
        sent: list[Any] = []

        async def receive() -> Any:
            if (message := next(messages, None)) is not None:
                return message
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        async def ask(client: httpx2.AsyncClient) -> Any:
            first = score(client, "a")
            await until(lambda: bool(model.seen))
            leaving = asyncio.create_task(app(request, receive, send))
            await until(lambda: bool(model.worker.waiting))
            left.set()
            await leaving
            model.begin.set()
            return await first, await score(client, "b")

        served = together(ask, app)
    assert [answer.status_code for answer in served] == [200, 200]
    assert (model.seen, sent) == (["a", "b"], [])


def over(clock: Clock) -> Callable[[int], None]:
    """Return a function for `Fake.steps` that ends the time of a request at its hundredth step."""
    return lambda step: clock.advance(SMALL.seconds) if step == 100 else None


def test_a_text_ends_when_its_time_is_over(clock: Clock) -> None:
    with serving() as (model, app), TestClient(app, base_url=LOCAL) as client:
        model.steps = over(clock)
        text = client.post("/sample", json={"model": "text"}).text
    *tokens, last, end = text.split("\n\n")
    assert (bool(tokens), end) == (True, "")
    assert last.startswith('event: error\ndata: {"error":{"message":"the request took too long"')


def test_an_analysis_ends_when_its_time_is_over(clock: Clock) -> None:
    with serving() as (model, app), TestClient(app, base_url=LOCAL) as client:
        model.steps = over(clock)
        answer = client.post("/analyze", data={"model": "text", "text": "a", "analyzer": "x"})
        assert said(answer)[0] == 504
        answer = client.post("/predict", data={"model": "text", "text": "a"})  # by the same thread
        assert answer.status_code == 200
        model.module(torch.zeros(1))


class Connection:
    """A client's connection to a server on this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def status(self, sent: str = "") -> int:
        """Send the rest of a request, and return the status of the answer after its headers have arrived."""
        self.writer.write(sent.encode())
        return int((await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)).split()[1])

    async def end(self) -> bytes:
        """Return all that the server sends until it closes the connection."""
        found = b""
        with suppress(ConnectionError):
            while piece := await asyncio.wait_for(self.reader.read(2**20), 20):
                found += piece
        return found


Connect = Callable[[str], Coroutine[Any, Any, Connection]]


def served(ask: Callable[[Connect], Any], app: Any, **limits: Any) -> None:
    """Run a coroutine that connects to a server of an application and sends the beginnings of requests."""
    opened: list[Connection] = []
    limits = {"patience": 100, **limits}

    async def run() -> None:
        http: Any = functools.partial(Protocol, connections=Connections(**limits))
        server = uvicorn.Server(uvicorn.Config(app, http=http, log_level="critical"))
        with socket.create_server(("127.0.0.1", 0)) as listener:

            async def connect(sent: str) -> Connection:
                opened.append(Connection(*await asyncio.open_connection(*listener.getsockname())))
                opened[-1].writer.write(sent.encode())
                return opened[-1]

            running = asyncio.create_task(server.serve([listener]))
            try:
                await until(lambda: server.started)
                await ask(connect)
            finally:
                for one in opened:
                    one.writer.transport.abort()
                server.should_exit = True
                await running

    asyncio.run(run())


START = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
HEALTH = f"{START}\r\n"
PREDICT = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM['content-type']}\r\n"
SCORE = f"{PREDICT}Content-Length: 17\r\n\r\nmodel=text&text=a"


@pytest.mark.parametrize(
    ("whole", "half"), [("", ""), ("", "G"), ("", START), (HEALTH, "G"), (HEALTH, START)]
)
def test_headers_that_do_not_arrive_end_the_connection(whole: str, half: str, clock: Clock) -> None:
    async def ask(connect: Connect) -> None:
        late = await connect(whole)
        assert not whole or await late.status(half) == 200
        late.writer.write(half.encode())
        predicting = await connect(SCORE)
        await until(lambda: bool(model.seen))
        clock.advance(1)
        late.writer.write(b"x" if half else b"")  # a byte now and then gains no time
        assert await (await connect(HEALTH)).status() == 200
        assert not late.reader.at_eof()
        clock.advance(10)
        await late.end()
        model.begin.set()
        assert await predicting.status() == 200  # what has arrived in full is answered

    with serving() as (model, app):
        model.begin.clear()
        served(ask, app)


def test_a_body_that_does_not_arrive_ends_the_connection(clock: Clock) -> None:
    async def ask(connect: Connect) -> None:
        slow = await connect(f"{PREDICT}Content-Length: 99\r\n\r\nmodel=net")
        assert await (await connect(HEALTH)).status() == 200
        clock.advance(SMALL.seconds / 2)
        slow.writer.write(b"x")
        assert await (await connect(HEALTH)).status() == 200
        assert not slow.reader.at_eof()
        clock.advance(SMALL.seconds)
        assert (await slow.end()).startswith(b"HTTP/1.1 504 ")

    with serving() as (_, app):
        served(ask, app)


@pytest.mark.parametrize("head", [START, PREDICT.replace("predict", "nowhere")])
def test_a_body_that_nobody_reads_ends_the_connection(head: str) -> None:
    async def ask(connect: Connect) -> None:
        left = await connect(f"{head}Content-Length: 99\r\n\r\nx")
        assert await left.status() in (200, 405)
        left.writer.write(b"x")
        await left.end()

    with serving() as (_, app):
        served(ask, app)


def test_a_client_that_does_not_read_is_disconnected(clock: Clock) -> None:
    size = 50_000_000  # more than all buffers hold

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": bytes(size)})

    async def ask(connect: Connect) -> None:
        idle = await connect(HEALTH)
        assert await idle.status() == 200
        clock.advance(101)
        await asyncio.sleep(0.01)
        assert len(await idle.end()) < size

    served(ask, app)


def test_at_the_limit_the_oldest_connection_without_a_request_makes_room() -> None:
    async def ask(connect: Connect) -> None:
        predicting = await connect(SCORE)
        await until(lambda: bool(model.seen))
        silent = [await connect("GET") for _ in range(10)]
        for old in silent[:7]:
            await old.end()
        assert await (await connect(HEALTH)).status() == 200
        await silent[7].end()
        assert not silent[-1].reader.at_eof()
        model.begin.set()
        assert await predicting.status() == 200

    with serving() as (model, app):
        model.begin.clear()
        served(ask, app, most=4)


def test_connections_leave_room_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, most in ((256, 128), (1_024, 512), (resource.RLIM_INFINITY, 4_096)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert Connections(patience=1).most == most


def test_hints_for_the_terminal_are_left_out(client: TestClient) -> None:
    answer = client.post("/analyze", data={"model": "text", "text": "a", "analyzer": "labels"})
    assert answer.json() == {"error": {"message": "labels are missing", "hint": None}}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:8000", 200),
        ("192.168.1.7:8000", 200),
        ("[::1]:8000", 200),
        ("zoo.example.org", 200),
        ("Zoo.Example.org:443", 200),
        ("evil.example.org", 421),
        ("localhost.evil.org", 421),
        ("127.0.0.1.evil.org", 421),
        ("[::1]evil.org", 421),
        ("[::1", 421),
        ("localhost:evil.org", 421),
        ("", 421),
    ],
)
def test_only_known_names_are_answered(host: str, status: int) -> None:
    access = Access(hosts=["zoo.example.org"])
    with serving(access=access) as (_, app), TestClient(app, base_url=LOCAL) as client:
        for path in ("/healthz", "/", "/models"):
            assert client.get(path, headers={"host": host}).status_code == status, path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": LOCAL}, 200),
        ({"origin": LOCAL, "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "https://evil.example.org"}, 403),
        ({"origin": "http://localhost:9000"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": LOCAL, "sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_sites_send_nothing(client: TestClient, headers: dict[str, str], status: int) -> None:
    answer = client.post("/predict", headers=headers, data={"model": "text", "text": "a"})
    assert answer.status_code == status
    asked = client.options("/predict", headers={**headers, "access-control-request-method": "POST"})
    assert not {name for name in [*asked.headers, *answer.headers] if name.startswith("access-control")}


@pytest.mark.parametrize(
    ("path", "shown", "status"),
    [
        ("/healthz", "", 200),
        ("/", "", 200),
        ("/index.html", "", 200),
        ("/models", "", 401),
        ("/models", f"Bearer {TOKEN}", 200),
        ("/models", f"bearer {TOKEN}", 200),
        ("/models", f"Basic {TOKEN}", 401),
        ("/models", f"Bearer {TOKEN}x", 401),
        ("/models", "Bearer ", 401),
        ("/models", "Bearer \xe9", 401),
        ("/models/", "", 401),
        ("/%2fmodels", "", 401),
        ("/openapi.json", "", 401),
        ("/metrics", "", 401),
        ("/card?model=net", "", 401),
        ("/card?model=net", f"Bearer {TOKEN}", 200),
        ("/nowhere", "", 401),
        ("/predict", "", 401),
        ("/sample", "", 401),
        ("/analyze", "", 401),
        ("/features", "", 401),
    ],
)
def test_a_token_opens_all_but_the_page(path: str, shown: str, status: int) -> None:
    with serving(access=Access(token=TOKEN)) as (_, app), TestClient(app, base_url=LOCAL) as client:
        ask = client.post if path in ("/predict", "/sample", "/analyze", "/features") else client.get
        answer = ask(path, headers=[(b"authorization", shown.encode("latin-1"))] if shown else [])
        assert answer.status_code == status
        if status == 401:
            assert said(answer) == (401, "the token is missing or wrong")
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/", "/models", "/nowhere", "/healthz"])
def test_browsers_are_told_what_the_page_needs(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert (policy["default-src"], policy["frame-ancestors"]) == ("'self'", "'none'")
    assert not {"script-src", "style-src"} & policy.keys()
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_requests_are_counted_and_logged_without_what_they_say() -> None:
    log: list[str] = []
    access = Access(token=TOKEN)
    with serving(access=access, log=log.append) as (_, app), TestClient(app, base_url=LOCAL) as client:
        client.headers["authorization"] = f"Bearer {TOKEN}"
        for text in ("secret", "secret"):
            client.post("/predict?key=secret", data={"model": "text", "text": text})
        client.post("/predict", data={"model": "text"})
        client.get("/secret/secret")
        client.request("SECRET", "/")
        text = client.get("/metrics").text
    assert 'zoo_requests_total{method="POST",route="/predict",status="200"} 2' in text.splitlines()
    assert 'zoo_requests_total{method="POST",route="/predict",status="400"} 1' in text.splitlines()
    assert 'zoo_predicted_inputs_total{model="text"} 2' in text.splitlines()
    assert "zoo_requests_inside 0" in text.splitlines()
    assert [line.rsplit(" ", 2)[0] for line in log][:3] == ["POST /predict 200"] * 2 + ["POST /predict 400"]
    assert "secret" not in "\n".join([text, *log]).lower()
    assert TOKEN not in "\n".join([text, *log])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("zoo.example.org", False),
        ("", False),
    ],
)
def test_an_address_is_of_this_machine_alone_or_not(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected
