"""Weights saved and loaded, and files that loading refuses."""

from __future__ import annotations

import hashlib
import json
import pickle
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from zoo.errors import SpecError, WeightsError
from zoo.files.cards import KEY, Card, read_card, read_weights
from zoo.files.container import tensor_sha256, write_container
from zoo.models import weights
from zoo.models.building import build_model
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry
from zoo.registry.specs import ArchitectureSpec

MakeCard = Callable[..., Card]


class Tied(nn.Module):
    """A model with tied input and output embeddings."""

    def __init__(self, *, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 5)
        self.out = nn.Linear(5, vocab_size)
        self.out.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: None = None) -> tuple[Tensor, None]:
        return self.out(self.embedding(tokens)), state


class Wide(Tied):
    """A model with layers and buffers that are not stored in its file."""

    def __init__(self, *, vocab_size: int, layers: int = 0, masks: int = 0, reach: int = 1) -> None:
        super().__init__(vocab_size=vocab_size)
        self.register_buffer("mask", torch.zeros(reach), persistent=False)
        for mask in range(masks):
            self.register_buffer(f"mask{mask}", torch.zeros(1), persistent=False)
        self.layers = nn.Sequential()
        for _ in range(layers):
            self.layers.append(nn.Identity())


TIED = Registry(
    [
        *Registry.discover().plugins,
        Plugin(
            name="acme",
            status="ok",
            where="acme.plugin",
            specs=tuple(
                (
                    "architecture",
                    ArchitectureSpec(
                        name=name, target=f"{__name__}:{target}", task="language-modeling", summary=""
                    ),
                )
                for name, target in (("tied", "Tied"), ("wide", "Wide"))
            ),
        ),
    ]
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path: Path, registry: Registry, card: MakeCard) -> nn.Module:
    """A small LSTM, saved at `path`."""
    model = build_model(registry.architecture("charrnn/lstm"), card().arguments, seed=1)
    weights.save(path, model, card())
    return model


@pytest.mark.parametrize(
    ("written", "installed", "warned"),
    [
        ("acme-nets 0.1.0", "0.2.0", True),
        ("acme-nets 0.1.0", "0.1.9", False),
        ("acme-nets 1.2", "1.3", False),
        ("acme-nets 1.2", "2.0", True),
        ("other-nets 1.2", "2.0", False),
        ("", "2.0", False),
    ],
)
def test_a_file_of_another_version_of_its_plugin_is_told_of(
    path: Path, card: MakeCard, written: str, installed: str, warned: bool
) -> None:
    model = Tied(vocab_size=8)
    versions = {"zoo": "0.1.0", "torch": "2.13.0", "plugin": written}
    arguments = {"vocab_size": 8}
    weights.save(path, model, card(architecture="acme/tied", arguments=arguments, versions=versions))
    dist: Any = SimpleNamespace(metadata={"Name": "acme-nets"}, version=installed)
    *others, tied = TIED.plugins
    registry = Registry([*others, replace(tied, dist=dist)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        weights.load(path, registry)
    name, _, before = written.rpartition(" ")
    message = (
        f"{path} was written with {name} {before}, but {installed} is installed, which may build acme/tied"
    )
    assert [str(warning.message) for warning in caught] == [f"{message} differently"] * warned


def rewrite(
    path: Path,
    *,
    card: Callable[[dict[str, Any]], dict[str, Any]] = lambda card: card,
    tensors: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda tensors: tensors,
) -> None:
    """Change a file as an attacker would: with a matching hash."""
    before = json.loads(read_card(path).to_json())
    changed = tensors(safetensors.torch.load_file(path))
    packed = weights.pack(changed)
    text = json.dumps(card(before | {"sha256": tensor_sha256(packed)}))
    write_container(path, packed, {"format": "pt", KEY: text})


def test_loading_restores_every_bit(path: Path, saved: nn.Module, registry: Registry, card: MakeCard) -> None:
    model, read = weights.load(path, registry)
    assert not model.training
    assert model.state_dict().keys() == saved.state_dict().keys()
    for name, tensor in saved.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    assert replace(read, sha256="") == card()
    data = sorted(read_weights(path)[1].tensors.values(), key=lambda tensor: tensor.name)
    assert read.sha256 == hashlib.sha256(b"".join(tensor.data for tensor in data)).hexdigest()


def test_integer_buffers_and_channels_last_survive(path: Path, registry: Registry, card: MakeCard) -> None:
    arguments = {"in_channels": 3, "image_size": 8, "num_classes": 4, "widths": [4, 8]}
    entry = registry.architecture("convnet/resnet-lite")
    model = build_model(entry, arguments, seed=1)
    model(torch.randn(4, 3, 8, 8))  # moves the running statistics and their counter
    feeding = {"size": 8, "mean": [0.5] * 3, "std": [0.2] * 3, "classes": list("abcd")}
    written = card(architecture=entry.name, arguments=arguments, task="classification", preprocess=feeding)
    weights.save(path, model, written)
    loaded, _ = weights.load(path, registry)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(loaded(images), model.eval()(images))


def test_half_a_file_holds_rounded_matrices_and_whole_vectors(
    path: Path, saved: nn.Module, registry: Registry, card: MakeCard
) -> None:
    whole = path.stat().st_size
    written = weights.save(path, saved, card(), half=True)
    matrices = sum(tensor.numel() for tensor in saved.parameters() if tensor.ndim > 1)
    assert whole - path.stat().st_size > 1.9 * matrices
    loaded, read = weights.load(path, registry)
    assert read == written
    for name, tensor in saved.state_dict().items():
        rounded = tensor.bfloat16().float() if tensor.ndim > 1 else tensor
        assert torch.equal(loaded.state_dict()[name], rounded), name
        assert loaded.state_dict()[name].dtype == torch.float32


def test_only_matrices_may_be_stored_as_bf16(path: Path, saved: nn.Module, registry: Registry) -> None:
    rewrite(path, tensors=lambda t: t | {"out.bias": t["out.bias"].bfloat16()})
    with pytest.raises(WeightsError, match=r"out.bias is BF16 \[8\] in the file, but F32 \[8\] in the model"):
        weights.load(path, registry)


def test_a_tied_matrix_is_stored_as_bf16_once(path: Path, card: MakeCard) -> None:
    model = Tied(vocab_size=8)
    weights.save(path, model, card(architecture="acme/tied", arguments={"vocab_size": 8}), half=True)
    assert safetensors.torch.load_file(path)["embedding.weight"].dtype == torch.bfloat16
    loaded: Any = weights.load(path, TIED)[0]
    assert loaded.out.weight is loaded.embedding.weight
    assert torch.equal(loaded.out.weight, model.out.weight.bfloat16().float())


def test_two_saves_give_equal_bytes(path: Path, saved: nn.Module, card: MakeCard) -> None:
    other = path.with_name("other.safetensors")
    weights.save(other, saved, card())
    assert other.read_bytes() == path.read_bytes()


def test_loading_leaves_the_random_state_alone(path: Path, saved: nn.Module, registry: Registry) -> None:
    before = torch.get_rng_state()
    weights.load(path, registry)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_flipped_bit_anywhere_in_the_tensors_is_noticed(
    path: Path, saved: nn.Module, registry: Registry
) -> None:
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(WeightsError, match="the sha256 of its tensors does not match its card"):
            weights.load(path, registry)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_both_ways(
    path: Path, saved: nn.Module, registry: Registry, card: MakeCard, value: float
) -> None:
    before = path.read_bytes()
    with torch.no_grad():
        saved.get_parameter("out.bias")[2] = value
    with pytest.raises(WeightsError, match=r"out\.bias has values that are not finite; nothing was written"):
        weights.save(path, saved, card())
    assert path.read_bytes() == before

    rewrite(path, tensors=lambda t: t | {"out.bias": t["out.bias"].fill_(value)})
    with pytest.raises(WeightsError, match=r"out\.bias has values that are not finite"):
        weights.load(path, registry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"out.bias": t["out.bias"][:-1]}, "out.bias is F32 [7] in the file, but F32 [8] in"),
        (lambda t: t | {"out.bias": t["out.bias"].double()}, "out.bias is F64 [8] in the file, but F32 [8]"),
        (lambda t: {name: x for name, x in t.items() if name != "out.bias"}, "it lacks out.bias"),
        (lambda t: t | {"out.bais": torch.zeros(8)}, "it has out.bais, which the model lacks"),
    ],
    ids=["shape", "dtype", "missing", "extra"],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_refused_by_name(
    path: Path, saved: nn.Module, registry: Registry, change: Any, message: str
) -> None:
    rewrite(path, tensors=change)
    with pytest.raises(WeightsError) as caught:
        weights.load(path, registry)
    assert "does not match its architecture" in str(caught.value)
    assert message in str(caught.value)


def test_an_argument_the_architecture_no_longer_has_is_refused(
    path: Path, saved: nn.Module, registry: Registry
) -> None:
    rewrite(path, card=lambda card: card | {"arguments": card["arguments"] | {"peephole": True}})
    with pytest.raises(WeightsError, match=r"this version of charrnn/lstm has no argument peephole"):
        weights.load(path, registry)


def test_the_error_for_an_unknown_architecture_names_its_distribution(path: Path, saved: nn.Module) -> None:
    with pytest.raises(
        WeightsError, match="requires charrnn/lstm, which no installed plugin provides"
    ) as caught:
        weights.load(path, Registry([]))
    assert "zoo-registry 0.1.0" in (caught.value.hint or "")


def test_a_tied_weight_is_stored_once_and_tied_again(path: Path, card: MakeCard) -> None:
    model = Tied(vocab_size=8)
    ours = card(architecture="acme/tied", arguments={"vocab_size": 8})
    written = weights.save(path, model, ours)
    assert written.tied == {"out.weight": "embedding.weight"}
    assert set(safetensors.torch.load_file(path)) == {"embedding.weight", "out.bias"}

    loaded: Any = weights.load(path, TIED)[0]
    assert loaded.out.weight is loaded.embedding.weight
    assert torch.equal(loaded.out.weight, model.out.weight)


def test_a_tie_to_a_missing_tensor_is_refused(path: Path, card: MakeCard) -> None:
    weights.save(path, Tied(vocab_size=8), card(architecture="acme/tied", arguments={"vocab_size": 8}))
    rewrite(path, card=lambda card: card | {"tied": {"out.weight": "elsewhere"}})
    with pytest.raises(WeightsError, match="it lacks elsewhere"):
        weights.load(path, TIED)


def test_a_card_that_asks_for_a_huge_model_costs_no_memory(
    path: Path, saved: nn.Module, registry: Registry
) -> None:
    huge = {"hidden_size": 10**7, "num_layers": 8}
    rewrite(path, card=lambda card: card | {"arguments": card["arguments"] | huge})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match="does not match its architecture"):
        weights.load(path, registry)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000 * (1024 if sys.platform == "darwin" else 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 10**9}, "the model has far more layers"),
        ({"masks": 10**9}, "the model has far more buffers"),
        ({"reach": 10**13}, "the model would need 40,000,000,000"),
        ({"reach": 17 * 10**6}, "the model would need 68,000,"),  # 64 MB may be buffers that are not saved
    ],
)
def test_a_model_far_larger_than_its_file_is_not_built(
    path: Path, card: MakeCard, arguments: dict[str, int], message: str
) -> None:
    weights.save(
        path, Wide(vocab_size=8), card(architecture="acme/wide", arguments={"vocab_size": 8} | arguments)
    )
    with pytest.raises(WeightsError, match=message):
        weights.load(path, TIED)
    rewrite(path, card=lambda card: card | {"arguments": {"vocab_size": 8, "layers": 3}})
    loaded: Any = weights.load(path, TIED)[0]
    assert len(loaded.layers) == 3


def test_a_billion_layers_are_refused_while_they_are_registered(
    path: Path, saved: nn.Module, registry: Registry
) -> None:
    rewrite(path, card=lambda card: card | {"arguments": card["arguments"] | {"num_layers": 10**9}})
    with pytest.raises(WeightsError, match="it has 11 tensors, but the model has far more parameters"):
        weights.load(path, registry)


@pytest.mark.parametrize(
    ("feeding", "message"),
    [
        ({"vocabulary": ["a"]}, "its card is invalid: vocabulary has 1 tokens, but vocab_size=8"),
        ({"vocabulary": "abcdefgh"}, "preprocess: vocabulary: expected array, got str"),
        ({"vocabulary": [1] * 8}, "preprocess: vocabulary[0]: expected str, got int"),
        ({"specials": 9}, "specials=9 must be between 0 and 8, the number of tokens in the vocabulary"),
        ({"lower": "yes"}, "preprocess: lower: expected bool, got str"),
        ({"backwards": 1}, "preprocess: backwards: expected bool, got int"),
    ],
)
def test_a_card_that_cannot_feed_its_model_is_refused(
    path: Path, saved: nn.Module, registry: Registry, feeding: dict[str, Any], message: str
) -> None:
    rewrite(path, card=lambda card: card | {"preprocess": card["preprocess"] | feeding})
    with pytest.raises(WeightsError) as caught:
        weights.load(path, registry)
    assert message in str(caught.value)


def test_a_header_without_a_seal_is_refused(path: Path, saved: nn.Module) -> None:
    path.write_bytes(path.read_bytes().replace(b"header_sha256", b"header_sha257"))
    with pytest.raises(WeightsError, match="is damaged: its header has no checksum"):
        read_card(path)


def test_the_error_for_wrong_arguments_quotes_the_architecture(
    path: Path, saved: nn.Module, registry: Registry
) -> None:
    rewrite(path, card=lambda card: card | {"arguments": card["arguments"] | {"hidden_size": -3}})
    with pytest.raises(SpecError, match=r"charrnn/lstm cannot be built with .*hidden_size=-3"):
        weights.load(path, registry)


def test_loading_never_unpickles(
    path: Path, saved: nn.Module, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, None)
    weights.load(path, registry)
