"""A clean environment for every test, `zoo` in a process of its own, and two trained files."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoints, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.keys import Keys, made
from tests.shell import SMALL_LSTM, SMALL_NET, SMALL_SHAPES, TEXT, zoo
from zoo.registry import plugins
from zoo.registry.registry import Registry
from zoo_timm.names import registered

# One thread: the models are so small that threads only wait for each other. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# PyTorch reads it at the first product on a GPU, whichever test that is in
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def pytest_xdist_auto_num_workers() -> int:
    """Return one more process than there are processors: many tests wait for a process that they started."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Read the entry points once for each search path, and call the hooks of zoo's own plugins once.

    Each command and each training would do both again, which takes a third of the time of most of them.
    Processes of their own do.
    """
    points: dict[tuple[object, ...], EntryPoints] = {}
    loaded: dict[tuple[object, ...], plugins.Plugin] = {}
    load = plugins.load
    ours = {plugins.ENTRIES, *(where for _, where in plugins.our_points())}

    def points_of(*, group: str) -> EntryPoints:
        key = group, *((place, Path(place).stat().st_mtime_ns) for place in sys.path if Path(place).is_dir())
        if key not in points:
            points[key] = entry_points(group=group)
        return points[key]

    def load_once(name: str, importer: Callable[[], Any], *, where: str, **about: Any) -> plugins.Plugin:
        if where not in ours:
            return load(name, importer, where=where, **about)
        functions = filter(callable, vars(importer()).values())  # a test may have replaced one
        key = name, where, *functions
        if key not in loaded:
            loaded[key] = load(name, importer, where=where, **about)
        return loaded[key]

    patch = pytest.MonkeyPatch()
    patch.setattr(plugins, "entry_points", points_of)
    patch.setattr(plugins, "load", load_once)
    config.add_cleanup(patch.undo)


def pytest_collection_finish() -> None:
    """Leave tests and libraries out of later garbage collections, which would search them each time."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the folder `nightly` where neither slow nor nightly tests are asked for: it has no others."""
    by_default = "not slow and not nightly" in config.option.markexpr
    return True if by_default and collection_path == Path(__file__).parent / "nightly" else None


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Return the SSH keys of two people."""
    return made(tmp_path_factory.mktemp("keys"))


@pytest.fixture(autouse=True, scope="session")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forbid downloads, use a cache of our own, drop other settings except $ZOO_DATA."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ZOO_PLUGINS", "ZOO_REGISTRY", "ZOO_STRICT", "ZOO_PLUGIN_FILES", "ZOO_VERIFY"):
            patch.delenv(name, raising=False)
        patch.setenv("ZOO_OFFLINE", "1")
        patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ZOO_STATE", str(tmp_path_factory.mktemp("state")))
        patch.setenv("ZOO_REMOTES", str(tmp_path_factory.mktemp("remotes") / "remotes.toml"))
        yield


@pytest.fixture(autouse=True, scope="session")
def _plain_curves() -> Iterator[None]:
    """Draw nothing in the curve.png of a training in this process: it would take longer than most of them.

    Processes of their own, such as `run_zoo` starts, draw it.
    """
    if find_spec("torch") is None:
        yield
        return
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.runs.lifecycle.draw_learning_curve", lambda *_, **__: Figure(figsize=(1, 1)))
        yield


@pytest.fixture(autouse=True, scope="session")
def _few_resamples() -> Iterator[None]:
    """Resample a tenth as often for the intervals of an evaluation, which take longer than most evaluations.

    Processes of their own, and the tests of the bootstrap, resample as often as zoo does.
    """
    if find_spec("torch") is None:
        yield
        return
    from zoo.evaluation.intervals import resampled

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampled, "__kwdefaults__", {**(resampled.__kwdefaults__ or {}), "resamples": 100})
        yield


@pytest.fixture(autouse=True, scope="session")
def _without_timm() -> Iterator[None]:
    """Leave out the thousand architectures of timm, which each command would list again.

    Tests that are about them, or name one, use `timm_models`. Processes of their own list them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo_timm.plugin.registered", list)
        yield


@pytest.fixture(scope="module")
def timm_models() -> Iterator[None]:
    """List timm's architectures in the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo_timm.plugin.registered", registered)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Let what is written in this process be written later: a test is over before the power can fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> Iterator[None]:
    """Let SIGINT stop the processes that tests start, even in the background, where shells ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def run_zoo(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m zoo ARGUMENTS` in a process of its own.

    A traceback on stderr fails the test, unless `--debug` is among the arguments. Options: `path`, folders to
    put in front of the module search path; `env`, variables to add; `cwd`, by default an empty folder.
    """

    def run(
        *arguments: str | Path,
        path: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        search = {"PYTHONPATH": os.pathsep.join(map(str, path))} if path else {}
        done = subprocess.run(
            [sys.executable, "-m", "zoo", *map(str, arguments)],
            cwd=cwd or tmp_path_factory.mktemp("cwd"),
            env={**os.environ, **search, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "--debug" in arguments or "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def registry() -> Registry:
    """Return the registry of the installed plugins."""
    return Registry.discover()


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "fox.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def lstm_file(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "lstm"
    done = zoo("train", "lstm", "files", "--data", f"paths={text_file}", *SMALL_LSTM, "--run", folder)
    assert done.returncode == 0, done.stderr
    return folder / "model.safetensors"


@pytest.fixture(scope="session")
def net_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "net"
    done = zoo("train", "resnet-lite", "shapes", *SMALL_NET, *SMALL_SHAPES, "--run", folder)
    assert done.returncode == 0, done.stderr
    return folder / "model.safetensors"
