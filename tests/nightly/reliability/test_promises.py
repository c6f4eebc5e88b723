"""Every promise of docs/explanation/reliability.md, a few times; `make reliability` tests each in full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nightly.reliability import (
    cards,
    exported,
    fetching,
    files,
    folders,
    forged,
    invocations,
    memory,
    opening,
    orphans,
    pruning,
    ranks,
    runs,
    threads,
)
from tests.nightly.reliability.figure import Figure
from tests.nightly.reliability.full import PROMISES

FEW: dict[str, Callable[[Path], Figure]] = {
    "killed": lambda folder: runs.killed(folder, runs=3),
    "save_faults": lambda folder: files.save_faults(folder, every=3),
    "combinations": lambda folder: runs.combinations(
        folder, kills=2, names=("awd-lstm, tied, penalties", "resnet-lite, accumulated, mixup, EMA")
    ),
    "phases": lambda folder: runs.phases(folder, kills=4),
    "every_step": lambda folder: runs.every_step(folder, toy_names=("lstm",), every=40),
    "saves": lambda folder: runs.saves(folder, kills=2),
    "stopped": lambda folder: runs.stopped(folder, moments=1, twice=1),
    "disk_full": lambda folder: runs.disk_full(folder, levels=2),
    "not_finite": lambda folder: runs.not_finite(folder, steps=1),
    "mutated_weights": lambda folder: files.mutated_weights(folder, files=600),
    "flipped_bits": lambda folder: files.flipped_bits(folder, flips=100),
    "mutated_others": lambda folder: files.mutated_others(folder, files=200),
    "hand_made": files.hand_made,
    "memory": lambda folder: memory.small(folder, drawn=1, every=7, start=1),
    "forged": lambda folder: forged.forged(folder, files=100),
    "paths_named": lambda folder: cards.paths_named(folder, paths=12),
    "fetched": lambda folder: fetching.fetched(folder, rounds=1, processes=4),
    "owners": lambda folder: runs.owners(folder, rounds=1, processes=4),
    "remade": lambda folder: runs.remade(folder, rounds=4),
    "pruned": lambda folder: pruning.never_the_last(folder, runs=30),
    "threads": lambda folder: threads.mixed(folder, threads=4, each=20),
    "beside_a_training": lambda folder: threads.beside_a_training(folder, rounds=1),
    "exported": lambda folder: exported.opens_nothing(folder, files=20),
    "never_unpickled": opening.never_unpickled,
    "of_the_folder": lambda folder: folders.of_the_folder(folder, commands=("list", "eval")),
    "in_terminal": lambda folder: invocations.in_terminal(folder, every=20),
    "fuzzed": lambda folder: invocations.fuzzed(folder, invocations=200),
    "processes": lambda folder: invocations.processes(folder, invocations=16),
    "ranks_killed": lambda folder: ranks.killed(folder, twos=1, threes=0),
    "ranks_stopped": lambda folder: ranks.stopped(folder, runs=1),
    "ranks_ended_well": lambda folder: ranks.ended_well(folder, runs=1),
    "orphans": lambda folder: orphans.orphans(folder, kills=2),
}


@pytest.mark.slow  # a minute in all; `.ci/run` runs them
@pytest.mark.timeout(600)  # for slow cores that have other work to do as well
@pytest.mark.parametrize("name", FEW)
def test_a_promise_holds(name: str, tmp_path: Path) -> None:
    figure = FEW[name](tmp_path)
    assert figure.holds, figure.text


@pytest.mark.slow
def test_no_promise_is_left_out() -> None:
    assert FEW.keys() | {"cost"} == PROMISES.keys()  # no test looks at the clock
    assert len(files.hostile.FILES) + len(files.hostile.CARDS) + len(files.hostile.ARCHIVES) >= 40
