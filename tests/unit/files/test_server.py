"""A server that stalls, truncates, lies, redirects or sends a web page: no wrong file ever arrives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nightly.reliability import server
from zoo.errors import DataError, ZooWarning
from zoo.files import downloads

CONTENT = bytes(range(256)) * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"\n<!doctype html><html><body>Please log in</body></html>"

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
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, list[str]]]:
    with server.serving(GOOD | {path: behavior for path, (behavior, _) in BAD.items()}) as served:
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


def test_an_unreachable_server_is_reported_in_one_line(cache: Path) -> None:
    with pytest.raises(DataError, match=r"could not be downloaded from .*: .*refused"):
        downloads.data_file("text.bin", url="https://localhost:1/x", sha256=SHA256)
    assert list(cache.iterdir()) == []
