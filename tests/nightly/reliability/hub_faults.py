"""A promise about the Hugging Face Hub: pushes and loads while its server and the network fail."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

import huggingface_hub
import pytest

import zoo
from tests.fake_hub import FakeHub, connected, serving_hub
from tests.nightly.reliability.figure import Figure, counted
from tests.nightly.reliability.publishing import change, trained
from zoo.errors import DataError
from zoo.files.hashes import sha256_of

NAME, REPOSITORY = "hf:me/net", "me/net"
FAULTS = ("drop", "lost", "truncate", "flip", "stall", "412", "429", "503")


def pushed_and_loaded(folder: Path, *, rounds: int) -> Figure:
    """Push a model and load it, each while a request or all from one on fail, and again without faults."""
    draw = random.Random(9)
    broken: list[str] = []
    failed: Counter[str] = Counter()
    run = trained(folder)
    for number in range(rounds):
        lfs = number % 2 == 1
        faults = [_fault(FAULTS[number // 2 % len(FAULTS)], draw) for _ in range(2)]
        with serving_hub(lfs=lfs) as hub, connected(hub, folder / f"cache-{number}"), _quick():
            change(run, 2 * number + 1)
            zoo.push(run, NAME, progress=False)
            if draw.random() < 0.5:
                zoo.load(NAME, progress=False)
            change(run, 2 * number + 2)
            try:
                wrong = _round(hub, run, faults, failed)
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}"
        case = f"round {number}, {'lfs' if lfs else 'regular'}, {FAULTS[number // 2 % len(FAULTS)]}"
        broken += [f"{case}: {wrong}"] if wrong else []
    return counted(
        "a push to the Hub and a load from it while the server fails, then without faults",
        rounds,
        broken,
        "times, each commit was whole, no wrong byte was loaded, and the next push and load worked",
        f"{failed['push']} pushes and {failed['load']} loads failed with one sentence; dropped and lost "
        "connections, truncation, flipped bits, stalls, 412, 429 and 503, "
        f"huggingface_hub {huggingface_hub.__version__}",
    )


def _fault(kind: str, draw: random.Random) -> Callable[[], Callable[[str, str], str]]:
    """Return a function that starts to count requests; from one of the first, one or all have a fault."""
    first, always = draw.randint(1, 7), draw.random() < 0.3

    def start() -> Callable[[str, str], str]:
        seen: list[str] = []

        def fault(method: str, path: str) -> str:
            seen.append(path)
            return kind if len(seen) == first or (always and len(seen) > first) else ""

        return fault

    return start


def _round(
    hub: FakeHub, run: Path, faults: list[Callable[[], Callable[[str, str], str]]], failed: Counter[str]
) -> str:
    """Push and load with faults, then without; return what is wrong, or nothing."""
    sha256 = sha256_of(run / "best.safetensors")
    head = hub.repositories[REPOSITORY].heads["main"]
    hub.fault = faults[0]()
    try:
        made = zoo.push(run, NAME, progress=False)
        if made["commit"] == head or not made["new"]:
            return "a push that changed nothing was reported as done"
    except DataError as error:
        failed["push"] += 1
        if "\n" in str(error):
            return f"more than a sentence: {error}"
    if wrong := _half_published(hub):
        return wrong
    hub.fault = faults[1]()
    try:
        if wrong := _loaded_wrongly(hub):
            return wrong
    except DataError:
        failed["load"] += 1
    hub.fault = lambda method, path: ""
    zoo.push(run, NAME, progress=False)
    with contextlib.suppress(DataError):  # a damaged file of the cache is removed
        zoo.load(NAME, progress=False)
    if wrong := _half_published(hub) or _loaded_wrongly(hub):
        return wrong
    newest = zoo.load(NAME, progress=False)
    return "" if newest.path and sha256_of(newest.path) == sha256 else "an older model was loaded"


def _half_published(hub: FakeHub) -> str:
    """Return which commit has files that do not fit each other, if any."""
    first, *commits = hub.repositories[REPOSITORY].commits.items()  # without the first, which is empty
    assert "model.safetensors" not in first[1]
    for oid, files in commits:
        sha256 = hashlib.sha256(files["model.safetensors"]).hexdigest()
        if json.loads(files["config.json"])["sha256"] != sha256 or sha256 not in files["README.md"].decode():
            return f"half published: {oid}"
    return ""


def _loaded_wrongly(hub: FakeHub) -> str:
    """Load the model, and return what is wrong with it. Raises DataError."""
    path = zoo.load(NAME, progress=False).path
    assert path is not None
    content = hub.repositories[REPOSITORY].commits[path.parent.name]["model.safetensors"]
    return "" if path.read_bytes() == content else "wrong bytes were loaded"


@contextlib.contextmanager
def _quick() -> Generator[None]:
    """Wait half a second for the server, and measure nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.registry.hub_client._SECONDS", 0.5)
        patch.setattr("zoo.tools.share.measured_fields.add_measured", lambda *_, **__: None)
        patch.setattr("zoo.tools.share.publish._intervals", lambda model: model.card.intervals)
        yield
