"""A server that stalls, cuts short, lies, leads astray or answers with a web page: nothing wrong arrives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability import server
from zoo.errors import DataError
from zoo.files import downloads as fetch

CONTENT = bytes(range(256)) * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"\n<!doctype html><html><body>Please log in</body></html>"

GOOD = {
    "/plain": server.gives(CONTENT),
    "/led": server.leads_to("/plain"),
}
BAD = {
    "/html": (server.gives(PAGE, kind="text/html"), "the server sent a web page, 55 bytes of sha256"),
    "/missing": (server.gives(b"", status=404), "404"),
    "/broken": (server.gives(CONTENT, status=500), "500"),
    "/short": (server.gives(CONTENT[:-1], length=len(CONTENT)), "IncompleteRead"),
    "/cut": (server.gives(CONTENT[:-1]), f"the server sent 255,999 bytes of sha256 .*, expected {SHA256}"),
    "/flipped": (server.gives(b"\1" + CONTENT[1:]), f"sha256 .*, expected {SHA256}"),
    "/longer": (server.gives(CONTENT + b"x"), "the server sends more than 256,000 bytes"),
    "/endless": (server.never_ends(), "the server sends more than 256,000 bytes"),
    "/empty": (server.gives(b""), "the server sent 0 bytes"),
    "/stalled": (server.stalls(CONTENT), "timed out"),
    "/downgrade": (server.leads_to("http://localhost/plain"), "only https addresses are used"),
    "/to-a-file": (server.leads_to("file:///etc/passwd"), "only https addresses are used"),
    "/circle": (server.leads_to("/circle"), "the server leads on more than 10 times"),
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, list[str]]]:
    with server.serving(GOOD | {path: behaviour for path, (behaviour, _) in BAD.items()}) as served:
        yield served


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ZOO_OFFLINE", "ZOO_DATA", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.CERTIFICATE))
    monkeypatch.setattr(fetch, "TIMEOUT", 1.0)
    return tmp_path / "cache"


@pytest.mark.parametrize("path", GOOD)
def test_a_file_that_is_right_arrives_and_is_asked_for_once(
    served: tuple[str, list[str]], cache: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home, asked = served
    before = len(asked)
    for _ in range(2):
        found = fetch.data_file("text.bin", url=home + path, sha256=SHA256)
        assert found.read_bytes() == CONTENT
    assert asked[before:] == {"/plain": ["/plain"], "/led": ["/led", "/plain"]}[path]
    assert list(cache.iterdir()) == [cache / "text.bin"]
    assert capsys.readouterr().err == "zoo: fetching text.bin, 0.3 MB\n"


@pytest.mark.parametrize("path", BAD)
def test_what_is_wrong_is_refused_and_leaves_nothing(
    served: tuple[str, list[str]], cache: Path, path: str
) -> None:
    with pytest.raises(DataError, match=BAD[path][1]) as caught:
        fetch.data_file("text.bin", url=served[0] + path, sha256=SHA256, max_bytes=len(CONTENT))
    assert str(caught.value).startswith(f"text.bin could not be fetched from {served[0]}{path}: ")
    assert str(cache / "text.bin") in (caught.value.hint or "")
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_server_that_nobody_vouches_for_is_not_believed(
    served: tuple[str, list[str]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(DataError, match="certificate verify failed"):
        fetch.data_file("text.bin", url=f"{served[0]}/plain", sha256=SHA256)


def test_a_server_that_is_not_there_is_told_in_one_line(cache: Path) -> None:
    with pytest.raises(DataError, match=r"could not be fetched from .*: .*refused"):
        fetch.data_file("text.bin", url="https://localhost:1/x", sha256=SHA256)
    assert list(cache.iterdir()) == []
