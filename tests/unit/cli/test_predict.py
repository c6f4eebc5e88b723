"""`zoo predict` as a user types it."""

from __future__ import annotations

import io
import json
import re
import sys

import pytest

from tests.shell import zoo
from zoo import load

CUT = "cannot be read as an image: image file is truncated"


def done(*arguments, code=0, **options):
    result = zoo("predict", *arguments, **options)
    assert result.returncode == code, result.stderr
    return result


def test_elsewhere_than_on_a_terminal_an_input_is_a_line_of_cells(net_file, images):
    result = done(net_file, "images", cwd=images.parent)
    rows = load(net_file, progress=False).predict(sorted(images.iterdir()), progress=False)
    cells = [line.split("\t") for line in result.stdout.splitlines()]
    assert [name for name, *_ in cells] == [f"images/{n}.png" for n in (*range(6), "cut")]
    assert [[kind, float(p)] for _, kind, p in cells[:6]] == [
        [*row["predictions"][0].values()] for row in rows[:6]
    ]
    assert cells[6][1:] == ["", CUT]
    said = result.stderr.splitlines()
    notice = "zoo: images of other sizes are cropped to the central square and resized to 32×32 pixels"
    assert said == [f"predicting with {net_file}", notice], "once"
    assert done(net_file, "images", "-q", cwd=images.parent).stderr == ""
    (line,) = done(net_file, "images/1.png", "--top", "3", cwd=images.parent).stdout.splitlines()
    assert len(line.split("\t")) == 7


@pytest.mark.parametrize("width", [50, 80, 200])
def test_a_table_on_a_terminal_fits_its_width(net_file, images, width):
    result = done(net_file, "images", "--top", "2", cwd=images.parent, columns=width)
    plain = re.sub(r"\x1b\[\d*m", "", result.stdout).splitlines()
    assert plain[0].split() == ["INPUT", "CLASS", "PROBABILITY"]
    assert max(map(len, plain)) <= width
    ends = {len(line) for line in plain[:13]}
    assert len(ends) == 1, "probabilities are aligned to the right"
    assert re.fullmatch(r"images/0\.png +\w+ +\d+\.\d\d%", plain[1])
    assert re.fullmatch(r" +\w+ +\d+\.\d\d%", plain[2])
    assert " ".join(line.strip() for line in plain[13:]).split() == ["images/cut.png", *CUT.split()]


def test_a_long_path_is_not_cut(net_file, images, tmp_path):
    name = "x" * 90 + ".png"
    (tmp_path / name).write_bytes((images / "1.png").read_bytes())
    assert name in done(net_file, name, cwd=tmp_path, columns=60).stdout


def test_what_a_terminal_would_obey_is_escaped(net_file, images, tmp_path):
    (tmp_path / "\x1b[31m.png").write_bytes((images / "1.png").read_bytes())
    for columns in (None, 80):
        assert r"\x1b[31m.png" in done(net_file, tmp_path, columns=columns, env={"NO_COLOR": "1"}).stdout


def test_json_is_an_array_of_the_rows(net_file, images):
    inputs = "images/?.png", "images/cut.png"
    document = json.loads(done(net_file, *inputs, "--json", "--top", "2", cwd=images.parent).stdout)
    assert len(document) == 7
    assert all(row.keys() == {"input", "predictions", "error"} for row in document)
    assert [len(row["predictions"]) for row in document] == [2] * 6 + [0]
    assert document[0]["predictions"][0].keys() == {"class", "probability"}
    assert document[-1] == {"input": "images/cut.png", "predictions": [], "error": CUT}


@pytest.mark.parametrize("more", [(), ("--json",), ("--out", "x.csv"), ("--out", "x.npy", "--json")])
def test_strict_exits_with_1_after_all_is_done(net_file, images, tmp_path, more):
    good, bad = (net_file, images / "1.png"), (net_file, images / "cut.png", images / "1.png")
    assert done(*bad, "--strict", *more, code=1, cwd=tmp_path).stdout
    for path in tmp_path.iterdir():
        path.unlink()
    done(*good, "--strict", *more, cwd=tmp_path)


def test_paths_on_stdin(net_file, images, monkeypatch):
    text = f"{images / '3.png'}\n{images / '4.png'}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    lines = done(net_file, "-").stdout.splitlines()
    assert [line.partition("\t")[0] for line in lines] == text.split()


def test_texts_are_scored_with_units(lstm_file, text_file, monkeypatch, tmp_path):
    (tmp_path / "short.txt").write_text("x")
    result = done(lstm_file, text_file, "short.txt", cwd=tmp_path, columns=120, env={"NO_COLOR": "1"})
    header, numbers, error = result.stdout.splitlines()
    assert re.split(" {2,}", header) == [
        "INPUT", "LOSS (nats)", "BITS PER CHAR", "PERPLEXITY", "TOKENS", "UNKNOWN",
    ]  # fmt: skip
    assert re.fullmatch(rf"{text_file} +\d\.\d{{4}} +\d\.\d{{4}} +\d+\.\d{{4}} +4,080 +0", numbers)
    assert error.split("  ")[-1].strip() == "the text must have at least 2 tokens (got 1)"
    piped = done(lstm_file, text_file, "short.txt", cwd=tmp_path).stdout.splitlines()
    assert piped[0].split("\t") == ["input", "loss", "bits_per_char", "perplexity", "tokens", "unknown"]
    assert len(piped) == 3, "named once"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text_file.read_bytes())))
    (row,) = json.loads(done(lstm_file, "-", "--json").stdout)
    assert row["input"] == "-"
    assert row["predictions"] == json.loads(done(lstm_file, text_file, "--json").stdout)[0]["predictions"]


def test_what_was_written_is_told(net_file, images, tmp_path):
    result = done(net_file, images, "--out", "x.csv", "--min-confidence", "1", cwd=tmp_path)
    assert result.stdout == "wrote x.csv: 7 rows, 1 cannot be read, 6 unsure\n"
    again = done(net_file, images, "--out", "x.csv", cwd=tmp_path, code=1)
    assert again.stderr.splitlines()[-2:] == [
        "zoo: x.csv already exists",
        "     delete it, or choose a different output",
    ]
    document = json.loads(done(net_file, images, "--out", "y.jsonl", "--json", cwd=tmp_path).stdout)
    assert document == {
        "out": "y.jsonl", "weights": str(net_file), "rows": 7, "before": 0, "errors": 1, "unsure": 0,
    }  # fmt: skip


def test_no_input_is_a_mistake(net_file, monkeypatch):
    assert "zoo: missing INPUT" in done(net_file, code=2).stderr
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert "zoo: no images given" in done(net_file, "-", code=1).stderr


def test_rows_stay_on_stdout_while_a_line_changes_on_the_terminal(net_file, images, monkeypatch):
    """rich, which draws that line, would send them to the terminal."""
    for name in ("_SHORT", "_LIVE_SECONDS"):
        monkeypatch.setattr(f"zoo.console.progress.{name}", 0)
    result = done(net_file, images, "--batch-size", "1", env={"TTY_COMPATIBLE": "1", "TERM": "xterm"})
    assert len(result.stdout.splitlines()) == 7
    assert "\x1b[" in result.stderr
