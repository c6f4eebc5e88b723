"""Files that are used only if their hash is right, archives that are not trusted, folders made once."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zoo.errors import DataError
from zoo.files.cache import private_folder
from zoo.files.cached_files import cached_files
from zoo.files.downloads import data_file, is_offline, offline, verified
from zoo.files.faults import collected_faults, collecting_faults
from zoo.files.hashes import sha256_of
from zoo_images.archives import tar_members

CONTENT = b"thus spoke"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URL = "https://example.org/text.txt"


@pytest.fixture(autouse=True)
def _homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ZOO_OFFLINE", "1")


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def find(*, url: str = URL, root: str | None = None) -> Path:
    return data_file("text.txt", url=url, sha256=SHA256, root=root)


def test_the_users_data_folder_is_searched_before_the_cache(tmp_path: Path) -> None:
    cached = put(tmp_path / "cache/downloads/text.txt")
    assert find() == cached
    mine = put(tmp_path / "data/text.txt")
    assert find() == mine
    root = put(tmp_path / "root/text.txt")
    assert find(root=str(tmp_path / "root")) == root


def test_a_root_is_the_only_folder_that_is_searched(tmp_path: Path) -> None:
    put(tmp_path / "data/text.txt")
    with pytest.raises(DataError, match=r"text\.txt is not in .*elsewhere(?m:$)") as caught:
        find(root=str(tmp_path / "elsewhere"))
    assert URL in (caught.value.hint or "")


def test_the_error_for_a_wrong_hash_shows_both_hashes(tmp_path: Path) -> None:
    path = put(tmp_path / "data/text.txt", b"thus sprach")
    with pytest.raises(DataError) as caught:
        find()
    assert str(path) in str(caught.value)
    assert SHA256 in str(caught.value)
    assert hashlib.sha256(b"thus sprach").hexdigest() in str(caught.value)


def test_nothing_is_downloaded_offline(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="and ZOO_OFFLINE disables downloads") as caught:
        find()
    assert f"{tmp_path / 'data'} or {tmp_path / 'cache' / 'downloads'}" in str(caught.value)


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://example.org/x", "file:///etc/passwd", ""])
def test_only_https_urls_are_downloaded(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.delenv("ZOO_OFFLINE")
    monkeypatch.setattr("requests.Session", None)
    with pytest.raises(DataError, match="only https URLs are allowed"):
        find(url=url)


def test_a_missing_file_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        verified(tmp_path / "nothing", SHA256)


def archive(path: Path, *members: tuple[str, bytes | None]) -> Path:
    """Write a tar whose members are files, or, without content, links to /etc/passwd."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size, info.mode = len(content), 0o777
                tar.addfile(info, io.BytesIO(content))
    return path


def everything(tmp_path: Path) -> list[str]:
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir())


@pytest.mark.parametrize(
    "members",
    [
        [("a.bin", CONTENT)],
        [("batches/a.bin", CONTENT), ("batches/readme.html", b"<p>"), ("batches/b.bin", b"x")],
        [("../../../a.bin", CONTENT), ("../../evil", b"x")],
        [("/tmp/evil/a.bin", CONTENT)],
        [("a.bin", None), ("x/a.bin", CONTENT)],
        [("a.bin", CONTENT), ("a.bin", b"another")],
        [("link", None), ("link/a.bin", CONTENT), ("link/../../evil", b"x")],
    ],
    ids=["plain", "others", "upwards", "absolute", "symlink", "duplicate", "through-link"],
)  # fmt: skip
def test_only_the_named_file_of_an_archive_is_read_and_nothing_is_written(
    tmp_path: Path, members: list[tuple[str, bytes | None]]
) -> None:
    path = archive(tmp_path / "x.tar.gz", *members)
    assert [*tar_members(path, {"a.bin": SHA256})] == [("a.bin", CONTENT)]
    assert everything(tmp_path) == ["x.tar.gz"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.bin", None)], "lacks a.bin"),
        ([("b.bin", CONTENT)], "lacks a.bin"),
        ([("a.bin", b"another"), ("a.bin", CONTENT)], "a.bin in .* has the wrong sha256"),
    ],
    ids=["only-a-link", "absent", "wrong"],
)
def test_an_archive_without_the_right_file_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes | None]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        list(tar_members(archive(tmp_path / "x.tar.gz", *members), {"a.bin": SHA256}))


def test_an_archive_that_unpacks_to_more_than_allowed_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.tar.gz", ("zeros", bytes(3_000_000)), ("a.bin", CONTENT))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="unpacks to more than 1,000,000 bytes"):
        list(tar_members(path, {"a.bin": SHA256}, max_bytes=1_000_000))


def test_an_endless_header_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 1 << 35
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(20):
            file.write(bytes(1 << 20))
    with pytest.raises(DataError, match="it contains a header longer than 16,777,216 bytes"):
        list(tar_members(path, {"a.bin": SHA256}))


def home_of(tmp_path: Path) -> Path:
    """Return the only folder in the cache's `decoded/new`."""
    (home,) = (tmp_path / "cache/decoded/new").iterdir()
    return home


@pytest.mark.parametrize("size", [0, 7, 3_000_000], ids=["empty", "small", "mapped"])
def test_files_are_made_once_and_are_there_whole_or_not_at_all(size: int, tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_bytes(b"x" * size)
        assert folder.name.startswith("."), "in its place only once it is whole"

    def interrupted(folder: Path) -> None:
        make(folder)
        raise KeyboardInterrupt

    def content() -> bytes:
        return bytes(cached_files("decoded/new", "source", make, what="it")["file"])

    with pytest.raises(KeyboardInterrupt):
        cached_files("decoded/new", "source", interrupted, what="it")
    assert everything(tmp_path) == []
    assert [content() for _ in range(2)] == [b"x" * size] * 2
    assert len(made) == 2
    (home_of(tmp_path) / "file").write_bytes(b"damaged")
    assert content() == b"x" * size
    assert len(made) == 3
    cached_files("decoded/new", "another source", make, what="it")
    assert len(made) == 4


@pytest.mark.parametrize("size", [7, 3_000_000], ids=["small", "mapped"])
def test_writing_to_cached_content_changes_no_file(size: int) -> None:
    def make(folder: Path) -> None:
        put(folder / "file", b"x" * size)

    cached_files("decoded/new", 1, make, what="it")["file"][0] = 0
    assert cached_files("decoded/new", 1, make, what="it")["file"][0] == ord("x")


def test_what_lacks_faulty_files_is_not_kept() -> None:
    def make(folder: Path) -> None:
        faults = collected_faults()
        if faults is not None:
            faults[Path("b")] = DataError("b cannot be read")
        put(folder / "file", b"ab" if faults is None else b"a")

    for _ in range(2):
        with collecting_faults() as found:
            assert cached_files("decoded/new", 1, make, what="it")["file"] == b"a"
        assert [*found] == [Path("b")], "each check finds it again"
    assert cached_files("decoded/new", 1, make, what="it")["file"] == b"ab"


def test_an_error_of_what_makes_the_files_is_not_blamed_on_the_cache(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        raise OSError("Couldn't deserialize thrift")

    def read(folder: Path) -> None:
        (tmp_path / "missing.parquet").read_bytes()

    for broken, why in ((make, "OSError: Couldn't deserialize thrift"), (read, "No such file or directory")):
        with pytest.raises(DataError, match=why) as caught:
            cached_files("decoded/new", 1, broken, what="the table")
        assert str(caught.value).startswith("the table cannot be made: ")


@pytest.mark.parametrize(("removable", "times"), [(True, 5), (False, 0)])
def test_a_folder_that_stays_damaged_is_an_error(
    removable: bool, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached_files("decoded/new", 1, lambda folder: None, what="x")
    home = home_of(tmp_path)
    (home / "sha256.json").unlink()
    if not removable:  # as that of another user is
        monkeypatch.setattr("shutil.rmtree", lambda path, ignore_errors: None)
    monkeypatch.setattr("zoo.files.cached_files._seal", lambda folder: None)
    made: list[Path] = []
    with pytest.raises(DataError) as caught:
        cached_files("decoded/new", 1, made.append, what="the encoded text")
    assert str(caught.value) == f"{home} (the encoded text) is damaged and cannot be replaced"
    assert len(made) == times


@pytest.mark.parametrize("before", [None, "", "1"])
def test_offline_forbids_downloads_in_its_thread_and_leaves_the_environment(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    if before is not None:
        monkeypatch.setenv("ZOO_OFFLINE", before)
    seen: list[object] = []

    def look() -> None:
        with offline(), ThreadPoolExecutor(1) as pool:
            seen.extend((is_offline(), pool.submit(is_offline).result(), os.environ.get("ZOO_OFFLINE")))
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        look()
    assert seen == [True, bool(before), before]
    assert is_offline() == bool(before)


def test_what_is_made_is_for_the_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cached_files("decoded/new", 1, lambda folder: (folder / "file").touch(), what="it")
    finally:
        os.umask(before)
    places = [path for path in (tmp_path / "cache").rglob("*") if "hashes" not in path.parts]
    assert {path.stat().st_mode & 0o777 for path in places if path.is_dir()} == {0o700}
    files = {path.name: path.stat().st_mode & 0o777 for path in places if path.is_file()}
    assert files == {"file": 0o600, "sha256.json": 0o600}


def test_the_folder_that_the_user_names_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    cached_files("decoded/new", 1, lambda folder: None, what="x")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "cache/decoded").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["downloads", "downloads/sub"])
def test_a_folder_elsewhere_behind_a_link_stays_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    places = [tmp_path / "elsewhere", tmp_path / "elsewhere/sub"]
    for place in (tmp_path / "cache", *places):
        place.mkdir(mode=0o755)
    (tmp_path / "cache/downloads").symlink_to(tmp_path / "elsewhere")
    private_folder(tmp_path / "cache" / name)
    assert [place.stat().st_mode & 0o777 for place in places] == [0o755, 0o755]


def test_a_folder_of_somebody_else_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache/a").mkdir(parents=True, mode=0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    private_folder(tmp_path / "cache/a")
    assert (tmp_path / "cache/a").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("place", ["/dev/zero", "pipe", "."])
def test_only_a_regular_file_is_hashed(tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"cannot be read: it is a .*, not a regular file"):
        sha256_of(tmp_path / place)
