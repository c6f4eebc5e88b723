"""Buffers that are not finite, or complex: trained with, kept in files, or refused in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo import Registry
from zoo.errors import Interrupted, SpecError, WeightsError
from zoo.files.cards import KEY, read_card, read_weights
from zoo.files.container import write_container
from zoo.models import weights
from zoo.registry.catalog import Catalog
from zoo.training.host import Host

PLUGIN = '''
import torch
from torch import nn

from zoo import ArchitectureSpec, hookimpl


class Masked(nn.Module):
    """Adds a mask of -inf to the scores of a text's tokens, and turns its embeddings by complex numbers."""

    def __init__(
        self, *, vocab_size: int, persistent: bool = True, double: bool = False, weighed: bool = False,
        odd: str = ""
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 8)
        self.out = nn.Linear(8, vocab_size)
        mask = torch.full((64, 64), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=persistent)
        turns = torch.polar(torch.ones(64, 4), torch.arange(64.0)[:, None] / torch.arange(1.0, 5))
        self.register_buffer("turns", turns.to(torch.complex128) if double else turns, persistent=persistent)
        self.register_buffer("mean", torch.zeros(8))
        self.scale = nn.Parameter(torch.ones(4, dtype=torch.complex64)) if weighed else None
        if double and weighed:
            self.scale = nn.Parameter(torch.ones(4, dtype=torch.complex128))
        if odd == "read":
            self.rate = torch.linspace(0, 0.1, 4)[1].item()
        if odd == "expanded":
            self.register_buffer("wide", torch.ones(1, 8).expand(8, 8))
        if odd == "large":
            self.register_buffer("large", torch.zeros(17_000_000), persistent=False)

    def forward(self, tokens, state=None):
        length = len(tokens)
        x = self.embedding(tokens).transpose(0, 1)  # (B, T, E)
        turned = torch.view_as_complex(x.unflatten(2, (4, 2))) * self.turns[:length].to(torch.complex64)
        if self.scale is not None:
            turned = turned * self.scale.to(torch.complex64)
        x = torch.view_as_real(turned).flatten(2)
        x = (x @ x.transpose(1, 2) + self.mask[:length, :length]).softmax(2) @ x
        if self.training:
            self.mean.lerp_(x.detach().mean((0, 1)), 0.1)
        return self.out(x - self.mean).transpose(0, 1), state


@hookimpl
def zoo_architectures():
    return [
        ArchitectureSpec(
            name="masked",
            target="masked:Masked",
            task="language-modeling",
            summary="Masked",
            context_length=64,
        )
    ]
'''
pytestmark = pytest.mark.filterwarnings("ignore::zoo.ZooWarning")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("buffers")
    (folder / "masked.py").write_text(PLUGIN)
    return Registry.discover(Catalog(), files=[folder / "masked.py"])


@pytest.fixture(scope="module")
def train(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that trains the model on a small text with EMA."""
    text = tmp_path_factory.mktemp("text") / "a.txt"
    text.write_text("".join(f"{n} and {n + 1} is {2 * n + 1}.\n" for n in range(200)))

    def training(run: Path, model: dict[str, Any], **fields: Any) -> zoo.Run:
        settings: dict[str, Any] = {"epochs": 2, "batch_size": 8, "precision": "fp32", "ema_decay": 0.9}
        on: Any = {"data": {"paths": str(text)}, "registry": registry, "progress": False}
        return zoo.train("masked", "files", model=model, run=run, **on, **settings, **fields)

    return training


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("weighed", [False, True])
def test_a_mask_of_infinities_and_complex_buffers_are_trained_with_and_kept(
    train: Any, registry: Registry, tmp_path: Path, persistent: bool, weighed: bool
) -> None:
    run = train(tmp_path / "run", {"persistent": persistent, "weighed": weighed})
    first, last = (row["val"]["loss"] for row in run.history)
    assert last < first < 4
    module = run.model.module
    assert torch.equal(module.get_buffer("mask"), torch.full((64, 64), -torch.inf).triu(1))
    assert module.get_buffer("turns").dtype == torch.complex64
    expected = torch.polar(torch.ones(64, 4), torch.arange(64.0)[:, None] / torch.arange(1.0, 5))
    assert torch.equal(module.get_buffer("turns"), expected)
    assert ("mask" in read_weights(run.model.path)[1].tensors) == persistent
    if weighed:
        assert not torch.equal(module.get_parameter("scale"), torch.ones(4, dtype=torch.complex64))


def test_a_run_with_such_buffers_is_resumed_bit_by_bit(train: Any, tmp_path: Path) -> None:
    model = {"weighed": True}
    whole = train(tmp_path / "whole", model).model.card.sha256
    with pytest.raises(Interrupted):
        stop_after(3, lambda: train(tmp_path / "run", model))
    assert train(tmp_path / "run", model, resume=True).model.card.sha256 == whole


def stop_after(batches: int, training: Any) -> None:
    """Run a training, which a signal stops after some batches."""
    from zoo.runs import lifecycle as run

    with pytest.MonkeyPatch.context() as patch:
        fit = run.fit

        def stopping(*arguments: Any, host: Host, **options: Any) -> Any:
            done: list[Any] = []
            return fit(
                *arguments,
                host=replace(
                    host,
                    report=done.append,
                    stop=lambda: 15 if sum(progress.is_step for progress in done) >= batches else 0,
                ),
                **options,
            )

        patch.setattr(run, "fit", stopping)
        training()


def test_a_buffer_that_was_finite_at_first_must_stay_so(
    train: Any, registry: Registry, tmp_path: Path
) -> None:
    run = train(tmp_path / "run", {})
    path, module = run.model.path, run.model.module
    with torch.no_grad():
        module.get_buffer("mean")[0] = torch.inf
    card = read_card(path)
    with pytest.raises(WeightsError, match="mean has values that are not finite; nothing was written"):
        weights.save(path, module, card, infinite={"mask"})
    stored = weights.pack(weights.untied(module))
    forged = weights._completed(card, module, stored)  # pyright: ignore[reportPrivateUsage]
    write_container(path, stored, {"format": "pt", KEY: forged.to_json()})
    with pytest.raises(WeightsError, match="mean has values that are not finite"):
        weights.load(path, registry)


@pytest.mark.parametrize(
    ("model", "what", "hint"),
    [
        ({"double": True}, "buffer turns", "or, if it can be recomputed, register it with persistent"),
        ({"double": True, "weighed": True}, "parameter scale", "convert it with torch.view_as_real"),
    ],
)
def test_a_type_that_no_file_can_hold_is_refused_before_training(
    train: Any, tmp_path: Path, model: dict[str, Any], what: str, hint: str
) -> None:
    message = rf"^masked/masked: {what} has dtype torch.complex128, which cannot be stored(?m:$)"
    with pytest.raises(SpecError, match=message) as caught:
        train(tmp_path / "run", model)
    assert hint in str(caught.value.hint)
    assert not (tmp_path / "run").exists()
    assert train(tmp_path / "run", {"double": True, "persistent": False}).history


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (
            "read",
            r"^masked/masked cannot be built with .*odd=read.*: Tensor.item\(\) cannot be called",
        ),
        (
            "expanded",
            "^masked/masked: elements of wide share memory, so weights cannot be loaded into it(?m:$)",
        ),
        ("large", "^masked/masked needs 68,0.* bytes but stores only .*, so zoo would not load it(?m:$)"),
    ],
)
def test_a_model_whose_weights_could_not_be_loaded_is_refused_before_training(
    train: Any, tmp_path: Path, odd: str, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        train(tmp_path / "run", {"odd": odd})
    assert not (tmp_path / "run").exists()
