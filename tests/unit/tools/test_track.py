"""`zoo track`: which rows of a run a tracker gets, and when; by night, the stores of four libraries."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.made_runs import make
from tests.shell import SMALL_SHAPES, zoo
from zoo.errors import RunError
from zoo.plugin import TrackedRow, TrackedRun, Tracker
from zoo.registry.registry import Registry
from zoo.runs.lock import owned
from zoo.tools.track import follower
from zoo.tools.track.follower import Followed, follow
from zoo.tools.track.to_tensorboard import TensorBoard

CONFIG = """
schema = 1
[recipes.mine]
architecture = "convnet/mlp"
dataset = "images/shapes"
seed = 0
[recipes.mine.model]
widths = [8]
[recipes.mine.train]
lr = {lr}
"""
START = 1.8e9


@dataclass
class Store:
    """What trackers have stored, by the ids of runs; `asked` is whether it returns its last step."""

    asked: bool = False
    runs: dict[str, TrackedRun] = field(default_factory=dict)
    rows: dict[str, list[TrackedRow]] = field(default_factory=dict)
    ends: list[tuple[str, str]] = field(default_factory=list)

    def steps(self, number: int = 0) -> list[tuple[int, list[str]]]:
        """Return the step and the metrics of each row of a run."""
        return [(row.step, [*row.values]) for row in [*self.rows.values()][number]]


class Collects(Tracker):
    """Stores rows in memory, except at a step at which it fails: 0 is when it begins."""

    def __init__(self, store: Store, *, fails_at: int = -1) -> None:
        self.store, self.fails_at = store, fails_at

    def begin(self, run: TrackedRun) -> int | None:
        if self.fails_at == 0:
            raise ConnectionError("no route to host")
        self.run = run
        self.store.runs[run.id] = run
        rows = self.store.rows.setdefault(run.id, [])
        return max((row.step for row in rows), default=0) if self.store.asked else None

    def log(self, rows: Sequence[TrackedRow]) -> None:
        if any(row.step == self.fails_at for row in rows):
            raise ConnectionError("no route to host")
        self.store.rows[self.run.id] += rows

    def end(self, status: str) -> None:
        self.store.ends.append((self.run.name, status))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_POLL", 0.01)
    monkeypatch.setattr(follower, "_PATIENCE", 0.1)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a stopped run with three steps an epoch, in its third epoch."""
    return write(tmp_path / "mine", steps=7)


def write(run: Path, *, steps: int, lr: float = 0.1, after: float = 0.0, kept: int = 0) -> Path:
    """Write a run's logs up to a step, the rows after `kept` some seconds later than START."""
    run.mkdir(exist_ok=True)
    (run / "config.toml").write_text(CONFIG.format(lr=lr))
    before = (run / "steps.jsonl").read_text().splitlines()[:kept] if kept else []
    rows = [*before, *(json.dumps(step_row(step, lr, after)) for step in range(kept + 1, steps + 1))]
    (run / "steps.jsonl").write_text("".join(f"{row}\n" for row in rows))
    epochs = [epoch_row(number, after if 3 * number > kept else 0.0) for number in range(1, steps // 3 + 1)]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in epochs))
    return run


def step_row(step: int, lr: float = 0.1, after: float = 0.0) -> dict[str, Any]:
    row = {"epoch": (step - 1) // 3 + 1, "step": step, "loss": 1 / step, "lr": lr, "rate": 9.0}
    return row | {"time": START + step + after}


def epoch_row(number: int, after: float = 0.0) -> dict[str, Any]:
    clock = {"seconds": 1.0, "rate": 9.0, "time": START + 3 * number + 0.5 + after}
    measured = {"train": {"loss": 0.5}, "val": {"loss": 0.4, "accuracy": 0.9}}
    return {"epoch": number, "steps": 3 * number, "clock": clock, **measured}


def sent(run: Path, registry: Registry, store: Store, **how: Any) -> Followed:
    return follow(run, "memory", partial(Collects, store, **how), registry)


STEP, EPOCH = ["loss", "lr", "rate"], ["train/loss", "val/loss", "val/accuracy"]
SEVEN = [*((step, STEP) for step in (1, 2, 3)), (3, EPOCH), *((step, STEP) for step in (4, 5, 6)), (6, EPOCH)]
SEVEN += [(7, STEP)]


def test_a_tracker_gets_each_row_in_order_and_that_of_an_epoch_after_its_last_step(
    run: Path, registry: Registry
) -> None:
    store = Store()
    assert sent(run, registry, store) == Followed(rows=9, step=7, status="stopped")
    assert store.steps() == SEVEN
    (rows,) = store.rows.values()
    assert rows[0] == TrackedRow(step=1, time=START + 1, values={"loss": 1.0, "lr": 0.1, "rate": 9.0})
    assert rows[3].time == START + 3.5
    assert rows[3].values == {"train/loss": 0.5, "val/loss": 0.4, "val/accuracy": 0.9}
    (tracked,) = store.runs.values()
    assert (tracked.name, tracked.part, tracked.directory) == ("mine", 1, run)
    assert {"lr": 0.1, "seed": 0, "dataset": "images/shapes", "model.widths": "8"}.items() <= (
        tracked.options.items()
    )
    assert store.ends == [("mine", "stopped")]


@pytest.mark.parametrize("asked", [False, True])
def test_a_later_follower_continues_the_same_run(asked: bool, run: Path, registry: Registry) -> None:
    store = Store(asked=asked)
    sent(run, registry, store)
    assert sent(run, registry, store).rows == 0
    write(run, steps=9)
    assert sent(run, registry, store) == Followed(rows=3, step=9, status="stopped")
    assert len(store.runs) == 1
    assert store.steps() == [*SEVEN, (8, STEP), (9, STEP), (9, EPOCH)]


def test_a_store_that_lost_rows_gets_them_again(run: Path, registry: Registry) -> None:
    store = Store(asked=True)
    sent(run, registry, store)
    (rows,) = store.rows.values()
    del rows[5:]  # from step 5 on
    assert sent(run, registry, store).rows == 4
    assert store.steps() == SEVEN


def test_rows_that_a_resumed_run_repeats_are_sent_once(run: Path, registry: Registry) -> None:
    store = Store()
    sent(run, registry, store)
    write(run, steps=5, kept=4, after=100)  # killed after step 7, resumed from step 4
    assert sent(run, registry, store).rows == 0
    write(run, steps=8, kept=4, after=100)
    sent(run, registry, store)
    assert store.steps() == [*SEVEN, (8, STEP)]


def test_rows_of_an_epoch_wait_for_that_of_the_epoch_before(run: Path, registry: Registry) -> None:
    """As when both logs grow between the reading of one and of the other."""
    store, metrics = Store(), run / "metrics.jsonl"
    whole = metrics.read_text()
    metrics.write_text("")
    sent(run, registry, store)
    assert store.steps() == SEVEN[:3]
    metrics.write_text(whole)
    sent(run, registry, store)
    assert store.steps() == SEVEN


def test_a_row_that_is_being_written_is_read_later(run: Path, registry: Registry) -> None:
    store, log = Store(), run / "steps.jsonl"
    whole = log.read_text()
    log.write_text(whole[:-20])
    assert sent(run, registry, store).step == 6
    log.write_text(whole)
    sent(run, registry, store)
    assert store.steps() == SEVEN


def test_with_other_options_a_second_run_begins(run: Path, registry: Registry) -> None:
    store = Store()
    sent(run, registry, store)
    write(run, steps=9, kept=4, lr=0.2, after=100)
    sent(run, registry, store)
    assert store.steps(0) == SEVEN
    assert store.steps(1) == [(5, STEP), (6, STEP), (6, EPOCH), (7, STEP), (8, STEP), (9, STEP), (9, EPOCH)]
    assert [row.values["lr"] for row in [*store.rows.values()][1] if "lr" in row.values] == [0.2] * 5
    assert [(tracked.name, tracked.part) for tracked in store.runs.values()] == [
        ("mine", 1),
        ("mine-part-2", 2),
    ]
    write(run, steps=10, kept=9, lr=0.2, after=100)
    sent(run, registry, store)
    assert len(store.runs) == 2
    assert store.steps(1)[-1] == (10, STEP)


@pytest.mark.parametrize("fails_at", [0, 7])
def test_after_a_failure_what_was_not_stored_is_sent_again(
    fails_at: int, run: Path, registry: Registry
) -> None:
    store = Store()
    with pytest.raises(
        RunError, match="the tracker memory failed: ConnectionError: no route to host"
    ) as told:
        sent(run, registry, store, fails_at=fails_at)
    assert told.value.hint == f"run `zoo track {run} --to memory` to continue"
    assert sent(run, registry, store).rows == 9
    assert len(store.runs) == 1


def test_a_live_run_is_followed_until_it_stops(run: Path, registry: Registry) -> None:
    store, begun = Store(), threading.Event()
    found: list[Followed] = []

    def following() -> None:
        begun.set()
        found.append(sent(run, registry, store))

    with owned(run):
        thread = threading.Thread(target=following)
        thread.start()
        begun.wait()
        until(lambda: store.rows and store.steps() == SEVEN)
        write(run, steps=8)
        until(lambda: store.steps()[-1] == (8, STEP))
        assert not store.ends
    thread.join()
    assert found == [Followed(rows=10, step=8, status="stopped")]


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_run_to_come_is_waited_for(tmp_path: Path, registry: Registry) -> None:
    store, looks = Store(), [False, False, True, True]

    def waiting() -> bool:
        if looks.pop():
            return True
        write(tmp_path / "late", steps=7)
        (tmp_path / "late/model.safetensors").touch()
        return True

    found = follow(tmp_path / "late", "memory", partial(Collects, store), registry, waiting=waiting)
    assert (found.rows, found.status) == (9, "finished")
    assert store.ends == [("late", "finished")]


def test_two_followers_of_one_run_and_tracker_are_refused(run: Path, registry: Registry) -> None:
    with follower._locked(run / "track-memory.json", "memory"):
        with pytest.raises(RunError, match=f"another process is already sending {run} to memory"):
            sent(run, registry, Store())
        assert follow(run, "other", partial(Collects, Store()), registry).rows == 9


@pytest.mark.parametrize(
    ("file", "message"),
    [("track-memory.json", "is damaged: "), ("steps.jsonl", "cannot be read: "), ("config.toml", "")],
)
def test_a_damaged_file_is_named(file: str, message: str, run: Path, registry: Registry) -> None:
    (run / file).write_text("{]\n")
    with pytest.raises(RunError, match=re.escape(f"{run / file} {message}" if message else str(run))):
        sent(run, registry, Store())


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


NOT_A_LOG: dict[str, Callable[[Path], object]] = {
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a pipe": os.mkfifo,
    "a terabyte": _sparse,
    "brackets": lambda path: path.write_bytes(b'{"a":' * 100_000 + b"\n"),
    "another type": lambda path: path.write_bytes(b'{"step": "7"}\n'),
}


@pytest.mark.parametrize("what", NOT_A_LOG)
@pytest.mark.parametrize("file", ["steps.jsonl", "track-memory.json"])
def test_what_is_no_log_is_refused_in_one_line(what: str, file: str, run: Path, registry: Registry) -> None:
    (run / file).unlink(missing_ok=True)
    NOT_A_LOG[what](run / file)
    with pytest.raises(RunError, match=rf"^{run / file} (cannot be (read|written)|is damaged): ") as told:
        sent(run, registry, Store())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_file_elsewhere_is_not_written_through_a_link(
    link: Callable[[Path, Path], None], run: Path, registry: Registry
) -> None:
    other = run.parent / "other"
    other.touch()
    link(other, run / "track-memory.json")
    with pytest.raises(RunError, match=r"cannot be written: it is a link to another file\n") as told:
        sent(run, registry, Store())
    assert told.value.hint == "delete it to send this as a new run"
    assert other.read_bytes() == b""


def test_a_file_that_cannot_be_written_is_named(run: Path, registry: Registry) -> None:
    _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))  # like a full disk
    try:
        with pytest.raises(RunError, match=r"track-memory\.json cannot be written: File too large") as told:
            sent(run, registry, Store())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.hint == f"run `zoo track {run} --to memory` to continue"
    assert sent(run, registry, Store()).rows == 9


PLUGIN = '''
import json
import sys
import threading
from pathlib import Path

from zoo import TrackerSpec, hookimpl
from zoo.plugin import Tracker


class Lines(Tracker):
    """Writes a file of lines beside the run.

    Args:
        suffix: suffix of the file.
    """

    def __init__(self, *, suffix: str = "lines", width: int = 80):
        self._suffix = suffix

    def begin(self, run):
        self._file = Path(f"{run.name}.{self._suffix}")
        Path("modules").write_text(" ".join(sys.modules))

    def log(self, rows):
        with self._file.open("a") as file:
            for row in rows:
                print(json.dumps([row.step, row.values]), file=file)

    def end(self, status):
        with self._file.open("a") as file:
            print(json.dumps(status), file=file)


class Stopped(Lines):
    def log(self, rows):
        raise KeyboardInterrupt


class Slow(Lines):
    def begin(self, run):
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
        super().begin(run)


class Absent(Lines):
    def __init__(self):
        import no_such_tracker


@hookimpl
def zoo_trackers():
    yield TrackerSpec(name="lines", target="lines_tracker:Lines", summary="Lines in a file")
    yield TrackerSpec(name="stopped", target="lines_tracker:Stopped", summary="Ctrl-C at its first row")
    yield TrackerSpec(name="slow", target="lines_tracker:Slow", summary="Responds after the notice")
    yield TrackerSpec(name="absent", target="lines_tracker:Absent", summary="Not here", extra="absent")
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a one-file plugin with a tracker that writes to a file in the current folder."""
    path = tmp_path / "lines_tracker.py"
    path.write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    yield path
    sys.modules.pop("lines_tracker", None)


def test_the_command_sends_a_run_and_prints_what_it_sent(run: Path, plugin: Path) -> None:
    done = zoo("track", "mine", "--to", "lines", "--plugin", plugin)
    assert done.stdout == "sent 9 rows of mine to lines, up to step 7; the run is stopped\n"
    assert done.stderr == "sending mine to lines; press Ctrl-C to stop\n"
    *rows, status = map(json.loads, (plugin.parent / "mine.lines").read_text().splitlines())
    assert [(step, [*values]) for step, values in rows] == SEVEN
    assert status == "stopped"
    again = zoo("track", "mine", "--to", "lines", "--plugin", plugin, "--json", "--quiet")
    document = {"run": "mine", "tracker": "lines-tracker/lines", "rows": 0, "step": 7, "status": "stopped"}
    assert (json.loads(again.stdout), again.stderr) == (document, "")


def test_the_options_of_a_tracker_are_those_of_the_first_command(run: Path, plugin: Path) -> None:
    words = ("track", "mine", "--to", "lines", "--plugin", plugin)
    assert zoo(*words, "--option", "suffix=txt").returncode == 0
    lines = (plugin.parent / "mine.txt").read_text()
    write(run, steps=8, kept=7)
    assert zoo(*words).returncode == 0
    assert (plugin.parent / "mine.txt").read_text().startswith(lines + "[8, ")
    refused = zoo(*words, "--option", "suffix=csv", "--quiet")
    assert (refused.returncode, refused.stderr) == (
        1,
        "zoo: mine is already being sent to lines with suffix=txt\n"
        "     omit the options, or delete mine/track-lines.json to send it as a new run\n",
    )
    assert not (plugin.parent / "mine.csv").exists()


def test_ctrl_c_ends_it_with_the_command_that_continues(run: Path, plugin: Path) -> None:
    done = zoo("track", "mine", "--to", "stopped", "--plugin", plugin)
    assert done.returncode == 130
    assert "stopped sending mine; run `zoo track mine --to stopped` to continue\n" in done.stderr
    assert json.loads((plugin.parent / "mine.lines").read_text()) == "stopped"


def test_a_tracker_that_does_not_respond_is_reported(
    run: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_SILENT", 0)
    done = zoo("track", "mine", "--to", "slow", "--plugin", plugin)
    assert "zoo: slow has not responded for 0 seconds; press Ctrl-C to stop waiting\n" in done.stderr
    assert done.stdout == "sent 9 rows of mine to slow, up to step 7; the run is stopped\n"


def test_a_log_without_times_is_sent_with_the_present_time(tmp_path: Path, registry: Registry) -> None:
    store = Store()
    assert sent(make(tmp_path / "old"), registry, store).rows == 4
    times = [row.time for row in next(iter(store.rows.values()))]
    assert [now for now in times if abs(now - time.time()) > 3600] == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("mine", "--to", "lnes"), 1, "unknown tracker 'lnes'; did you mean 'lines'?"),
        (("mien", "--to", "lines"), 1, "no such run directory: mien; did you mean 'mine'?"),
        (("mine",), 2, "missing --to `zoo track --help` shows"),
        (
            ("mine", "--to", "lines", "--option", "suffx=x"),
            2,
            "zoo: tracker lines-tracker/lines has no option 'suffx'; did you mean 'suffix'?",
        ),
        (
            ("mine", "--to", "lines", "--option", "width=wide"),
            2,
            "zoo: tracker lines-tracker/lines: width must be an integer (got 'wide')",
        ),
        (
            ("mine", "--to", "absent"),
            1,
            "the tracker absent requires no_such_tracker, which is not installed",
        ),
    ],
)
def test_what_cannot_be_tracked_is_refused(
    words: Sequence[str], code: int, message: str, run: Path, plugin: Path
) -> None:
    done = zoo("track", *words, "--plugin", plugin)
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())


def test_a_training_starts_its_follower(plugin: Path) -> None:
    words = ["train", "mlp", "shapes", *SMALL_SHAPES, "--batch-size", "16", "--epochs", "2"]
    words = [*words, "--plugin", str(plugin)]
    option = ["--track-option", "suffix=two words"]
    assert zoo(*words, "--track", "lines", *option, "--quiet").returncode == 0
    *rows, status = map(json.loads, Path("mlp-shapes.two words").read_text().splitlines())
    assert status == "finished"
    assert [step for step, values in rows if "loss" in values] == [*range(1, 9)]
    assert [step for step, values in rows if "val/accuracy" in values] == [4, 8]
    assert "sent 10 rows" in Path("runs/mlp-shapes/track-lines.log").read_text()
    assert not {"torch", "numpy", "matplotlib"} & {*Path("modules").read_text().split()}
    again = zoo("train", "mlp", "shapes", "--track", "lnes", "--plugin", plugin)
    assert "did you mean 'lines'?" in again.stderr
    again = zoo("train", "mlp", "shapes", "--track", "lines", "--track-option", "suffx=x", "--plugin", plugin)
    assert "has no option 'suffx'; did you mean 'suffix'?" in again.stderr
    alone = zoo("train", "mlp", "shapes", *option)
    assert (alone.returncode, alone.stderr) == (2, "zoo: --track-option requires --track\n")
    several = zoo("train", "mlp", "shapes", "--track", "lines", "--seeds", "2", "--plugin", plugin)
    assert (several.returncode, several.stderr[:46]) == (2, "zoo: --track cannot be combined with --seeds\n ")
    assert not Path("runs/mlp-shapes-2").exists()


def test_a_training_goes_on_without_a_follower_that_fails(plugin: Path) -> None:
    words = ["train", "mlp", "shapes", *SMALL_SHAPES, "--epochs", "1", "--run", "mine", "--plugin", plugin]
    done = zoo(*words, "--track", "absent")
    assert done.returncode == 0
    assert "zoo: tracking has stopped: see mine/track-absent.log for the reason" in done.stderr
    assert Path("mine/model.safetensors").exists()
    assert "requires no_such_tracker" in Path("mine/track-absent.log").read_text()


def test_the_output_of_a_follower_is_not_written_through_a_link(plugin: Path) -> None:
    Path("other").write_text("mine")
    Path("run").mkdir()
    Path("run/track-lines.log").symlink_to(Path("other").absolute())
    words = ["train", "mlp", "shapes", *SMALL_SHAPES, "--epochs", "1", "--run", "run", "--plugin", plugin]
    done = zoo(*words, "--track", "lines")
    assert done.returncode == 0
    message = "tracking has not started: run/track-lines.log cannot be written: it is a link to another file"
    assert message in done.stderr
    assert Path("other").read_text() == "mine"


def test_a_library_that_is_missing_is_found_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    done = zoo("train", "mlp", "shapes", *SMALL_SHAPES, "--epochs", "1", "--track", "tensorboard")
    assert done.returncode != 0
    message = "zoo: the tracker tensorboard requires tensorboard, which is not installed"
    assert done.stderr.splitlines()[0] == message
    assert "[tensorboard]" in done.stderr
    assert not Path("runs").exists()


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_has_each_step_once_also_after_a_follower_that_was_killed(
    run: Path, registry: Registry
) -> None:
    follow(run, "tensorboard", TensorBoard, registry)
    write(run, steps=8)
    killed = TensorBoard()
    again = TrackedRun(name="mine", id="0", directory=run, part=1, options={"lr": 0.1})
    assert killed.begin(again) == 6  # the last step may lack the metrics of its epoch
    killed.log([TrackedRow(step=7, time=START, values={"loss": 1 / 7})])  # and it never ends
    follow(run, "tensorboard", TensorBoard, registry)
    reading = import_module("tensorboard.backend.event_processing.event_accumulator")
    found = reading.EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in found.Scalars("loss")] == [*range(1, 9)]
    assert [event.step for event in found.Scalars("val/accuracy")] == [3, 6]
    assert found.Scalars("loss")[0].wall_time == START + 1


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
@pytest.mark.parametrize("what", ["a link", "a pipe"])
def test_tensorboard_writes_to_no_folder_elsewhere_and_waits_for_no_pipe(
    what: str, run: Path, registry: Registry
) -> None:
    (run / "other").mkdir()
    if what == "a link":
        (run / "tensorboard").symlink_to("other")
    else:
        (run / "tensorboard").mkdir()
        os.mkfifo(run / "tensorboard/events.out.tfevents.1")
    with pytest.raises(RunError, match=f"{run}/tensorboard is not a folder of event files"):
        follow(run, "tensorboard", TensorBoard, registry)
    assert not [*(run / "other").iterdir()]
