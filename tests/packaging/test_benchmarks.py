"""The commands behind the figures of the docs exist, and the pages show what their rows give."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import pytest

from benchmarks import __main__, measuring, pages, rows
from benchmarks.declared import Declared, declared
from benchmarks.measuring import benchmark
from benchmarks.rows import Origin, Result, Row, compare, latest, read
from zoo import Registry

ROOT = Path(__file__).parents[2]
ORIGIN = Origin("listing", "python -m benchmarks listing", "0123456789ab", "2026-12-01", "two cores")
ELSEWHERE = Origin("listing", "python -m benchmarks listing", "0123456789ab", "2026-12-01", "four cores")


@pytest.mark.slow  # imports most of zoo
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.jit")  # Lightning calls torch.jit.script
@pytest.mark.parametrize("name", declared())
def test_each_benchmark_has_options(name: str) -> None:
    try:
        parser = declared()[name].parser()
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not among the development tools")
    assert parser.prog == f"python -m benchmarks {name}"


def test_the_list_imports_no_torch() -> None:
    code = "import sys\nfrom benchmarks.__main__ import main\nmain()\nassert 'torch' not in sys.modules"
    environ = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(f"  {name} " in done.stdout for name in declared())
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80


def test_an_unknown_benchmark_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nope"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "unknown benchmark 'nope'; `python -m benchmarks` lists them\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["listing", "--rounds", "0"], "argument --rounds: must be more than 0 (got 0)"),
        (["listing", "--rounds", "many"], "argument --rounds: invalid int value: 'many'"),
        (["language_models", "--minutes", "-1"], "argument --minutes: must be more than 0 (got -1)"),
        (["within_a_minute", "--budgets", "8", "nan"], "argument --budgets: must be more than 0 (got nan)"),
        (["views", "nietzsche-rnn"], "nietzsche-rnn has no test accuracy\nname weights of a classifier"),
        (["listing", "--out", "nowhere/rows"], "nowhere/rows cannot be written"),
        (["listing", "--out", "text"], "text cannot be read: JSON is malformed"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_measured(
    words: list[str], says: str, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no rows\n")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode > 0
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@benchmark(minutes=0)
def interrupted(*, name: str = "") -> Iterator[Row]:
    """Stop as with Ctrl-C, for an unknown name, or for a file that is not there."""
    yield Row("", "figure", 1.0)
    if name == "missing":
        raise FileNotFoundError("onnxruntime-web is not installed")
    measuring.chosen([name] if name else [], ["known"])
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 130, "\nstopped; no rows were written\n"),
        (("--name", "nope"), 1, "unknown name 'nope'\nchoose from: known\n"),
        (("--name", "missing"), 1, "onnxruntime-web is not installed\n"),
    ],
)
def test_a_benchmark_that_ends_early_writes_no_rows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    one = Declared("interrupted", "none", "", 0, "")
    monkeypatch.setattr(Declared, "load", lambda self: interrupted)
    monkeypatch.setattr(__main__, "declared", lambda: {"interrupted": one})
    file = tmp_path / "rows.jsonl"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "interrupted", "--out", str(file), *words])
    with warnings.catch_warnings():  # a benchmark turns them off
        assert __main__.main() == code
    assert capsys.readouterr().err == said
    assert not file.exists()


def test_each_benchmark_says_in_a_sentence_what_it_measures() -> None:
    assert all(one.summary.endswith(".") for one in declared().values())


def test_the_docs_name_benchmarks_that_exist() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in pages.PAGES)
    named = {*re.findall(r"python\s-m\sbenchmarks\s(\w+)", text)}
    assert len(named) > 20
    assert named <= {*declared()}


def test_pages_show_what_the_rows_give() -> None:
    rows_ = pages.rows_of_pages()
    stale = [page.name for page in pages.PAGES if pages.render(text := page.read_text(), rows_) != text]
    assert not stale, "run `python -m benchmarks --tables`"


def test_each_table_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in pages.PAGES)
    assert {*re.findall(r"<!-- benchmark: ([^;]+?) -->", text)} == {*pages.TABLES}


def test_rows_belong_to_a_benchmark_and_name_a_commit() -> None:
    found = read()
    assert {each.origin.benchmark for each in found} <= {*declared()}
    assert all(re.fullmatch(r"[0-9a-f]{8,12}\+?", each.origin.commit) for each in found)


def test_a_figure_and_a_table_are_written_from_the_last_rows() -> None:
    old, new = (Result(Row("zoo list", "ratio", value, "times as long"), ORIGIN) for value in (2.0, 3.14159))
    text = "It takes <!-- benchmark: listing; zoo list; ratio; .2f -->1.00<!-- end --> times as long."
    assert pages.render(text, latest([old, new])) == text.replace("1.00", "3.14")
    with pytest.raises(KeyError):
        pages.render(text.replace("zoo list", "zoo show"), latest([old, new]))


def test_published_weights_have_the_mean_and_the_deviation_of_their_seeds() -> None:
    row = pages.rows_of_pages()["published images/cifar10", "cifar10-mlp", "result"].row
    seeds = [100 * value for value in Registry.discover().catalog.weights["cifar10-mlp"].by_seed.values()]
    assert (row.value, row.count) == (pytest.approx(mean(seeds), 1e-5), len(seeds))
    assert row.bounds[1] - row.value == pytest.approx(stdev(seeds), 1e-3)


def compared(row: Row, *before: Result) -> str:
    return compare(row, ORIGIN, before).verdict


def test_a_row_is_worse_if_its_interval_lies_on_the_wrong_side() -> None:
    before = Result(Row("", "time", 2.0, "s", 9, 1.9, 2.1), ORIGIN)
    assert compared(Row("", "time", 2.3, "s", 9, 2.2, 2.4), before) == "worse"
    assert compared(Row("", "time", 2.3, "s", 9, 2.05, 2.4), before) == ""
    assert compared(Row("", "time", 1.7, "s", 9, 1.6, 1.8), before) == "better"
    rate = Result(Row("", "rate", 100.0, "images/s"), ORIGIN)
    assert compared(Row("", "rate", 90.0, "images/s", 9, 89.0, 91.0), rate) == "worse"
    assert compared(Row("", "rate", 90.0, "images/s"), rate) == "", "neither tells its noise"
    loss = Result(Row("", "loss", 1.0, "nats"), ORIGIN)
    assert compared(Row("", "loss", 1.1, "nats"), loss) == "worse"
    share = Result(Row("", "share", 100.0, "%"), ORIGIN)
    assert compared(Row("", "share", 90.0, "%"), share) == "changed"
    assert compared(Row("", "another", 90.0, "%"), share) == ""


def test_times_of_another_machine_are_not_judged_but_ratios_are() -> None:
    time, ratio = (Row("", "figure", 2.0, unit, 9, 1.9, 2.1) for unit in ("s", "times as long"))
    assert compared(Row("", "figure", 3.0, "s"), Result(time, ELSEWHERE)) == ""
    assert compared(Row("", "figure", 3.0, "times as long"), Result(ratio, ELSEWHERE)) == "worse"
    here = Result(Row("", "figure", 4.0, "s", 9, 3.9, 4.1), ORIGIN)
    assert compared(Row("", "figure", 3.0, "s"), here, Result(time, ELSEWHERE)) == "better"


def test_rows_are_appended_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    first, second = Row("a", "loss", 1.23456789, "nats"), Row("b", "parameters", 1_972_792)
    rows.append([first], ORIGIN, file)
    rows.append([second], ELSEWHERE, file)
    assert read(file) == [Result(first, ORIGIN), Result(second, ELSEWHERE)]
    assert (first.value, second.value) == (1.23457, 1_972_792)


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (Row("a", "equal characters", 40_000, "right", 40_000), "40,000 of 40,000 right"),
        (Row("a", "accuracy", 91.349, "% accuracy", 2_000, 90.04, 92.5), "91.35% accuracy (90.04 to 92.5)"),
        (Row("a", "time", 0.02, "s"), "0.02 s"),
    ],
)
def test_a_row_is_shown_with_its_unit_count_and_interval(row: Row, shown: str) -> None:
    assert str(row) == shown


def test_a_row_tells_nothing_of_the_host() -> None:
    machine = Origin.now("listing", "python -m benchmarks listing").machine
    assert "cores" in machine
    assert "torch" in machine
    assert str(ROOT) not in machine


def test_the_interval_of_a_median_leaves_out_extremes_of_many_values() -> None:
    few = measuring.median_of("", "", [3.0, 1.0, 2.0], "s")
    many = measuring.median_of("", "", [float(number) for number in range(1, 41)], "s")
    assert (few.value, few.low, few.high) == (2.0, 1.0, 3.0)
    assert (many.value, many.low, many.high) == (20.5, 14.0, 27.0)  # the 14th and 27th of 40, as in tables


def test_a_child_is_measured_by_itself_not_with_its_parent() -> None:
    kept = bytearray(300_000_000)  # resident in this process
    done = measuring.child(measuring.python("print('done')"))
    assert (done.out, done.code) == ("done\n", 0)
    assert 0 < done.mebibytes < len(kept) / 2**20
    with pytest.raises(SystemExit, match="ended with 3"):
        measuring.child([sys.executable, "-c", "raise SystemExit(3)"])


def test_ways_take_turns_and_each_round_has_one_of_each() -> None:
    called: list[str] = []

    def way(name: str) -> float:
        called.append(name)
        return float(len(called))

    found = measuring.in_turn({name: lambda name=name: way(name) for name in "ab"}, 2)
    assert called == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [4.0, 5.0], "b": [3.0, 6.0]}
