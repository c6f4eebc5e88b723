"""Models behind HTTP: answers are those of the commands, errors are in words, requests are batched."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.cli import run
from zoo.errors import OptionError
from zoo.files.hashes import sha256_of
from zoo.registry.registry import Registry

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
import httpx2
import uvicorn
from starlette.testclient import TestClient

from zoo.tools.serve.app import create_app
from zoo.tools.serve.model_threads import Worker
from zoo.tools.serve.served_models import named

QUIET: dict[str, Any] = {"progress": False}
TEXT = "the quick brown fox jumps over the lazy dog.\n" * 60


# A request to explain what a classifier sees, whose image cannot be read
CAM: dict[str, Any] = {"data": {"model": "net", "analyzer": "grad-cam"}, "files": {"input": ("x", b"x")}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def net(folder: Path) -> zoo.Model:
    """Return a small classifier of shapes, in the run directory `net`."""
    data = {"size": 16, "train_size": 64, "val_size": 8, "test_size": 8}
    small: Any = {"model": {"widths": [4, 8]}, "epochs": 2, "batch_size": 16, "lr": 0.01}
    return zoo.train("convnet-bn", "shapes", data=data, run=folder / "net", **small, **QUIET).model


@pytest.fixture(scope="module")
def text(folder: Path) -> zoo.Model:
    """Return a small language model of characters, in the run directory `text`."""
    (folder / "fox.txt").write_text(TEXT)
    small: Any = {"model": {"hidden_size": 8, "num_layers": 1}, "epochs": 1, "batch_size": 8}
    data = {"paths": str(folder / "fox.txt")}
    return zoo.train("lstm", "files", data=data, run=folder / "text", **small, **QUIET).last


@pytest.fixture(scope="module")
def app(net: zoo.Model, text: zoo.Model) -> Iterator[Any]:
    """Return the application of both models: one by its run directory, the other by its file."""
    models = [(str(net.path.parent), net), (str(text.path), text)]
    served = named(models, Registry.discover())
    yield create_app(served)
    for model in served:
        model.worker.close()


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def url(app: Any) -> Iterator[str]:
    """Return the address of a real server of both models."""
    from zoo.cli.serve import _listening, _url

    with _listening("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield _url(listening)
        server.should_exit = True
        thread.join()


def image(seed: int = 0, *, width: int = 40, height: int = 30) -> bytes:
    """Return a PNG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def opened(url: str) -> Image.Image:
    """Return the image in a data URL."""
    head, _, content = url.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def events(body: str) -> list[tuple[str, dict[str, Any]]]:
    """Return server-sent events, each with its name."""
    found: list[tuple[str, dict[str, Any]]] = []
    for block in body.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


def refused(answer: Any) -> tuple[int, str]:
    """Return the status and the message of an answer that is an error."""
    (error,) = answer.json().values()
    assert error.keys() == {"message", "hint"}
    return answer.status_code, error["message"]


def test_models_are_described(client: TestClient, net: zoo.Model, text: zoo.Model) -> None:
    first, second = client.get("/models").json()
    assert (first["name"], first["takes"], first["samples"]) == ("net", "image", False)
    assert (second["name"], second["takes"], second["samples"]) == ("model", "text", True)
    assert first["parameters"] == net.num_parameters
    assert first["classes"] == net.classes
    assert first["card"] == json.loads(net.card.to_json())
    assert [row["epoch"] for row in first["history"]] == [1, 2]
    assert second["history"] is None
    names = {row["name"] for row in first["analyzers"]}
    assert ("grad-cam" in names, "confusion" in names, "neighbors" in names) == (True, False, False)
    flips, _, batch_size = next(row["options"] for row in first["analyzers"] if row["name"] == "score-cam")
    assert (flips["name"], flips["type"], flips["default"]) == ("flips", "bool", False)
    assert (batch_size["minimum"], batch_size["maximum"]) == (1, None)
    assert flips["help"] == "average each map with the map of the mirrored image."
    assert client.get("/healthz").json() == {"status": "ok"}


def test_a_model_card_is_that_of_the_command_under_the_name_that_clients_know(
    client: TestClient, net: zoo.Model, text: zoo.Model
) -> None:
    for name, weights in (("net", net.path.parent), ("model", text.path)):
        answer = client.get("/card", params={"model": name})
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.text == zoo.card(weights, name=name, measure=False, **QUIET).html()
        assert str(net.path.parents[1]) not in answer.text
        assert ("Learning curve" in answer.text) == (name == "net")
    assert refused(client.get("/card")) == (400, "`model` is required because several models are served")
    assert refused(client.get("/card?model=ne")) == (404, "unknown model 'ne'; did you mean 'net'?")


def test_the_last_weights_of_a_run_have_their_own_card(net: zoo.Model) -> None:
    served = named([(str(net.path.parent), net)], Registry.discover(), last=True)
    assert sha256_of(net.path.with_name("model.safetensors")) in served[0].page
    served[0].worker.close()


def test_a_card_may_have_its_style_and_figures_and_nothing_else(client: TestClient) -> None:
    policy = client.get("/card?model=net").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in client.get("/").headers["content-security-policy"]


def test_predictions_are_those_of_the_command(client: TestClient, net: zoo.Model, tmp_path: Path) -> None:
    from tests.shell import zoo as type_in

    (tmp_path / "a.png").write_bytes(image(1))
    (tmp_path / "b.png").write_bytes(b"no image")
    files = [("input", (name, (tmp_path / name).read_bytes())) for name in ("a.png", "b.png")]
    rows = client.post("/predict", files=files, data={"model": "net", "top": 2}).json()
    done = type_in("predict", net.path.parent, "a.png", "b.png", "--top", "2", "--json", cwd=tmp_path)
    expected = json.loads(done.stdout)
    assert rows[0] == expected[0]
    assert (rows[1]["input"], rows[1]["predictions"]) == ("b.png", [])
    assert rows[1]["error"].endswith("its format is unknown or not supported")


def test_texts_are_scored(client: TestClient, text: zoo.Model) -> None:
    texts = ["the lazy dog", "fox"]
    rows = client.post("/predict", data={"model": "model", "text": texts}).json()
    assert [row["predictions"] for row in rows] == [
        row["predictions"] for row in text.predict(texts, **QUIET)
    ]


def test_a_text_is_streamed_with_its_surprisal(client: TestClient, text: zoo.Model) -> None:
    asked = {"max_new_tokens": 25, "temperature": 1.0, "top_p": 0.9, "seed": 5}
    answer = client.post("/sample", json={"model": "model", "prompt": "the §", **asked})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *tokens, (last, done) = events(answer.text)
    assert {name for name, _ in tokens} == {"message"}
    assert "".join(data["text"] for _, data in tokens) == str(text.sample("the §", **asked, **QUIET))
    expected = [surprisal for _, surprisal in text.sample("the §", **asked).stream()]
    assert [data["surprisal"] for _, data in tokens] == pytest.approx(expected)
    assert (last, done["tokens"], done["unknown"], done["backwards"]) == ("done", 25, ["§"], False)


def test_the_defaults_are_those_of_the_command(client: TestClient, text: zoo.Model) -> None:
    tokens = events(client.post("/sample", json={"model": "model"}).text)[:-1]
    assert "".join(data["text"] for _, data in tokens) == str(text.sample(**QUIET))


def test_a_map_comes_apart_from_the_image(client: TestClient, net: zoo.Model, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(image())
    asked = {"model": "net", "analyzer": "grad-cam", "class": [net.classes[1], net.classes[0]]}
    asked["options"] = json.dumps({"rectify": False})
    found = client.post("/analyze", files={"input": ("cat.png", image())}, data=asked).json()
    ours = net.analyze(
        "grad-cam", tmp_path / "cat.png", classes=asked["class"], options={"rectify": False}, **QUIET
    )
    assert ours.analysis.maps is not None
    for number, (item, mine) in enumerate(zip(found["items"], ours.items, strict=True)):
        assert item["input"] == "cat.png"
        assert item["peak"] == pytest.approx(mine["peak"], rel=1e-4)
        assert item["class"] == mine["class"]
        values = ours.analysis.maps[0, number].numpy()
        shares = (values - values.min()) / (values.max() - values.min())
        drawn = np.asarray(opened(item["map"]))
        assert drawn.shape == values.shape
        assert np.abs(drawn - 255 * shares).max() < 1
    assert opened(found["image"]).size == (30, 30)
    assert found["options"] == {"rectify": False}


def test_what_an_analyzer_draws_is_in_the_answer(client: TestClient) -> None:
    asked = {"model": "model", "analyzer": "surprisal", "text": "the lazy dog"}
    found = client.post("/analyze", data=asked).json()
    assert found["figures"]["surprisal.html"].startswith("data:text/html")
    assert found["scores"]["loss"] > 0
    assert (found["items"], found["image"]) == ([], None)
    found = client.post(
        "/analyze", files={"input": ("x", image())}, data={"model": "net", "analyzer": "activations"}
    ).json()
    assert min(opened(found["figures"]["activations.png"]).size) > 100


def test_features_are_those_of_embed(client: TestClient, net: zoo.Model, text: zoo.Model) -> None:
    asked = {"model": "model", "text": "The lazy\n§dog"}
    found = client.post("/features", data=asked).json()
    (row,) = text.features([asked["text"]], pool=False, **QUIET)
    np.testing.assert_allclose(found["features"], row["features"].T, atol=1e-5)
    assert (found["size"], found["tokens"][9], "".join(found["tokens"][-3:])) == (8, "<unk>", "dog")
    one = client.post("/features", data={**asked, "channel": "3"}).json()
    assert one == {**found, "features": found["features"][3:4]}
    found = client.post("/features", files={"input": ("x", image())}, data={"model": "net"}).json()
    (row,) = net.features([image()], pool=False, **QUIET)
    np.testing.assert_allclose(found["features"], row["features"], atol=1e-5)


def test_no_answer_names_a_path_of_this_machine(client: TestClient, folder: Path) -> None:
    form = {"model": "net", "analyzer": "grad-cam"}
    answers = [
        client.get("/models"),
        client.post("/analyze", files={"input": ("cat.png", image())}, data=form),
        client.post("/analyze", files={"input": ("cat.png", b"no image")}, data=form),
        client.post("/analyze", files={"input": ("cat.png", image())}, data={**form, "layer": "/etc/x"}),
        client.post("/predict", files={"input": ("cat.png", b"")}, data={"model": "net"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 400, 200]
    for answer in answers:
        for trace in (str(folder), "/tmp/", "zoo-serve-", str(Path.home())):
            assert trace not in answer.text


@pytest.mark.parametrize(
    ("path", "request_", "status", "message"),
    [
        ("/predict", {"data": {"model": "nte"}}, 404, "unknown model 'nte'; did you mean 'net'?"),
        ("/predict", {}, 400, "`model` is required because several"),
        ("/predict", {"data": {"model": "net"}}, 400, "net accepts image files in the field 'input'"),
        ("/predict", {"data": {"model": "net", "text": "a"}}, 400, "net accepts image files"),
        ("/predict", {"data": {"model": "model"}}, 400, "model accepts text in the field 'text'"),
        ("/predict", {"data": {"model": "model", "text": "a", "top": 1}}, 400, "top requires a model that"),
        ("/predict", {"data": {"model": "net", "top": "x"}}, 422, "top must be a valid integer (got 'x')"),
        ("/sample", {"json": {"model": "net"}}, 400, "net does not generate text"),
        (
            "/sample",
            {"json": {"model": "model", "temperature": -1}},
            422,
            "temperature must be greater than or equal to 0 (got -1)",
        ),
        ("/sample", {"json": {"heat": 1}}, 422, "unknown field heat"),
        (
            "/sample",
            {"json": {"max_new_tokens": True}},
            422,
            "max_new_tokens must be a valid integer (got True)",
        ),
        ("/sample", {"content": '{"temperature": NaN}'}, 422, "temperature must be a finite number (got "),
        ("/sample", {"content": "{"}, 422, "the body: invalid JSON at character 1"),
        (
            "/sample",
            {"content": r'{"model": "model", "prompt": "\ud800"}'},
            422,
            r"'\ud800' is half of a surrogate pair",
        ),
        ("/predict", {"data": {"model": "net", "tpo": "3"}}, 422, "unknown field tpo"),
        ("/analyze", {**CAM, "data": {**CAM["data"], "target": "9"}}, 422, "unknown field target"),
        ("/analyze", {**CAM, "data": {**CAM["data"], "class": "9" * 5_000}}, 400, "the model has no class"),
        ("/analyze", {"data": {"model": "model", "text": "a"}}, 422, "analyzer: field required"),
        ("/analyze", {"data": {"model": "model", "text": "ab", "analyzer": "cam"}}, 400, "cam/cam is for"),
        (
            "/analyze",
            {"data": {"model": "model", "text": "ab", "analyzer": "surprisal", "options": "[]"}},
            400,
            "options must be a JSON object (got [])",
        ),
        (
            "/analyze",
            {**CAM, "data": {"model": "net", "analyzer": "neighbors"}},
            400,
            "neighbors is not available: it requires the dataset, which the server does not read",
        ),
        (
            "/analyze",
            {**CAM, "data": {"model": "net", "analyzer": "analyzers/neighbors"}},
            400,
            "analyzers/neighbors is not available",
        ),
        (
            "/features",
            {"data": {"model": "model", "text": "ab", "channel": 8}},
            400,
            "no channel 8; the last",
        ),
        ("/features", {"data": {"model": "model", "text": "a"}}, 400, "the text must have at least 2 tokens"),
        ("/features", {"data": {"model": "net"}, "files": {"input": ("x", b"x")}}, 400, "cannot be read as"),
        ("/nowhere", {}, 404, "not found"),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(
    client: TestClient, path: str, request_: dict[str, Any], status: int, message: str
) -> None:
    post = client.post if path != "/nowhere" else client.get
    headers = {"content-type": "application/json"} if "content" in request_ else {}
    got, said = refused(post(path, **request_, headers=headers))
    assert (got, message in said) == (status, True), said


def test_an_analyzer_downloads_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.files import downloads

    seen: list[bool] = []
    monkeypatch.delenv("ZOO_OFFLINE")

    def analyze(*_: Any, **__: Any) -> Any:
        seen.append(downloads.is_offline())
        raise OptionError("enough")

    monkeypatch.setattr(zoo.Model, "analyze", analyze)
    form = {"model": "net", "analyzer": "grad-cam"}
    assert refused(client.post("/analyze", files={"input": ("x", image())}, data=form)) == (400, "enough")
    assert seen == [True]


def test_a_failure_of_ours_has_no_traceback(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(zoo.Model, "predict", fail)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.post("/predict", data={"model": "model", "text": "a"})
    assert refused(answer) == (500, "the server failed; see its log")


def test_the_page_and_the_description_ask_no_other_host(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("<!doctype html>", "")
    described = client.get("/openapi.json").json()
    paths = {"/card", "/predict", "/sample", "/analyze", "/features", "/models", "/healthz", "/metrics"}
    assert described["paths"].keys() == paths
    for path in ("/docs", "/redoc"):
        assert client.get(path).status_code == 404


def test_two_models_cannot_have_one_name(net: zoo.Model, text: zoo.Model) -> None:
    files = [str(model.path.with_name("model.safetensors")) for model in (net, text)]
    with pytest.raises(OptionError, match="would both be served as 'model'"):
        named([*zip(files, (net, text), strict=True)], Registry.discover())


class Slow:
    """A model that notes the inputs of each batch, and lets the first one wait."""

    name = "slow"

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.begin = threading.Event()

    def predict(self, given: Iterable[Any], **_: Any) -> list[dict[str, Any]]:
        self.batches.append(inputs := [*given])
        self.begin.wait(10)
        if "bad" in inputs:
            raise OptionError("bad input")
        return [{"input": given} for given in inputs]


async def _asked_together(model: Slow, asked: list[tuple[list[Any], dict[str, Any]]]) -> list[Any]:
    """Return what is answered to requests that wait while the first one is computed."""
    worker = Worker(cast("Any", model))
    answers = [worker.predict(["first"])]
    while not model.batches:
        await asyncio.sleep(0.001)
    answers += [worker.predict(inputs, **settings) for inputs, settings in asked]
    model.begin.set()
    found = await asyncio.gather(*answers, return_exceptions=True)
    worker.close()
    return found


def test_requests_that_wait_are_one_batch_and_each_gets_its_own_rows() -> None:
    model = Slow()
    asked: list[Any] = [([1, 2], {"top": 1}), ([3], {"top": 5}), ([4], {"top": 1})]
    answers = asyncio.run(_asked_together(model, asked))
    assert model.batches == [["first"], [1, 2, 4], [3]]
    assert answers[1:] == [[{"input": 1}, {"input": 2}], [{"input": 3}], [{"input": 4}]]


def test_a_request_that_fails_does_not_fail_those_beside_it() -> None:
    model = Slow()
    answers = asyncio.run(_asked_together(model, [([1], {}), (["bad"], {}), ([2], {})]))
    assert [answers[1], answers[3]] == [[{"input": 1}], [{"input": 2}]]
    assert isinstance(answers[2], OptionError)


def test_functions_take_turns_with_predictions_and_the_cheapest_is_first() -> None:
    model, order, called, go_on = Slow(), list[Any](), threading.Event(), threading.Event()
    model.predict = lambda given, **_: order.extend(given) or [{}]  # type: ignore[method-assign]

    def block() -> None:
        called.set()
        go_on.wait(10)

    async def ask() -> None:
        worker = Worker(cast("Any", model))
        blocked = worker.run(block)
        while not called.is_set():
            await asyncio.sleep(0.001)
        calls = [worker.run(partial(order.append, cost), cost=cost) for cost in (7, 5, 6)]
        predicted = worker.predict(["predicted"])
        go_on.set()
        await asyncio.gather(blocked, predicted, *calls)
        worker.close()

    asyncio.run(ask())
    assert order == ["predicted", 5, 6, 7]


def test_a_long_text_leaves_others_their_turn(text: zoo.Model) -> None:
    async def ask() -> int:
        worker, taken = Worker(text), 0
        stream = worker.stream(text.sample(max_new_tokens=100_000).stream())
        async for _ in stream:
            taken += 1
            if taken == 1:
                rows = await worker.predict(["the fox"])
                assert rows[0]["error"] is None
                break
        await stream.aclose()
        worker.close()
        return taken

    assert asyncio.run(asyncio.wait_for(ask(), 20)) == 1


def test_whoever_disconnects_stops_the_generating(
    url: str, text: zoo.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated = ended = 0

    def endless(*_: Any, **__: Any) -> Iterator[tuple[str, float]]:
        nonlocal generated, ended
        try:
            while True:
                generated += 1
                time.sleep(0.001)
                yield "a", 1.0
        finally:
            ended += 1

    monkeypatch.setattr(zoo.Texts, "stream", endless)
    with httpx2.stream("POST", f"{url}/sample", json={"model": "model"}) as answer:
        assert next(answer.iter_lines()) == 'data: {"text":"a","surprisal":1.0}'
    until = time.monotonic() + 10
    while not ended and time.monotonic() < until:
        time.sleep(0.01)
    assert ended == 1


def test_a_text_that_fails_ends_in_an_error(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Iterator[tuple[str, float]]:
        yield "a", 1.0
        raise OptionError("no more", hint="stop")

    monkeypatch.setattr(zoo.Texts, "stream", fail)
    found = events(client.post("/sample", json={"model": "model"}).text)
    assert found[1:] == [("error", {"error": {"message": "no more", "hint": "stop"}})]


def test_a_text_of_which_we_fail_ends_in_an_error_too(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Iterator[tuple[str, float]]:
        yield "a", 1.0
        raise RuntimeError("secret")

    monkeypatch.setattr(zoo.Texts, "stream", fail)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        found = events(client.post("/sample", json={"model": "model"}).text)
    message = "the server failed; see its log"
    assert found[1:] == [("error", {"error": {"message": message, "hint": None}})]


@contextmanager
def running(*words: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Lend a process of `zoo serve`, and the address it listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "zoo", "serve", *map(str, words), "--port", str(port)]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **streams) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(2_000):
                with contextlib.suppress(httpx2.ConnectError):
                    assert httpx2.get(f"{url}/healthz").status_code == 200
                    break
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            yield process, url
        finally:
            process.kill()


def test_the_command_serves_until_it_is_told_to_stop(net: zoo.Model) -> None:
    with running(net.path.parent, "--json") as (process, url):
        rows = httpx2.post(f"{url}/predict", files={"input": ("a.png", image())}).json()
        assert rows == [{**net.predict([image()], **QUIET)[0], "input": "a.png"}]
        process.send_signal(signal.SIGINT)
        out, lines = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(out) == {"url": url, "models": ["net"]}
    loading, serving, *asked = re.sub(r"\d+ ms", "N ms", lines).splitlines()
    assert "loading" in loading
    assert serving == f"serving net on {url}; press Ctrl-C to stop"
    asked = [
        line for line in asked if not line.startswith("finishing current requests")
    ]  # unless all is logged
    assert asked == ["GET /healthz 200 N ms", "POST /predict 200 N ms"]


@pytest.mark.slow  # a server each
@pytest.mark.parametrize("head", ["POST /predict", "GET /models"])
def test_a_body_in_too_many_pieces_ends_the_connection(net: zoo.Model, head: str) -> None:
    kind = "multipart/form-data; boundary=a"
    start = (
        f"{head} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with running(net.path.parent, "--quiet") as (process, url):
        port = int(url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as client,
            contextlib.suppress(ConnectionError),  # closed while more is sent
        ):
            client.sendall(start.encode())
            for _ in range(100):
                client.sendall(b"1\r\na\r\n" * 1_000)
            while client.recv(2**16):
                pass
        assert httpx2.get(f"{url}/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in "".join(process.communicate(timeout=30))


@pytest.mark.slow  # in a process
def test_whatever_was_accepted_is_answered(
    net: zoo.Model, text: zoo.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, answers = "0123456789abcdef", list[httpx2.Response]()
    monkeypatch.setenv("ZOO_SERVE_TOKEN", token)
    shown: dict[str, Any] = {"headers": {"authorization": f"Bearer {token}"}, "timeout": 60}
    images = [("input", ("a.png", image(width=900, height=900)))] * 3
    with running(net.path.parent, text.path.parent, "--quiet") as (process, url):
        text_ = {"model": "text", "max_new_tokens": 5_000}
        asking = [partial(httpx2.post, f"{url}/sample", json=text_, **shown)]
        asking += [partial(httpx2.post, f"{url}/predict", data={"model": "net"}, files=images, **shown)] * 5
        threads = [threading.Thread(target=lambda ask=ask: answers.append(ask())) for ask in asking]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 20
        while "zoo_requests_inside 6" not in httpx2.get(f"{url}/metrics", **shown).text:
            assert time.monotonic() < until, answers
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
    assert [answer.status_code for answer in answers] == [200] * 6
    (streamed,) = (answer.text for answer in answers if "event-stream" in answer.headers["content-type"])
    assert "event: done" in streamed


@pytest.mark.slow  # in a process
def test_a_second_ctrl_c_cuts_requests_off_without_a_traceback(text: zoo.Model) -> None:
    with running(text.path.parent) as (process, url):
        with httpx2.stream("POST", f"{url}/sample", json={"max_new_tokens": 10_000}, timeout=60) as answer:
            parts = answer.iter_raw()
            next(parts)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            said = [process.stderr.readline() for _ in range(4)]
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(httpx2.HTTPError):
                for _ in parts:
                    pass
        _, rest = process.communicate(timeout=30)
    assert said[-1] == "finishing current requests; press Ctrl-C again to stop immediately\n"
    assert "Traceback" not in rest
    assert process.returncode in (0, 130)


def test_an_answer_is_sent_at_once(url: str) -> None:
    with httpx2.Client() as client:
        times: list[float] = []
        for _ in range(20):
            started = time.perf_counter()
            client.get(f"{url}/healthz")
            times.append(time.perf_counter() - started)
    assert min(times[1:]) < 0.03  # 0.04 is what Nagle's algorithm makes of it


def test_a_port_that_is_taken_is_refused(net: zoo.Model) -> None:
    from tests.shell import zoo as type_in

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = type_in("serve", net.path.parent, "--port", str(port), "--quiet")
    assert done.returncode == 2
    assert done.stderr.startswith(f"zoo: cannot listen on port {port} of 127.0.0.1: Address already in use\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cifar10-resnet20", "cifar10-resnet20"], "would both be served as 'cifar10-resnet20'"),
        (["cifar10-resnet20", "--token", "short"], "token must have at least 16 characters"),
        (["cifar10-resnet20", "--timeout", "nan"], "--timeout must be a number of seconds (got nan)"),
        (["cifar10-resnet20", "--allow-host", "http://x"], "--allow-host must be a host name such as"),
        (["cifar10-resnet20", "--allow-host", "cafe.be:80"], "--allow-host must be a host name such as"),
        (
            ["cifar10-resnet20", "--host", "127.0.0.1.1", "--token", "0" * 16],
            "use --host 127.0.0.1 to accept local clients only",
        ),
        (["cifar10-resnet20", "--host", "0.0.0.0", "--quiet"], "remote clients require a token"),
    ],
)
def test_what_cannot_be_started_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", *words]) in (1, 2)
    assert message in capsys.readouterr().err


def test_a_token_is_made_where_others_can_connect(
    net: zoo.Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []

    def serve(app: Any, *_: Any, **__: Any) -> None:
        with TestClient(app, base_url="http://zoo.example.org") as client:
            codes.append(client.get("/models").status_code)

    monkeypatch.setattr("zoo.cli.serve._serve", serve)
    where = ["--port", "0", "--host", "0.0.0.0", "--allow-host", "zoo.example.org"]
    assert run(["serve", str(net.path.parent), *where]) == 0
    (token,) = re.findall(r"serving net on http://0\.0\.0\.0:\d+/#token=(\S{32}); ", capsys.readouterr().err)
    assert (codes, len(set(token)) > 10) == ([401], True)


def test_the_command_names_the_extra() -> None:
    code = """
import sys
from zoo.cli import run
for module in ("uvicorn", "fastapi", "python_multipart"):
    before = {*sys.modules}
    sys.modules[module] = None
    print(run(["serve", "cifar10-convnet"]))
    for name in {*sys.modules} - before:
        if name == module or name.startswith("zoo."):
            del sys.modules[name]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "1\n1\n1\n", done.stderr
    for module in ("uvicorn", "fastapi", "python_multipart"):
        assert f"requires {module}, which is not installed" in done.stderr
    assert done.stderr.count('`pip install "zoo-registry[serve]"` installs it') == 3
