"""A hidden state of any legal kind is carried, saved and restored; any other is refused at the first step."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from tests.unit.plugins.test_dynamic import evaluate_dynamic
from zoo.config.recipe import Recipe
from zoo.errors import Interrupted, RunError, SpecError
from zoo.evaluation.measure import measure
from zoo.inference.sampling import Sampling, stream
from zoo.interfaces import State
from zoo.models.module_runner import ModuleRunner
from zoo.models.states import detach
from zoo.runs.directory import RunDirectory
from zoo.training.host import Host
from zoo.training.loop import fit
from zoo.training.saved import RunIdentity
from zoo_analyzers.dynamic import DynamicEvaluation as Dynamic
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

TASK = LanguageModeling(LANGUAGE_MODELING)


class Memory(NamedTuple):
    hidden: Any
    read: int

    @property
    def tensor(self) -> Tensor:
        """What only this class has, and a plain tuple lacks."""
        return self.hidden


class Cell(NamedTuple):
    memories: list[Memory]
    scale: float


# How a model nests its hidden state (1, B, H) and the tokens that it has read, and how it finds them again
PACKED: dict[str, tuple[Callable[[Tensor, int], State], Callable[[Any], tuple[Tensor, int]]]] = {
    "tensor": (lambda h, n: h, lambda s: (s, 0)),
    "tuple": (lambda h, n: (h, n, True, None), lambda s: (s[0], s[1])),
    "list": (lambda h, n: [h, float(n)], lambda s: (s[0], int(s[1]))),
    "dict": (lambda h, n: {"h": h, 0: {1: n}}, lambda s: (s["h"], s[0][1])),
    "named": (lambda h, n: Memory(h, n), lambda s: (s.tensor, s.read)),
    "nested": (
        lambda h, n: {"cells": [Cell([Memory((h,), n)], 0.1)]},
        lambda s: (s["cells"][0].memories[0].tensor[0], s["cells"][0].memories[0].read),
    ),
    "transposed": (lambda h, n: (h.transpose(0, 2), n), lambda s: (s[0].transpose(0, 2), s[1])),
    "complex": (
        lambda h, n: (torch.complex(h, torch.ones_like(h)), n),
        lambda s: (s[0].real * s[0].imag, s[1]),
    ),
    "infinite": (lambda h, n: (h, torch.tensor([-float("inf"), n])), lambda s: (s[0], int(s[1][1]))),
}
KINDS = pytest.mark.parametrize("kind", PACKED)


class Reader(nn.Module):
    """A GRU whose logits also depend on how many tokens it has read."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pack, self.open = PACKED[kind]
        self.embedding = nn.Embedding(8, 6)
        self.gru = nn.GRU(6, 6)
        self.out = nn.Linear(6, 8)

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        hidden, read = (None, 0) if state is None else self.open(state)
        if hidden is not None:
            assert not hidden.requires_grad or not self.training
        x, hidden = self.gru(self.embedding(tokens), hidden)
        return self.out(x) + 0.01 * read, self.pack(hidden, read + len(tokens))


@dataclass(frozen=True)
class Run:
    """A training in a directory, in pieces of some batches."""

    path: Path
    kind: str
    data: Any

    def go(self, *, pause: int = 0, resume: bool = False) -> int:
        batches = 0

        def report(progress: Any) -> None:
            nonlocal batches
            batches += progress.is_step

        config = configured(epochs=2, batch_size=4, lr=0.02, bptt=12)
        model = Reader(self.kind)
        identity = RunIdentity(recipe=Recipe(architecture="reader", dataset="text", threads=1))
        with RunDirectory(self.path, identity, resume=resume) as store:
            fit(
                model,
                TASK,
                self.data,
                config,
                seed=3,
                host=Host(store=store, report=report, stop=lambda: 15 if pause and batches >= pause else 0),
            )
        weights = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
        (self.path / "weights").write_text(hashlib.sha256(weights).hexdigest())
        return batches

    @property
    def result(self) -> str:
        return (self.path / "weights").read_text()


@KINDS
def test_a_run_resumed_early_or_late_ends_in_the_same_bits(tmp_path: Path, text: Any, kind: str) -> None:
    whole = Run(tmp_path / "whole", kind, text(200))
    total = whole.go()
    assert total >= 8
    for pause in (1, total // 2, total - 1):
        stopped = Run(tmp_path / f"stopped-{pause}", kind, text(200))
        with pytest.raises(Interrupted):
            stopped.go(pause=pause)
        assert stopped.go(resume=True) == total - pause
        assert stopped.result == whole.result, f"resumed after batch {pause} of {total}"


@KINDS
def test_a_state_is_carried_through_evaluation_and_sampling(text: Any, kind: str) -> None:
    data, model = text(100, 40, 300), Reader(kind)
    plain = Reader("tuple") if kind != "tensor" else model  # the state that is a tensor forgets the count
    assert measure(model, TASK, data, "test").metrics == pytest.approx(
        measure(plain, TASK, data, "test").metrics
    )
    adapted = [evaluate_dynamic(m, data, Dynamic(segment=5))[0]["loss"] for m in (model, plain)]
    assert adapted[0] == pytest.approx(adapted[1])
    settings = Sampling(max_new_tokens=30)
    preprocess = data.preprocess
    texts = [[*stream(ModuleRunner(m), preprocess, prompt="abc", sampling=settings)] for m in (model, plain)]
    assert texts[0] == texts[1]


def test_a_state_of_other_parts_than_the_model_returns_is_refused(
    tmp_path: Path, text: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run", "named", text(200))
    with pytest.raises(Interrupted):
        run.go(pause=2)
    monkeypatch.setitem(PACKED, "named", PACKED["tuple"])
    with pytest.raises(RunError, match=r"run's hidden state has 2 parts, but the model's has 4"):
        run.go(resume=True)


class Cache:
    """What zoo cannot look into."""


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (Cache(), "got Cache at state"),
        ([torch.zeros(1), Cache()], r"got Cache at state\[1\]"),
        (Memory({"k": Cache()}, 1), r"got Cache at state\.hidden\['k'\]"),
        ({"k": [{2: Cache()}]}, r"got Cache at state\['k'\]\[0\]\[2\]"),
        (OrderedDict(a=torch.zeros(1)), "got OrderedDict at state"),
        (torch.Size([1]), "got Size at state"),
        ({"a": "text"}, r"got 'text' at state\['a'\]"),
        ((float("nan"),), r"got nan at state\[0\]"),
        ((2**63,), r"got 9223372036854775808 at state\[0\]"),
        ({(1, 2): None}, r"got the key \(1, 2\) at state"),
        ({True: None}, "got the key True at state"),
        ({"\ud800": None}, "got the key '.ud800' at state"),
        (torch.zeros(1, dtype=torch.complex128), "got a torch.strided tensor of torch.complex128 at state"),
        (torch.zeros(2, 2).to_sparse(), "got a torch.sparse_coo tensor of torch.float32 at state"),
        ([[[[[[[[None]]]]]]]], r"got 8 levels of nesting at state\[0\]\[0\]\[0\]\[0\]\[0\]\[0\]\[0\]"),
    ],
)
def test_any_other_state_is_refused_at_the_first_step(text: Any, returned: Any, got: str) -> None:
    class Odd(Reader):
        def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
            return super().forward(tokens)[0], returned

    config = configured(batch_size=4, bptt=12)
    expected = (
        "a hidden state must be None, a tensor, a number, or tuples, NamedTuples, lists or dicts of these"
    )
    with pytest.raises(SpecError, match=rf"^{expected} \(.*{got}\)(?m:$)"):
        fit(Odd("tensor"), TASK, text(200), config)


def test_the_deepest_legal_state_can_be_saved(
    tmp_path: Path, text: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def packed(hidden: Tensor, read: int) -> State:
        return [[[[[[[hidden]]]]]]]

    def opened(state: Any) -> tuple[Tensor, int]:
        return state[0][0][0][0][0][0][0], 0

    monkeypatch.setitem(PACKED, "deep", (packed, opened))
    run = Run(tmp_path / "run", "deep", text(200))
    with pytest.raises(Interrupted):
        run.go(pause=2)
    assert run.go(resume=True) > 2


def test_detaching_keeps_the_shape_of_a_state() -> None:
    grown = torch.ones(2, requires_grad=True) * 2
    cut = detach({"a": (grown, [grown, None]), 3: Memory(grown, 7)})
    assert not cut["a"][0].requires_grad
    assert not cut["a"][1][0].requires_grad
    assert cut[3] == (cut[3].hidden, 7)
    assert type(cut[3]) is Memory
    assert not cut[3].tensor.requires_grad
    assert torch.equal(cut["a"][0], grown)


def test_a_carried_tensor_is_contiguous_as_one_from_a_file_is() -> None:
    """Others may be computed with in another order, so that a resumed run would differ in the last bits."""
    carried = detach([torch.zeros(2, 3).T, torch.zeros(1, 3).expand(4, 3)])
    assert all(part.is_contiguous() for part in carried)
