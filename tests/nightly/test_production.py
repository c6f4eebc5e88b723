"""What the page on production says to write is run: a unit for systemd, and proxies of a real server."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.nightly.browser.serving import Server, free_port

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
PAGE = (Path(__file__).parents[2] / "docs/how-to/serve-in-production.md").read_text(encoding="utf-8")
HOST = "zoo.example.org"


def said(after: str) -> str:
    """Return the block of the page that follows some words."""
    return PAGE.split(after, 1)[1].split("```text\n", 1)[1].split("```", 1)[0]


def tool(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")
    if found is None:
        pytest.skip(f"there is no {name}: `apt-get install {package}`")
    return found


def of_nginx(upstream: str, port: int, folder: Path) -> list[str]:
    """Return the command that runs nginx with what the page says, without TLS."""
    site = replaced(said("nginx:"), {"443 ssl": f"127.0.0.1:{port}", "127.0.0.1:8000": upstream})
    places = "".join(
        f"{name}_temp_path {folder};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"pid {folder}/pid; events {{}} http {{ access_log off; {places} {site} }}"
    (folder / "nginx.conf").write_text(config)
    command = [tool("nginx", "nginx-light"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    return [*command, "-e", "stderr", "-g", "daemon off; master_process off;"]


def of_caddy(upstream: str, port: int, folder: Path) -> list[str]:
    """Return the command that runs Caddy with what the page says, without TLS."""
    names = {f"{HOST} {{": f"http://{HOST}:{port} {{", "127.0.0.1:8000": upstream}
    site = replaced(said("Caddy streams"), names)
    (folder / "Caddyfile").write_text(f"{{\n    admin off\n}}\n{site}")
    return [tool("caddy", "caddy"), "run", "--config", str(folder / "Caddyfile")]


def replaced(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


class Client(requests.Session):
    """Asks a server, or its proxy, under the name of the proxy."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self.headers["Host"] = HOST

    def request(self, method: str, url: str | bytes, *given: Any, **more: Any) -> requests.Response:
        return super().request(method, f"{self._address}{url}", *given, timeout=60, **more)

    def until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(200):
            with contextlib.suppress(requests.ConnectionError):
                if self.get("/healthz").ok:
                    return
            assert process.poll() is None, "the proxy ended"
            time.sleep(0.05)
        raise AssertionError("the proxy does not pass requests")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("cifar10-resnet20", "nietzsche-rnn", "--allow-host", HOST) as server:
        yield server


@pytest.fixture(params=[of_nginx, of_caddy], ids=["nginx", "caddy"])
def proxy(request: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for home in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(home, str(tmp_path))
    port = free_port()
    command = request.param(server.url.removeprefix("http://"), port, tmp_path)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            with Client(f"http://127.0.0.1:{port}") as client:
                client.until_it_answers(process)
                yield client
        finally:
            process.terminate()


@pytest.mark.slow
def test_an_image_is_answered_through_a_proxy(proxy: Client, server: Server) -> None:
    png = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(png, "PNG")
    with Client(server.url) as direct:
        asked: Any = {"data": {"model": "cifar10-resnet20"}, "files": {"input": ("a.png", png.getvalue())}}
        rows, expected = (client.post("/predict", **asked).json() for client in (proxy, direct))
    assert rows == expected
    assert rows[0]["predictions"][0]["probability"] > 0.1


def test_a_text_streams_through_a_proxy(proxy: Client) -> None:
    asked = {"model": "nietzsche-rnn", "prompt": "The ", "max_new_tokens": 1_500}
    with proxy.post("/sample", json=asked, stream=True) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        first, *others = answer.iter_content(None)
    assert 0 < first.count(b"\n\n") < 500, "a proxy that keeps events back sends all of them at once"
    assert b"event: done" in others[-1]


def test_what_a_proxy_must_refuse_is_refused(proxy: Client) -> None:
    assert proxy.get("/metrics").status_code == 403
    with contextlib.suppress(requests.ConnectionError):  # a proxy need not read what it refuses
        assert proxy.post("/predict", files={"input": bytes(33 << 20)}).status_code == 413


def test_the_service_is_valid(tmp_path: Path) -> None:
    program = tool("systemd-analyze", "systemd")
    unit = tmp_path / "zoo.service"
    unit.write_text(replaced(said("`zoo.service`"), {"/opt/zoo/bin/zoo": f"{sys.executable} -m zoo"}))
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, re.findall(rf"{unit}:.*", done.stderr)) == (0, [])
