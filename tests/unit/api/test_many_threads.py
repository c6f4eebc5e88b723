"""zoo in many threads at once, and beside whatever else the process does."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from threading import Barrier
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.errors import ZooWarning
from zoo.models.building import build_model
from zoo.models.hooks import evaluating
from zoo.models.recurrent import SingleSteps
from zoo.registry.plugin_output import printing_to
from zoo.registry.registry import Registry
from zoo_analyzers.dynamic import _Differentiable  # pyright: ignore[reportPrivateUsage]
from zoo_cam.stored import stored
from zoo_images.views import Views

TEXT = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n" * 60


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a text, and a tiny run of either task."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    small: dict[str, Any] = {"epochs": 1, "progress": False}
    data = {"train_size": 32, "val_size": 16, "test_size": 16}
    with warnings.catch_warnings(action="ignore", category=ZooWarning):
        text = {"paths": str(folder / "text.txt")}
        zoo.train("lstm", "files", data=text, model={"hidden_size": 8}, run=folder / "text", **small)
        zoo.train("camnet", "shapes", data=data, model={"widths": [4, 8]}, run=folder / "images", **small)
        yield folder


@pytest.fixture
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Return the answers of jobs that begin at the same time, each in a thread of its own."""
    go = Barrier(len(jobs))

    def work(job: Callable[[], Any]) -> Any:
        go.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [*pool.map(work, jobs)]


def switches() -> dict[str, Any]:
    """Return everything that a function could leave changed for the whole process."""
    backends = torch.backends
    return {
        "mkldnn": backends.mkldnn.enabled,
        "cudnn": (backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.deterministic),
        "tf32": (backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "dtype and device": (torch.get_default_dtype(), torch.get_default_device()),
        "threads": torch.get_num_threads(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "random state": torch.get_rng_state().tolist(),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "warnings": (warnings.showwarning, [*warnings.filters]),
        "streams": (sys.stdout, sys.stderr),
        "images": dict(mpl.rcParams),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
    }


@pytest.mark.parametrize(
    "use",
    [
        lambda runs: zoo.load(runs / "text", device="cpu"),
        lambda runs: zoo.create_model("resnet-lite", seed=1),
        lambda runs: zoo.open_dataset("files", paths=str(runs / "text.txt")),
        lambda runs: str(zoo.load(runs / "text", device="cpu").sample(max_new_tokens=3)),
        lambda runs: next(zoo.load(runs / "text", device="cpu").sample(max_new_tokens=3).stream()),
        lambda runs: zoo.load(runs / "text", device="cpu").analyze("dynamic-evaluation", split="val"),
        lambda runs: zoo.load(runs / "images", device="cpu").evaluate("val", tta=True),
        lambda runs: zoo.load(runs / "images", device="cpu").analyze("grad-cam", indices=[0])._repr_jpeg_(),
        lambda runs: np.asarray(zoo.load(runs / "text", device="cpu").features("the fox")),
        lambda runs: zoo.Run(runs / "images").plot(),
        lambda runs: zoo.train("mlp", "shapes", run=runs / "mlp", epochs=1, data={"train_size": 32}),
        lambda runs: zoo.list_models(),
        lambda runs: zoo.list_plugins(),
    ],
)  # fmt: skip
def test_no_switch_of_the_process_is_left_changed(runs: Path, use: Callable[[Path], object]) -> None:
    before = switches()
    kept = use(runs)  # such as a stream that is not read to its end
    after = switches()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, (changed, kept)


@pytest.mark.usefixtures("switching_often")
def test_weights_load_while_other_threads_build(runs: Path) -> None:
    registry = Registry.discover()
    expected = zoo.load(runs / "text", device="cpu", registry=registry).module.state_dict()

    def load() -> None:
        for _ in range(10):
            module = zoo.load(runs / "text", device="cpu", progress=False, registry=registry).module
            assert all(torch.equal(value, expected[name]) for name, value in module.state_dict().items())

    def build() -> None:
        for _ in range(150):
            nn.Sequential(*(nn.Linear(2, 2) for _ in range(50)))

    at_once(load, load, load, build, build)


@pytest.mark.usefixtures("switching_often")
def test_each_thread_draws_its_own_weights_and_leaves_the_random_state_alone(runs: Path) -> None:
    registry = Registry.discover()
    entry = registry.architecture("mlp")
    arguments = {"in_channels": 3, "image_size": 8, "num_classes": 4}
    expected = [build_model(entry, arguments, seed=seed).state_dict() for seed in range(4)]
    torch.manual_seed(0)
    draws = torch.rand(2_000)
    torch.manual_seed(0)

    def build(seed: int) -> None:
        for _ in range(30):
            built = build_model(entry, arguments, seed=seed).state_dict()
            assert all(torch.equal(value, expected[seed][name]) for name, value in built.items())

    at_once(*(lambda seed=seed: build(seed) for seed in range(4)))
    assert torch.equal(torch.rand(2_000), draws)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(3),
        lambda: torch.randn(3),
        lambda: torch.randint(9, (3,)),
        lambda: torch.randperm(9),
        lambda: torch.rand_like(torch.zeros(3)),
        lambda: torch.normal(torch.zeros(3), torch.ones(3)),
        lambda: torch.bernoulli(torch.full((9,), 0.5)),
        lambda: torch.full((9,), 0.5).bernoulli_(),
        lambda: torch.empty(3).exponential_(),
        lambda: torch.multinomial(torch.ones(9), 3),
        lambda: nn.init.trunc_normal_(torch.empty(3)),
        lambda: nn.init.orthogonal_(torch.empty(3, 3)),
        lambda: nn.init.xavier_normal_(torch.empty(3, 3)),
        lambda: F.dropout(torch.ones(99)),  # which accepts no generator, as all below
        lambda: F.gumbel_softmax(torch.zeros(8)),
        lambda: torch.distributions.Gamma(torch.ones(3), torch.ones(3)).sample(),
    ],
)
def test_every_way_to_draw_weights_depends_on_the_seed_alone(
    monkeypatch: pytest.MonkeyPatch, registry: Registry, draw: Callable[[], Tensor]
) -> None:
    class Drawn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("drawn", draw())

    entry = registry.architecture("mlp")
    monkeypatch.setattr(type(entry), "load", lambda self: Drawn)
    torch.manual_seed(7)
    before, expected = torch.get_rng_state(), draw()
    torch.set_rng_state(before)
    assert torch.equal(build_model(entry, {}, seed=7).get_buffer("drawn"), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(build_model(entry, {}, seed=8).get_buffer("drawn"), expected)


def test_a_model_that_two_threads_evaluate_gets_its_modes_back_from_the_last() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Linear(2, 2))
    first, second = evaluating(model), evaluating(model)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not model[0].training
    second.__exit__(None, None, None)
    assert model[0].training


def test_evaluating_several_views_leaves_the_mode_of_the_model(runs: Path) -> None:
    model = zoo.load(runs / "images", device="cpu")
    model.module.train()
    model.evaluate("val", tta=True, progress=False)
    assert model.module.training
    assert Views(model.module).model is model.module


def test_a_hook_sees_only_what_its_own_thread_runs() -> None:
    model = nn.Linear(2, 2)
    mine = torch.zeros(1, 2)
    with stored(model) as kept, ThreadPoolExecutor(1) as pool:
        expected = model(mine)
        pool.submit(model, torch.ones(5, 2)).result()
        assert torch.equal(kept.output, expected)


def test_only_the_thread_that_imports_a_plugin_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    usual, mine, theirs = sys.stdout, StringIO(), StringIO()
    first, second = printing_to(mine), printing_to(theirs)
    with ThreadPoolExecutor(1) as pool:
        first.__enter__()
        pool.submit(second.__enter__).result()
        print("mine")
        pool.submit(print, "theirs").result()
        at_once(lambda: print("usual"))
        first.__exit__(None, None, None)
        assert sys.stdout is not usual
        pool.submit(second.__exit__, None, None, None).result()
    assert sys.stdout is usual
    assert (mine.getvalue(), theirs.getvalue(), capsys.readouterr().out) == ("mine\n", "theirs\n", "usual\n")


def test_stdout_is_as_before_once_several_threads_have_imported_plugins() -> None:
    usual, targets = sys.stdout, [StringIO() for _ in range(8)]

    def load(target: StringIO) -> None:
        with printing_to(target):
            for _ in range(100):
                print(id(target))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load, targets))
    assert sys.stdout is usual
    assert [target.getvalue() for target in targets] == [f"{id(target)}\n" * 100 for target in targets]


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # torch's own, for any look at this switch
@pytest.mark.parametrize(("layers", "batch"), [(1, 1), (3, 1), (2, 5)])
def test_a_single_step_of_an_lstm_has_the_bits_of_torch(layers: int, batch: int) -> None:
    lstm = nn.LSTM(7, 9, layers).eval()
    token, state = torch.randn(1, batch, 7), tuple(torch.randn(2, layers, batch, 9))
    with torch.backends.mkldnn.flags(enabled=False):
        expected = lstm(token, state)
    with SingleSteps():
        output, (hidden, cell) = lstm(token, state)
    assert torch.equal(output, expected[0])
    assert torch.equal(hidden, expected[1][0])
    assert torch.equal(cell, expected[1][1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("options", [{"batch_first": True}, {"bidirectional": True}, {"dropout": 0.5}])
def test_any_other_recurrent_layer_is_left_to_torch(
    kind: Callable[..., Any], options: dict[str, Any]
) -> None:
    layer = kind(7, 9, 2, **options).eval()
    tokens = torch.randn(1, 1, 7)
    expected = layer(tokens)[0]
    for mode in (SingleSteps(), _Differentiable()):
        with mode:
            assert torch.allclose(layer(tokens)[0], expected, atol=1e-6)
