"""Inputs that are named and are missing or of another kind, for `zoo predict`, `zoo embed` and Python."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.shell import zoo
from zoo import DataError, load

OUTPUTS = ["x.csv", "x.jsonl", "x.npy", "folder"]
CUT = "cut.png: cannot be read as an image: image file is truncated"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a folder with images, one of them cut off, a text and an archive."""
    draws = np.random.default_rng(0)
    (tmp_path / "holiday").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("cat.png", "holiday/1.png", "holiday/2.png"):
        Image.fromarray(draws.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "cut.png").write_bytes((tmp_path / "cat.png").read_bytes()[:3000])
    (tmp_path / "notes.txt").write_text("the lazy dog sleeps on.\n")
    (tmp_path / "box.zip").write_bytes(b"PK\x03\x04\x14\x00\x00\x00\x08\x00")
    (tmp_path / "zeros.txt").write_bytes(b"the lazy\0dog")
    return tmp_path


def inside(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("command", ["predict", "embed"])
def test_what_is_named_and_cannot_be_is_an_error_before_anything_is_written(net_file, desk, command):
    wrong, message = "caat.png", "caat.png: no such file or folder; did you mean 'cat.png'?"
    before = inside(desk)
    for out in OUTPUTS[: 4 if command == "predict" else 3]:
        done = zoo(command, net_file, "cat.png", wrong, "--out", out, cwd=desk)
        assert (done.returncode, done.stdout, inside(desk)) == (1, "", before)
    document = json.loads(zoo(command, net_file, "cat.png", wrong, "--json", cwd=desk).stdout)
    assert document["kind"] == "data"
    assert document["error"].startswith(message)


@pytest.mark.parametrize("command", ["predict", "embed"])
def test_a_language_model_is_given_texts(lstm_file, desk, command):
    before = inside(desk)
    done = zoo(command, lstm_file, "notes.txt", "box.zip", "--out", "x.csv", cwd=desk)
    assert (done.returncode, done.stdout, inside(desk)) == (1, "", before)
    assert "zoo: box.zip: not text: it contains NUL bytes" in done.stderr
    done = zoo(command, lstm_file, ".", cwd=desk)  # what is found in a folder keeps its row
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert done.returncode == 0
    header = ["input"] if command == "predict" else []
    assert [row[0] for row in rows if row[1]] == [*header, "./notes.txt"]
    reasons = {row[0]: row[2] for row in rows if not row[1]}
    assert reasons["./zeros.txt"].endswith("is not text: it contains NUL bytes")


def test_a_damaged_file_alone_is_an_error_and_beside_others_a_row(net_file, desk):
    before = inside(desk)
    for out in OUTPUTS:
        done = zoo("predict", net_file, "cut.png", "--out", out, cwd=desk)
        assert (done.returncode, done.stdout, inside(desk)) == (1, "", before)
        assert f"zoo: {CUT}" in done.stderr
    done = zoo("predict", net_file, "cut.png", cwd=desk)
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(zoo("predict", net_file, "cut.png", "--json", cwd=desk).stdout)["error"] == CUT
    (desk / "holiday" / "0.png").write_bytes((desk / "cut.png").read_bytes())
    for given in (["cut.png", "cat.png"], ["holiday"], ["c*.png"]):
        done = zoo("predict", net_file, *given, cwd=desk)
        assert done.returncode == 0
        assert "cannot be read as an image" in done.stdout
    for name in ("1.png", "2.png"):
        (desk / "holiday" / name).unlink()
    done = zoo("embed", net_file, "holiday", "cut.png", "--out", "x.csv", cwd=desk)
    assert done.returncode == 1
    assert "zoo: none of the 2 inputs can be read: holiday/0.png: cannot be read as an image" in done.stderr
    assert not (desk / "x.csv").exists()


def test_an_image_may_have_any_name(net_file, desk):
    (desk / "cat.scan").write_bytes((desk / "cat.png").read_bytes())
    assert zoo("predict", net_file, "cat.scan", cwd=desk).returncode == 0


def test_paths_on_stdin_keep_their_rows_unless_none_can_be_read(net_file, desk, monkeypatch):
    def given(text: str):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return zoo("predict", net_file, "-", cwd=desk)

    assert given("cat.png\ncaat.png\n").returncode == 0
    done = given("caat.png\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "zoo: caat.png: no such file or folder" in done.stderr


def test_a_command_that_failed_leaves_nothing_and_an_interrupted_one_is_continued(net_file, desk):
    model = load(net_file, progress=False)
    out, before = desk / "x.jsonl", inside(desk)

    def ended_by(error, **settings):
        def inputs():
            yield desk / "holiday" / "1.png"
            raise error

        with pytest.raises(type(error)), pytest.warns(match="central square"):
            model.predict(inputs(), batch_size=1, threads=1, progress=False, **settings).write(out)
        return inside(desk) - before

    assert ended_by(DataError("the camera is gone"), top=2) == set()
    kept = {"x.jsonl", "x.jsonl.unfinished"}
    for error in (KeyboardInterrupt(), DataError("the camera is gone")):  # nor what was there before
        assert ended_by(error) == kept
        assert json.loads(out.read_text())["input"].endswith("1.png")
    with pytest.warns(match="central square"):
        done = model.predict(desk / "holiday", progress=False).write(out)
    assert (done["rows"], done["before"]) == (2, 1)


def test_a_file_without_a_row_is_not_begun(net_file, desk):
    (desk / "x.csv.unfinished").write_text('{"top":7,"min_confidence":null,"weights_sha256":"0"}')
    assert zoo("predict", net_file, "cat.png", "--out", "x.csv", cwd=desk).returncode == 0
    assert not (desk / "x.csv.unfinished").exists()


def test_python_says_the_same_before_it_reads(net_file, desk, monkeypatch):
    monkeypatch.chdir(desk)
    model = load(net_file, progress=False)
    message = r"caat\.png: no such file or folder; did you mean 'cat\.png'\?"
    for call in (model.predict, model.features):
        for given in ("caat.png", ["cat.png", desk / "caat.png"], ("cat.png", "caat.png")):
            with pytest.raises(DataError, match=message):
                call(given)
    with pytest.raises(DataError, match=CUT):
        list(model.predict("cut.png", progress=False))
    for given in ([(desk / "cut.png").read_bytes()], iter(["caat.png"])):  # in memory, or one by one: a row
        (row,) = model.predict(given, progress=False)
        assert row["error"]
