"""A Transformer whose context is an option of it is trained, evaluated, sampled and analyzed within it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo import ArchitectureSpec, OptionError, Registry, ZooWarning
from zoo.api.model import Model
from zoo.errors import SpecError
from zoo.files.container import read_container
from zoo.registry.catalog import Catalog

PLUGIN = '''
import torch
from torch import nn
from torch.nn import functional as F

from zoo import ArchitectureSpec, hookimpl


class Attention(nn.Module):
    """One layer of attention over learned positions, as nanoGPT has them."""

    def __init__(self, *, vocab_size: int, block_size: int = 16, cached: bool = False):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, 16)
        self.positions = nn.Embedding(block_size, 16)
        self.attend = nn.Linear(16, 48)
        self.out = nn.Linear(16, vocab_size)
        self.cached = cached

    def forward(self, tokens, state=None):
        past = 0 if state is None else state[0].shape[1]
        times = torch.arange(past, past + len(tokens))  # an IndexError beyond block_size
        x = self.tokens(tokens) + self.positions(times)[:, None]
        q, k, v = self.attend(x).transpose(0, 1).chunk(3, 2)  # (B, T, E)
        if state is not None:
            k, v = torch.cat([state[0], k], 1), torch.cat([state[1], v], 1)
        mask = torch.ones(len(tokens), k.shape[1], dtype=torch.bool).tril(past)
        x = x + F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(0, 1)
        return self.out(x), (k, v) if self.cached else None


@hookimpl
def zoo_architectures():
    return [
        ArchitectureSpec(
            name="attention",
            target="attention:Attention",
            task="language-modeling",
            summary="Attention",
            context_length="block_size",
        )
    ]
'''
CACHED = pytest.mark.parametrize("cached", [False, True], ids=["no state", "cache"])


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("context")
    (folder / "attention.py").write_text(PLUGIN)
    return Registry.discover(Catalog(), files=[folder / "attention.py"])


@pytest.fixture(scope="module")
def train(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that trains the model on a small text, quietly."""
    text = tmp_path_factory.mktemp("text") / "a.txt"
    text.write_text("".join(f"{n} and {n + 1} is {2 * n + 1}.\n" for n in range(200)))

    def training(run: Path, *, model: dict[str, Any] | None = None, **fields: Any) -> zoo.Run:
        settings: dict[str, Any] = {"epochs": 1, "batch_size": 8, "precision": "fp32", "lr": 0.01} | fields
        data = {"paths": str(text)}
        return zoo.train(
            "attention",
            "files",
            data=data,
            model=model,
            run=run,
            registry=registry,
            progress=False,
            **settings,
        )

    return training


@CACHED
@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_everything_that_reads_text_stays_within_the_context(
    train: Any, registry: Registry, tmp_path: Path, cached: bool
) -> None:
    run = train(tmp_path / "run", model={"cached": cached}, epochs=2)
    model: Model = run.model
    measured = model.evaluate("test", progress=False)
    assert measured["metrics"]["loss"] < measured["baseline"]["loss"]
    with pytest.raises(OptionError, match="dynamic evaluation requires a model with unlimited context"):
        model.analyze("dynamic-evaluation", progress=False)
    assert len(str(model.sample("1 and ", max_new_tokens=60, progress=False))) == 60
    assert "".join(piece for piece, _ in model.sample("1 and ", max_new_tokens=60).stream()) == str(
        model.sample("1 and ", max_new_tokens=60, progress=False)
    )
    findings = model.analyze("surprisal", progress=False)
    assert findings.scores["loss"] == pytest.approx(measured["metrics"]["loss"], abs=0.3)
    tokens = sum(row["count"] for row in findings.analysis.tables["tokens"])
    assert tokens == measured["count"]


def test_batches_are_as_long_as_the_context_unless_said_otherwise(train: Any, tmp_path: Path) -> None:
    with pytest.warns(ZooWarning, match=r"options chosen for this data: bptt=12; each can be overridden"):
        run = train(tmp_path / "run", model={"block_size": 12})
    assert run.model.card.training["bptt"] == 12
    shorter = train(tmp_path / "shorter", model={"block_size": 12}, bptt=5)
    assert shorter.model.card.training["bptt"] == 5


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        (
            {"bptt": 17},
            r"^bptt=17 makes batches longer than the 16 tokens that attention/attention can read at once "
            r"\(block_size=16\)(?m:$)",
            "try --bptt 16",
        ),
        (
            {"bptt": 16, "bptt_jitter": True},
            "^bptt_jitter=true makes batches longer",
            "try --no-bptt-jitter",
        ),
        ({"bptt": 17, "batching": "windows"}, "^bptt=17 makes batches longer than", "try --bptt 16"),
    ],
)
def test_batches_longer_than_the_context_are_refused(
    train: Any, tmp_path: Path, fields: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        train(tmp_path / "run", **fields)
    assert caught.value.hint == hint
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_each_batch_starts_from_an_empty_state_and_none_is_saved(train: Any, tmp_path: Path) -> None:
    """Batches of 10 tokens would not fit a context of 16 twice."""
    run = train(tmp_path / "run", model={"cached": True}, bptt=10, save_every="1")
    tensors = read_container(run.directory / "checkpoint.previous.safetensors").tensors
    assert any(name.startswith("sums/") for name in tensors), "it was saved within the epoch"
    assert not any(name.startswith("carried") for name in tensors)


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_a_run_with_the_short_batches_of_its_initial_weights_can_be_resumed(
    train: Any, tmp_path: Path
) -> None:
    train(tmp_path / "first", bptt=5)
    tuned = {"from_weights": tmp_path / "first", "epochs": 2}
    train(tmp_path / "run", stop_after=1, **tuned)
    run = train(tmp_path / "run", resume=True, **tuned)
    assert run.model.card.training["bptt"] == 5


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_a_learning_rate_is_found_within_the_context(train: Any, registry: Registry, tmp_path: Path) -> None:
    data = {"paths": str(train(tmp_path / "run").recipe.data["paths"])}
    model = {"cached": True}
    settings: Any = {
        "data": data,
        "model": model,
        "steps": 60,
        "batch_size": 8,
        "precision": "fp32",
        "bptt": 10,
    }
    assert zoo.lr_find("attention", "files", registry=registry, progress=False, **settings).suggestions


def net(**changes: Any) -> ArchitectureSpec:
    return ArchitectureSpec(name="net", target="m:Net", task="language-modeling", summary="A net", **changes)


def test_a_context_length_is_a_number_or_an_option() -> None:
    assert net().context({}) == 0
    assert net(context_length=8).context({"block_size": 5}) == 8
    assert net(context_length="block_size").context({"block_size": 5}) == 5
    assert net(context_length="block_size").context({"block_size": None}) == 0
    for arguments in ({}, {"block_size": "x"}, {"block_size": -1}, {"block_size": True}):
        with pytest.raises(SpecError, match="context_length names the option 'block_size', which must be an"):
            net(context_length="block_size").context(arguments)
