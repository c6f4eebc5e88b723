"""A run stopped after any step and resumed ends in the bits of the run that was never stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.configs import GROUPS
from tests.methods import __file__ as methods
from zoo.config.recipe import Recipe
from zoo.config.train_config import TrainConfig
from zoo.console.reports import Progress
from zoo.errors import Interrupted
from zoo.files.cards import Card
from zoo.files.container import read_container
from zoo.interfaces import make_task
from zoo.models import weights
from zoo.models.building import build_model, model_arguments
from zoo.registry.registry import Registry
from zoo.runs.directory import RunDirectory
from zoo.runs.save_interval import SaveInterval
from zoo.training.host import Host
from zoo.training.loop import fit
from zoo.training.saved import RunIdentity
from zoo.training.state import TrainState

FAMILIES = {
    "lstm": {
        "architecture": "charrnn/lstm",
        "model": {"hidden_size": 6, "embedding_dim": 4, "dropout": 0.5},
        "train": {
            "batch_size": 4,
            "bptt": 12,
            "bptt_jitter": True,
            "clip_grad_norm": 0.5,
            "optimizer": "adam",
        },
    },
    "awd-lstm": {
        "architecture": "charrnn/awd-lstm",
        "model": {"hidden_size": 6, "embedding_dim": 4, "activation_penalty": 2.0, "temporal_penalty": 1.0},
        "train": {
            "batch_size": 4,
            "bptt": 12,
            "bptt_jitter": True,
            "clip_grad_norm": 0.5,
            "optimizer": "adam",
        },
    },
    "min-gru by sections": {
        "architecture": "charrnn/min-gru",
        "model": {"hidden_size": 8, "num_layers": 2},
        "train": {
            "batch_size": 4,
            "bptt": 12,
            "batching": "sections",
            "random_offset": True,
            "optimizer": "adam",
        },
    },
    "gru by windows": {
        "architecture": "charrnn/gru",
        "model": {"hidden_size": 8, "embedding_dim": 4},
        "train": {
            "batch_size": 40,
            "bptt": 6,
            "batching": "windows",
            "nonmono": 1,
            "lr": 1.0,
            "schedule": "constant",
        },
        "epochs": 4,
    },
    "convnet-bn in part": {
        "architecture": "convnet/convnet-bn",
        "model": {"widths": [4, 8, 8], "norm": "scratch", "dropout": 0.3},
        "train": {
            "batch_size": 6,
            "augment": ["translate", "cutout"],
            "mixup_alpha": 0.4,
            "ema_decay": 0.9,
            "patience": 1,
            "freeze": ["stem", "stages.0"],
            "layer_decay": 0.5,
        },
        "epochs": 5,
    },
    "convnet-bn, head first": {
        "architecture": "convnet/convnet-bn",
        "model": {"widths": [4, 8]},
        "train": {"batch_size": 6, "optimizer": "adam", "freeze": ["stem"], "freeze_epochs": 1},
    },
    "resnet-lite": {
        "architecture": "convnet/resnet-lite",
        "model": {"widths": [4, 8], "dropout": 0.3},
        "train": {
            "batch_size": 6,
            "augment": ["crop", "flip"],
            "ema_decay": 0.9,
            "optimizer": "sgd",
            "label_smoothing": 0.1,
        },
    },
    "resnet-lite by muon and adamw": {
        "architecture": "convnet/resnet-lite",
        "model": {"widths": [4, 8]},
        "train": {
            "batch_size": 6,
            "augment": ["flip"],
            "optimizer": "muon",
            "optimizer_options": {"filters": True},
        },
    },
    "lstm by muon": {
        "architecture": "charrnn/lstm",
        "model": {"hidden_size": 6, "embedding_dim": 4},
        "train": {
            "batch_size": 4,
            "bptt": 12,
            "optimizer": "muon",
            "schedule": "warmup-stable-decay",
            "decay_matrices_only": True,
        },
    },
    "resnet-lite by schedule-free sgd": {
        "architecture": "convnet/resnet-lite",
        "model": {"widths": [4, 8]},
        "train": {
            "batch_size": 6,
            "optimizer": "methods/schedule-free",
            "lr": 0.3,
            "schedule": "constant",
        },
    },
    "resnet-lite by lion": {
        "architecture": "convnet/resnet-lite",
        "model": {"widths": [4, 8]},
        "train": {"batch_size": 6, "optimizer": "lion", "lr_scales": {"out": 3.0}},
    },
}


@dataclass(frozen=True)
class Run:
    """One training in one directory, to be run in pieces."""

    path: Path
    family: str
    precision: str
    data: Any
    registry: Registry
    card: Callable[..., Card]

    def go(
        self, *, pause: int = 0, evaluate: bool = True, resume: bool = False, save_every: str = "0"
    ) -> int:
        """Train to the end, for `pause` batches or, unless `evaluate`, until the first evaluation.

        Return the number of batches trained.
        """
        family = FAMILIES[self.family]
        entry = self.registry.architecture(family["architecture"])
        changes = family["train"] | {"precision": self.precision, "epochs": family.get("epochs", 2)}
        config = TrainConfig.with_groups(GROUPS, self.registry.methods)
        config = config.replace({"lr": 0.02, "schedule": "one-cycle"} | changes)
        task = self.registry.task(entry.spec.task)
        arguments = model_arguments(entry, task, self.data.dims, family["model"])
        model = build_model(entry, arguments, seed=1)
        batches: list[Progress] = []
        evaluated: list[Progress] = []

        def report(progress: Progress) -> None:
            (batches if progress.is_step else evaluated).append(progress)

        def stop() -> int:
            return 15 if (pause and len(batches) >= pause) or (evaluated and not evaluate) else 0

        def make_card(state: TrainState, changes: tuple[str, ...]) -> Card:
            return self.card(architecture=entry.name, arguments=arguments, progress={"epochs": state.epoch})

        recipe = Recipe(architecture=entry.name, dataset="text/files", train=family["train"], threads=1)
        identity = RunIdentity(recipe=recipe)
        how: dict[str, Any] = {"resume": resume, "interval": SaveInterval.parse(save_every)}
        with RunDirectory(self.path, identity, make_card=make_card, **how) as store:
            state = fit(
                model,
                make_task(self.registry, task.name),
                self.data,
                config,
                seed=3,
                host=Host(store=store, report=report, stop=stop),
            )
            weights.save(store.weights, state.best, make_card(state, store.changes))
        return len(batches)

    @property
    def result(self) -> tuple[list[str], list[dict[str, Any]]]:
        """The hashes of the last and the best weights, and the rows of epochs and steps without times."""
        names = ("metrics.jsonl", "steps.jsonl")
        rows = [json.loads(line) for name in names for line in (self.path / name).read_text().splitlines()]
        for row in rows:
            assert (row.pop("time") if "step" in row else row["clock"]["time"]) > 1e9
            assert (row.pop("rate") if "step" in row else row.pop("clock")["seconds"]) >= 0
        files = [self.path / "model.safetensors", self.path / "best.safetensors"]
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files], rows


# In half precision too; the other families are by night
IN_BF16 = ("lstm", "resnet-lite")
CASES = [
    pytest.param(
        family,
        precision,
        marks=[pytest.mark.nightly] * (precision == "bf16" and family not in IN_BF16),
        id=f"{family}-{precision}",
    )
    for family in FAMILIES
    for precision in ("fp32", "bf16")
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover(files=[methods])


@pytest.fixture
def trained(tmp_path: Path, text: Any, images: Any, registry: Registry, card: Any) -> Callable[..., Run]:
    """Return a function that gives a training of a family a directory of its own."""

    def training(family: str, precision: str, name: str) -> Run:
        data = text(200) if FAMILIES[family]["architecture"].startswith("charrnn") else images(20)
        return Run(tmp_path / name, family, precision, data, registry, card)

    return training


@pytest.mark.parametrize(("family", "precision"), CASES)
def test_a_run_stopped_after_every_step_ends_in_the_same_bits(
    family: str, precision: str, trained: Callable[..., Run]
) -> None:
    whole = trained(family, precision, "whole")
    total = whole.go()
    assert total >= 8
    _, rows = whole.result
    assert [row["step"] for row in rows if "step" in row] == [*range(1, total + 1)], "a short run logs all"
    if "patience" in FAMILIES[family]["train"]:
        assert 2 <= sum("step" not in row for row in rows) < FAMILIES[family]["epochs"], "it must end early"
    if "nonmono" in FAMILIES[family]["train"]:
        tensors = read_container(whole.path / "checkpoint.safetensors").tensors
        assert any(name.startswith("average/") for name in tensors), "it must begin to average"

    piecewise = trained(family, precision, "piecewise")
    for _ in range(total - 1):
        with pytest.raises(Interrupted):
            piecewise.go(pause=1, resume=True)
    piecewise.go(resume=True)
    assert piecewise.result == whole.result


def resumed_after(pauses: Iterable[int], whole: Run, training: Callable[[str], Run]) -> None:
    """Require that a run that is stopped once, and then goes on to its end, ends in the same bits."""
    total = whole.go()
    for pause in pauses or range(1, total):
        stopped = training(f"stopped-{pause}")
        with pytest.raises(Interrupted):
            stopped.go(pause=pause)
        assert stopped.go(resume=True) == total - pause
        assert stopped.result == whole.result, f"resumed after batch {pause} of {total}"


@pytest.mark.parametrize("family", ["awd-lstm", "resnet-lite"])
def test_a_run_resumed_within_an_epoch_goes_on_to_the_same_bits(
    family: str, trained: Callable[..., Run]
) -> None:
    resumed_after((3,), trained(family, "fp32", "whole"), partial(trained, family, "fp32"))


def test_saving_and_stopping_change_no_bit_of_weights_that_are_switched_to_evaluate(
    trained: Callable[..., Run],
) -> None:
    whole, saving, stopped = (
        trained("resnet-lite by schedule-free sgd", "fp32", name) for name in ("whole", "saving", "stopped")
    )
    whole.go()
    saving.go(save_every="1")
    assert saving.result == whole.result
    with pytest.raises(Interrupted):
        stopped.go(evaluate=False)
    stopped.go(resume=True)
    assert stopped.result == whole.result


@pytest.mark.nightly  # as many trainings as steps
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_resumed_after_any_step_ends_in_the_same_bits(
    family: str, precision: str, trained: Callable[..., Run]
) -> None:
    resumed_after((), trained(family, precision, "whole"), partial(trained, family, precision))


def test_resuming_a_finished_run_trains_no_further(
    tmp_path: Path, images: Any, registry: Registry, card: Any
) -> None:
    run = Run(tmp_path / "run", "resnet-lite", "fp32", images(20), registry, card)
    run.go()
    before = run.result
    assert run.go(resume=True) == 0
    assert run.result == before
