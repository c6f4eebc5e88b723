"""`zoo embed` as a user types it."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.shell import zoo
from zoo import Features, load


@pytest.fixture(scope="module")
def features(net_file, images):
    """Return the features of the whole images."""
    paths = [images / f"{number}.png" for number in range(6)]
    with pytest.warns(match="central square"):
        return np.asarray(load(net_file, progress=False).features(paths, progress=False))


def done(*arguments, code=0, **options):
    result = zoo("embed", *arguments, **options)
    assert result.returncode == code, result.stderr
    return result


def test_elsewhere_than_on_a_terminal_an_input_is_a_line_of_cells(net_file, images, features):
    result = done(net_file, "images", cwd=images.parent)
    *lines, last = [line.split("\t") for line in result.stdout.splitlines()]
    assert [name for name, *_ in lines] == [f"images/{number}.png" for number in range(6)]
    assert last == ["images/cut.png", "", "cannot be read as an image: image file is truncated"]
    np.testing.assert_allclose([[*map(float, cells)] for _, *cells in lines], features, rtol=1e-5)
    notice = "zoo: images of other sizes are cropped to the central square and resized to 32×32 pixels"
    assert result.stderr.splitlines() == [f"computing features with {net_file}", notice]
    assert done(net_file, "images", "-q", cwd=images.parent).stderr == ""


@pytest.mark.parametrize("width", [36, 80])
def test_a_terminal_shows_the_features_that_fit(net_file, images, features, width):
    shown = done(net_file, "images/1.png", cwd=images.parent, columns=width).stdout.rstrip("\n")
    assert len(shown) <= width
    name, count, numbers = re.split(" {2,}", shown)
    assert (name, count) == ("images/1.png", f"({features.shape[1]})")
    *some, last = numbers.split()
    assert last.endswith("…")
    np.testing.assert_allclose([*map(float, some)], features[1, : len(some)], rtol=1e-3)
    whole = done(net_file, "images/1.png", cwd=images.parent, columns=1000).stdout
    assert len(whole.split()) == 2 + features.shape[1]


def test_json_is_an_array_of_rows(net_file, images, features):
    arguments = net_file, "images/?.png", "images/cut.png", "--json"
    *rows, last = json.loads(done(*arguments, cwd=images.parent).stdout)
    np.testing.assert_allclose([row["features"] for row in rows], features, rtol=1e-5)
    assert (last["input"], last["features"]) == ("images/cut.png", None)
    assert last["error"] == "cannot be read as an image: image file is truncated"
    (maps,) = json.loads(done(net_file, images / "0.png", "--no-pool", "--json").stdout)
    assert np.array(maps["features"]).ndim == 3


def test_what_was_written_is_told_and_what_cannot_be_read(net_file, images, features, tmp_path):
    result = done(net_file, images, "--out", "x.npy", cwd=tmp_path)
    width = features.shape[1]
    assert result.stdout == f"wrote x.npy: 7 rows of {width} numbers, 1 cannot be read\n"
    assert f"zoo: {images}/cut.png cannot be read as an image: image file is trunc" in result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[:6], features)
    again = done(net_file, images, "--out", "x.npy", "--layer", "stages", cwd=tmp_path, code=1)
    assert "zoo: x.npy already exists" in again.stderr
    arguments = net_file, images / "0.png", "--layer", "stages", "--no-pool", "--out", "y.npy"
    document = json.loads(done(*arguments, "--json", cwd=tmp_path).stdout)
    assert document["layer"] == "stages"
    assert done(*arguments[:-1], "z.npy", cwd=tmp_path).stdout == (
        f"wrote z.npy: 1 rows of {'×'.join(map(str, document['shape']))} numbers\n"
    )


@pytest.mark.parametrize("more", [(), ("--json",), ("--out", "x.csv"), ("--out", "x.npy", "--json")])
def test_strict_exits_with_1_after_all_is_done(net_file, images, tmp_path, more):
    good, bad = (net_file, images / "1.png"), (net_file, images / "cut.png", images / "1.png")
    assert done(*bad, "--strict", *more, code=1, cwd=tmp_path).stdout
    for path in tmp_path.iterdir():
        path.unlink()
    done(*good, "--strict", *more, cwd=tmp_path)


def test_a_text_on_stdin_is_one_input(lstm_file, text_file, monkeypatch):
    text = text_file.read_text()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    (row,) = json.loads(done(lstm_file, "-", "--json").stdout)
    assert row["input"] == "-"
    found = load(lstm_file, progress=False).features(text, progress=False)[0]
    np.testing.assert_allclose(row["features"], found["features"], rtol=1e-5)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (
            "x.csv",
            "x.csv contains the finished rows\n     repeat the command with the same inputs to write ",
        ),
        ("x.npy", "x.npy was not written\n"),
    ],
)
def test_ctrl_c_says_how_to_go_on(net_file, images, monkeypatch, out, said):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Features, "write", interrupt)
    arguments = net_file, "0.png", "--layer", "stages", "--no-pool", "--out", out
    result = done(*arguments, code=130, cwd=images)
    assert f"zoo: stopped: {said}" in result.stderr


def test_sigterm_while_rows_are_written_has_its_own_exit_code(net_file, images, monkeypatch):
    class Terminated(KeyboardInterrupt):  # as the command line raises it for SIGTERM
        pass

    def terminate(*_: object, **__: object) -> None:
        raise Terminated

    monkeypatch.setattr(Features, "write", terminate)
    result = done(net_file, "0.png", "--out", "x.csv", code=143, cwd=images)
    assert "zoo: stopped: x.csv contains the finished rows" in result.stderr


def test_a_file_that_was_cut_is_continued_by_the_same_command(net_file, images, tmp_path: Path):
    command = net_file, images, "--out", "x.csv", "--batch-size", "1"
    done(*command, cwd=tmp_path)
    whole = (tmp_path / "x.csv").read_bytes()
    asked = {"weights_sha256": load(net_file, progress=False).card.sha256, "layer": "features", "pool": True}
    (tmp_path / "x.csv").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "x.csv.unfinished").write_text(json.dumps(asked))
    result = done(*command, cwd=tmp_path)
    assert re.fullmatch(
        r"wrote x\.csv: 7 rows of .* numbers, \d of them written earlier, .*\n", result.stdout
    )
    assert (tmp_path / "x.csv").read_bytes() == whole
