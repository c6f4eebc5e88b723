"""The character models: what they share, and the lesson's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.errors import OptionError
from zoo.models.building import build_model, model_arguments
from zoo.models.precision import autocast
from zoo.models.states import detach
from zoo.registry.registry import Registry
from zoo_charrnn.gru import CharGRU
from zoo_charrnn.gru_cell import CharGRUCell
from zoo_charrnn.lstm import CharLSTM
from zoo_charrnn.lstm_cell import CharLSTMCell
from zoo_charrnn.rnn import CharRNN
from zoo_charrnn.rnn_cell import CharRNNCell

TASK = "language-modeling"
NAMES = ["rnn", "rnn-cell", "gru", "gru-cell", "lstm", "lstm-cell", "awd-lstm", "min-gru"]
TOKENS = torch.randint(0, 11, (12, 3), generator=torch.Generator().manual_seed(0))  # (T, B)


def build(make: Callable[..., nn.Module], **options: object) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make(**({"vocab_size": 11, "embedding_dim": 5, "hidden_size": 7} | options)).eval()


@pytest.fixture
def model() -> nn.Module:
    return build(CharLSTM)


def leaves(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [leaf for part in state for leaf in leaves(part)]


@pytest.mark.parametrize("name", NAMES)
def test_no_state_means_zeros(name: str, registry: Registry) -> None:
    model = build_model(registry.architecture(name), {"vocab_size": 11, "hidden_size": 7}, seed=0).eval()
    logits, state = model(TOKENS)
    assert not any((leaf == 0).all() for leaf in leaves(state))
    for leaf in leaves(state):
        leaf.detach().zero_()
    assert torch.equal(model(TOKENS, state)[0], logits)


@pytest.mark.parametrize("make", [CharRNN, CharGRU, CharLSTM])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_dropout_is_between_layers_and_only_in_training(
    make: Callable[..., nn.Module], num_layers: int
) -> None:
    model = build(make, num_layers=num_layers, dropout=0.5).train()
    same = torch.equal(model(TOKENS)[0], model(TOKENS)[0])
    assert same == (num_layers == 1)
    model.eval()
    assert torch.equal(model(TOKENS)[0], model(TOKENS)[0])


@pytest.mark.parametrize(
    ("layer", "cell", "options"),
    [
        (CharRNN, CharRNNCell, {}),
        (CharRNN, CharRNNCell, {"nonlinearity": "relu"}),
        (CharGRU, CharGRUCell, {}),
        (CharLSTM, CharLSTMCell, {"num_layers": 1}),
    ],
    ids=["tanh", "relu", "gru", "lstm"],
)
def test_the_loop_over_a_cell_computes_what_the_layer_does(
    layer: Callable[..., nn.Module], cell: Callable[..., nn.Module], options: dict[str, Any]
) -> None:
    whole = build(layer, **options)
    looped = build(cell, **{name: value for name, value in options.items() if name != "num_layers"})
    looped.load_state_dict({_in_a_cell(name, looped): weight for name, weight in whole.state_dict().items()})
    logits, end = whole(TOKENS, _started(whole))
    same, same_end = looped(TOKENS, _started(looped))
    torch.testing.assert_close(same, logits, atol=1e-6, rtol=0)
    for one, other in zip(leaves(same_end), leaves(end), strict=True):
        torch.testing.assert_close(one, other[0], atol=1e-6, rtol=0)
    logits.logsumexp(2).mean().backward()
    same.logsumexp(2).mean().backward()
    parameters = dict(looped.named_parameters())
    for name, weight in whole.named_parameters():
        torch.testing.assert_close(parameters[_in_a_cell(name, looped)].grad, weight.grad, atol=1e-6, rtol=0)


def _in_a_cell(name: str, looped: nn.Module) -> str:
    """Return the name of a layer's weight in the network that loops over a cell."""
    weight = name.partition(".")[2]
    if not weight.endswith("_l0"):
        return name
    if isinstance(looped, CharRNNCell):
        return f"cell.{weight.removesuffix('_l0')}"
    kind, side = weight.removesuffix("_l0").split("_")
    return f"cell.{'from_input' if side == 'ih' else 'from_hidden'}.{kind}"


def _started(model: nn.Module) -> Any:
    """Return a state that is not zero, of the form that the model returns."""
    generator = torch.Generator().manual_seed(1)
    state = model(TOKENS)[1]
    drawn = [torch.randn(3, 7, generator=generator).expand(leaf.shape) for leaf in leaves(state)]
    return drawn[0] if isinstance(state, Tensor) else tuple(drawn)


@pytest.mark.parametrize(("make", "options"), [(CharRNN, {"num_layers": 2}), (CharRNNCell, {})])
def test_identity_initialization_is_of_every_recurrent_matrix_and_nothing_else(
    make: Callable[..., nn.Module], options: dict[str, int]
) -> None:
    plain = build(make, **options).state_dict()
    weights = build(make, init="identity", **options).state_dict()
    recurrent = {name for name in weights if "weight_hh" in name}
    assert len(recurrent) == options.get("num_layers", 1)
    for name, weight in weights.items():
        assert torch.equal(weight, torch.eye(7) if name in recurrent else plain[name]), name


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_in_bf16_leave_finite_gradients_near_those_of_fp32(name: str, registry: Registry) -> None:
    model = build_model(registry.architecture(name), {"vocab_size": 11, "hidden_size": 16}, seed=0)
    gradients: dict[bool, Tensor] = {}
    for lowered in (False, True):
        model.zero_grad()
        torch.manual_seed(0)
        with autocast("bf16" if lowered else "fp32", "cpu"):
            state = detach(model(TOKENS)[1])
            logits = model(TOKENS, state)[0]
        logits.float().logsumexp(2).mean().backward()
        gradients[lowered] = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert gradients[True].isfinite().all()
    distance = (gradients[True] - gradients[False]).norm() / gradients[False].norm()
    assert 0 < distance < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_shares_out_of_range_are_refused_by_name(name: str, registry: Registry) -> None:
    entry = registry.architecture(name)
    options = inspect.signature(entry.load()).parameters.keys()
    wrong = {"at least 1": 0, "less than 1": 1}
    sizes = options & {"embedding_dim", "hidden_size", "num_layers"}
    for option in sizes | {option for option in options if "drop" in option}:
        range_ = "at least 1" if option in sizes else "less than 1"
        with pytest.raises(OptionError, match=f"charrnn/{name}: {option} must be {range_} "):
            model_arguments(entry, registry.task(TASK), {"vocab_size": 11}, {option: wrong[range_]})


def test_an_unknown_initialization_is_refused_with_the_known_ones(registry: Registry) -> None:
    with pytest.raises(OptionError, match=r"init must be one of 'default', 'identity' \(got 'eye'\)"):
        model_arguments(
            registry.architecture("rnn"), registry.task(TASK), {"vocab_size": 11}, {"init": "eye"}
        )
