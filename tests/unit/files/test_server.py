"""A server that stalls, truncates, lies, redirects or sends a web page: no wrong file ever arrives."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.nightly.reliability import server
from zoo.errors import DataError, ZooWarning
from zoo.files import downloads, transport

CONTENT = bytes(range(256)) * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"\n<!doctype html><html><body>Please log in</body></html>"

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def redirect(address: bytes) -> server.Behavior:
    return server.writes(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % address)


GOOD = {
    "/plain": server.gives(CONTENT),
    "/redirected": server.redirects_to("/plain"),
}
BAD = {
    "/html": (server.gives(PAGE, kind="text/html"), "the server sent a web page, 55 bytes with sha256"),
    "/missing": (server.gives(b"", status=404), "404"),
    "/broken": (server.gives(CONTENT, status=500), "500"),
    "/short": (server.gives(CONTENT[:-1], length=len(CONTENT)), "IncompleteRead"),
    "/cut": (server.gives(CONTENT[:-1]), f"the server sent 255,999 bytes with sha256 .*, expected {SHA256}"),
    "/flipped": (server.gives(b"\1" + CONTENT[1:]), f"256,000 bytes with sha256 .*, expected {SHA256}"),
    "/longer": (server.gives(CONTENT + b"x"), "the server sent more than 256,000 bytes"),
    "/endless": (server.never_ends(), "the server sent more than 256,000 bytes"),
    "/empty": (server.gives(b""), "the server sent 0 bytes"),
    "/stalled": (server.stalls(CONTENT), "timed out"),
    "/downgrade": (server.redirects_to("http://localhost/plain"), "redirected to a URL that does not"),
    "/to-a-file": (server.redirects_to("file:///etc/passwd"), "redirected to a URL that does not"),
    "/circle": (server.redirects_to("/circle"), ": Exceeded 10 redirects"),
    "/two-lengths": (server.writes(OK + b"Content-Length: 5, 5\r\n\r\n" + CONTENT), "IncompleteRead"),
    "/bracket": (redirect(b"https://[::1"), r"sent an invalid response \(Invalid IPv6 URL\)"),
    "/not-utf-8": (redirect(b"https://localhost/\xff"), "sent an invalid response"),
    "/long-label": (redirect(b"https://" + b"a" * 70), "label empty or too long"),
    "/high-port": (redirect(b"https://localhost:99999/"), "Port out of range"),
    "/negative-chunk": (server.writes(CHUNKS + b"-5\r\n", again=CONTENT), "sent an invalid response"),
    "/no-chunk": (server.writes(CHUNKS + b"zz\r\n"), "InvalidChunkLength"),
    "/endless-chunk-size": (server.writes(CHUNKS, again=b"0" * 10_000), "chunk size line exceeded"),
    "/endless-trailers": (server.writes(CHUNKS + b"0\r\n", again=b"X: y\r\n" * 1_000), "more than 1,560,576"),
    "/endless-headers": (server.writes(OK, again=b"X: y\r\n" * 1_000), "more than 100 headers"),
    "/endless-header": (server.writes(OK + b"X: ", again=b"y" * 10_000), "when reading header line"),
    "/endless-continue": (
        server.writes(b"", again=b"HTTP/1.1 100 Go on\r\n\r\n" * 100),
        "more than 1,048,576",
    ),
    "/endless-redirect": (
        server.writes(b"HTTP/1.1 302 Found\r\nLocation: /plain\r\n\r\n", again=CONTENT),
        "more than 1,048,576",
    ),
    "/not-gzip": (server.writes(OK + b"Content-Encoding: gzip\r\n\r\n" + CONTENT), "incorrect header check"),
    "/not-http": (server.writes(CONTENT), "could not be downloaded"),
}
LENGTHS = {"/word": b"abc", "/huge": b"9" * 5_000, "/negative": b"-1", "/superscript": "²".encode("latin-1")}
SLOW = {
    "/slow": server.writes(OK + b"Content-Length: 256000\r\n\r\n", again=b"x"),
    "/slow-chunks": server.writes(CHUNKS, again=b"1\r\nx\r\n"),
    "/slow-header": server.writes(OK + b"X: ", again=b"y"),
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, list[str]]]:
    lengths = {
        path: server.writes(OK + b"Content-Length: %b\r\n\r\n" % length + CONTENT)
        for path, length in LENGTHS.items()
    }
    bad = {path: behavior for path, (behavior, _) in BAD.items()}
    with server.serving(GOOD | lengths | SLOW | bad) as served:
        yield served


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ZOO_OFFLINE", "ZOO_DATA", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.CERTIFICATE))
    monkeypatch.setattr(downloads, "TIMEOUT", 1.0)
    return tmp_path / "cache" / "downloads"


@pytest.mark.parametrize("path", GOOD)
def test_an_intact_file_arrives_and_is_downloaded_once(
    served: tuple[str, list[str]], cache: Path, path: str
) -> None:
    home, requested = served
    before = len(requested)
    with pytest.warns(ZooWarning, match=r"^downloading text\.bin \(0\.3 MB\)$"):
        arrived = downloads.data_file("text.bin", url=home + path, sha256=SHA256)
    assert arrived.read_bytes() == CONTENT
    assert downloads.data_file("text.bin", url=home + path, sha256=SHA256) == arrived
    assert requested[before:] == {"/plain": ["/plain"], "/redirected": ["/redirected", "/plain"]}[path]
    assert list(cache.iterdir()) == [cache / "text.bin"]


@pytest.mark.parametrize("path", LENGTHS)
def test_an_invalid_length_is_ignored(served: tuple[str, list[str]], path: str) -> None:
    with pytest.warns(ZooWarning, match=r"^downloading text\.bin$"):
        arrived = downloads.data_file("text.bin", url=served[0] + path, sha256=SHA256)
    assert arrived.read_bytes() == CONTENT


@pytest.fixture
def _ten_seconds_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "monotonic", partial(next, itertools.count(0.0, 10.0)))


@pytest.mark.usefixtures("_ten_seconds_a_read")
@pytest.mark.parametrize("path", SLOW)
def test_a_server_that_sends_byte_by_byte_is_given_up(
    served: tuple[str, list[str]], cache: Path, path: str
) -> None:
    with pytest.raises(DataError, match="the server sent less than 60,000 bytes in 70 seconds"):
        downloads.data_file("text.bin", url=served[0] + path, sha256=SHA256)
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("_ten_seconds_a_read")
def test_a_download_may_take_minutes(served: tuple[str, list[str]]) -> None:
    arrived = downloads.data_file("text.bin", url=f"{served[0]}/plain", sha256=SHA256)
    assert arrived.read_bytes() == CONTENT


@pytest.mark.parametrize("path", BAD)
def test_a_wrong_file_is_refused_and_leaves_nothing(
    served: tuple[str, list[str]], cache: Path, path: str
) -> None:
    with pytest.raises(DataError, match=BAD[path][1]) as caught:
        downloads.data_file("text.bin", url=served[0] + path, sha256=SHA256, max_bytes=len(CONTENT))
    assert str(caught.value).startswith(f"text.bin could not be downloaded from {served[0]}{path}: ")
    assert str(cache / "text.bin") in (caught.value.hint or "")
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_server_without_a_trusted_certificate_is_refused(
    served: tuple[str, list[str]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(DataError, match="certificate verify failed"):
        downloads.data_file("text.bin", url=f"{served[0]}/plain", sha256=SHA256)


def test_an_unreachable_server_is_reported_in_one_line(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "none"))
    with (
        pytest.warns(ZooWarning, match=r"^the folder \$ZOO_DATA, .*none, does not exist$"),
        pytest.raises(DataError, match=r"could not be downloaded from .*: .*refused") as caught,
    ):
        downloads.data_file("text.bin", url="https://localhost:1/x", sha256=SHA256)
    assert "Errno" not in str(caught.value)
    assert list(cache.iterdir()) == []
