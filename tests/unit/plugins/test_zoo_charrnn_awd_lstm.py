"""AWD-LSTM: what is dropped, for how long, and what it costs."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo_charrnn.awd_lstm import AWDLSTM
from zoo_charrnn.dropout import drop_connections, drop_locked, drop_rows
from zoo_charrnn.weight_drop import WeightDropLSTM, in_one_chunk

TOKENS = torch.randint(0, 11, (6, 3), generator=torch.Generator().manual_seed(0))  # (T, B)
X = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(1))  # (T, B, I)
NO_DROPOUT = {
    "weight_drop": 0.0, "dropout_input": 0.0, "dropout_hidden": 0.0, "dropout_output": 0.0,
}  # fmt: skip


def model(**options: Any) -> AWDLSTM:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 11, "embedding_dim": 5, "hidden_size": 7}
    return AWDLSTM(**sizes | options)


def layer(*, fused: bool = True, weight_drop: float = 0.5) -> WeightDropLSTM:
    torch.manual_seed(0)
    return WeightDropLSTM(4, 7, weight_drop=weight_drop, fused=fused)


def plain_lstm(x: Tensor, of: WeightDropLSTM, weight_hh: Tensor) -> Tensor:
    """The textbook's LSTM, one sequence, one time and one gate after the other."""
    bias = of.bias_ih + of.bias_hh
    gates_of = list(zip(of.weight_ih.split(7), weight_hh.split(7), bias.split(7), strict=True))
    sequences = []
    for lane in range(x.shape[1]):
        hidden, cell, outputs = torch.zeros(7), torch.zeros(7), []
        for time in range(len(x)):
            i, f, g, o = (w @ x[time, lane] + u @ hidden + b for w, u, b in gates_of)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(cell)
            outputs.append(hidden)
        sequences.append(torch.stack(outputs))
    return torch.stack(sequences, 1)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return found


@pytest.mark.parametrize("fused", [True, False])
def test_weight_drop_is_an_lstm_whose_recurrent_matrix_is_masked_and_scaled(fused: bool) -> None:
    lstm = layer(fused=fused)
    torch.manual_seed(5)
    output, (hidden, _) = lstm(X)
    output.pow(2).sum().backward()
    ours = gradients(lstm)

    torch.manual_seed(5)
    mask = drop_connections(torch.ones(28, 7), 0.5, training=True)
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    expected = plain_lstm(X, lstm, lstm.weight_hh * mask)
    expected.pow(2).sum().backward()

    torch.testing.assert_close(output, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(hidden[0], expected[-1], atol=1e-6, rtol=1e-5)
    for name, gradient in gradients(lstm).items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-5, rtol=1e-5)
    assert (ours["weight_hh"][mask == 0] == 0).all()
    assert (ours["weight_hh"][mask != 0] != 0).all()


@pytest.mark.parametrize("fused", [True, False])
def test_weight_drop_draws_a_mask_each_pass_and_none_in_evaluation(fused: bool) -> None:
    lstm = layer(fused=fused)
    assert not torch.equal(lstm(X)[0], lstm(X)[0])
    lstm.eval()
    torch.testing.assert_close(lstm(X)[0], plain_lstm(X, lstm, lstm.weight_hh), atol=1e-6, rtol=1e-5)


def test_weight_drop_leaves_nothing_behind() -> None:
    lstm = layer()
    before = {name: tensor.clone() for name, tensor in lstm.state_dict().items()}
    lstm(X)[0].sum().backward()
    assert set(before) == {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in lstm.state_dict().items())
    assert all(isinstance(p, nn.Parameter) and p.is_leaf for p in lstm.parameters())
    twin = copy.deepcopy(lstm).eval()
    assert torch.equal(twin(X)[0], lstm.eval()(X)[0])


def test_the_weights_for_cudnn_lie_in_one_chunk_in_its_order_and_keep_their_gradient() -> None:
    parameters: list[Tensor] = [*layer().parameters()]
    views = in_one_chunk(parameters)
    assert [view.storage_offset() for view in views] == [0, 28 * 4, 28 * 4 + 28 * 7, 28 * 4 + 28 * 7 + 28]
    assert len({view.untyped_storage().data_ptr() for view in views}) == 1
    assert all(
        view.is_contiguous() and torch.equal(view, p) for view, p in zip(views, parameters, strict=True)
    )
    views[1].sum().backward()
    assert parameters[1].grad is not None
    assert parameters[0].grad is None or not parameters[0].grad.any()
    assert (parameters[1].grad == 1).all()


@pytest.mark.parametrize("tied", [True, False])
def test_the_kernel_and_the_loop_agree_on_the_same_masks(tied: bool) -> None:
    results = []
    for fused in (True, False):
        net = model(fused=fused, tie_weights=tied, weight_drop=0.5, num_layers=3, activation_penalty=2.0)
        torch.manual_seed(3)
        _, state, _ = net(TOKENS)
        logits, end, penalty = net(TOKENS, state)
        (logits.logsumexp(2).mean() + penalty).backward()
        results.append((logits, end, gradients(net)))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


def assert_locked(dropped: Tensor, p: float) -> None:
    """Of ones (T, B, H): zeros or scaled, the same at all times, for each sequence its own."""
    assert set(dropped.unique().tolist()) == {0.0, 1 / (1 - p)}
    assert (dropped == dropped[0]).all(), "the mask changes with time"
    assert len({tuple(lane) for lane in dropped[0].tolist()}) == dropped.shape[1], "sequences share a mask"


def test_locked_dropout_stays_for_a_sequence_and_differs_between_sequences() -> None:
    torch.manual_seed(0)
    ones = torch.ones(9, 4, 50)
    assert_locked(drop_locked(ones, 0.5, training=True), 0.5)
    assert abs(drop_locked(torch.ones(2, 40, 500), 0.2, training=True).mean() - 1) < 0.02
    with pytest.raises(AssertionError, match="changes with time"):
        assert_locked(nn.Dropout(0.5)(ones), 0.5)
    with pytest.raises(AssertionError, match="share a mask"):
        assert_locked(nn.Dropout(0.5)(ones[:1, :1]).expand_as(ones), 0.5)


def test_embedding_dropout_drops_whole_tokens_wherever_they_occur() -> None:
    torch.manual_seed(0)
    table = torch.rand(40, 6) + 1
    dropped = drop_rows(table, 0.25, training=True)
    gone = (dropped == 0).all(1)
    assert 0 < gone.sum() < 20
    torch.testing.assert_close(dropped[~gone], table[~gone] / 0.75)


def seen_by(net: AWDLSTM, name: str) -> Tensor:
    """Return what a submodule is given, when every embedded token and every layer's output is ones."""
    given: list[Tensor] = []
    nn.init.ones_(net.embedding.weight)
    handles = [
        each.register_forward_hook(lambda module, args, result: (torch.ones_like(result[0]), result[1]))
        for each in net.layers
    ]
    handles.append(
        net.get_submodule(name).register_forward_pre_hook(lambda module, args: given.append(args[0]))
    )
    net(TOKENS)
    return given[0].detach()


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("dropout_input", "layers.0"),
        ("dropout_hidden", "layers.1"),
        ("dropout_hidden", "layers.2"),
        ("dropout_output", "out"),
    ],
)
def test_each_dropout_acts_at_its_own_place(option: str, place: str) -> None:
    options = NO_DROPOUT | {"embedding_dim": 40, "hidden_size": 40, "num_layers": 3}
    assert_locked(seen_by(model(**options | {option: 0.5}), place), 0.5)
    for other in {"layers.0", "layers.1", "layers.2", "out"} - {place}:
        if option != "dropout_hidden" or other in ("layers.0", "out"):
            assert (seen_by(model(**options | {option: 0.5}), other) == 1).all(), other
    assert (seen_by(model(**options | {option: 0.5}).eval(), place) == 1).all()


def test_embedding_dropout_acts_on_tokens_not_on_positions() -> None:
    net = model(**NO_DROPOUT, dropout_embedding=0.5)
    given = seen_by(net, "layers.0")  # (T, B, E)
    by_token = {
        token: {tuple(v.tolist()) for v in given[token == TOKENS]} for token in TOKENS.unique().tolist()
    }
    assert all(len(vectors) == 1 for vectors in by_token.values())
    assert {v for vectors in by_token.values() for v in vectors} == {(0.0,) * 5, (2.0,) * 5}


def test_a_tied_matrix_is_one_parameter_and_the_last_layer_fits_it() -> None:
    net = model(tie_weights=True, num_layers=3)
    assert net.out.weight is net.embedding.weight
    recurrent = [layer.get_parameter("weight_hh") for layer in net.layers]
    assert [tuple(weight.shape) for weight in recurrent] == [(28, 7), (28, 7), (20, 5)]
    _, state = net(TOKENS)
    assert [tuple(hidden.shape) for hidden, _ in state] == [(1, 3, 7), (1, 3, 7), (1, 3, 5)]


def test_a_tied_matrix_starts_narrow_enough_to_predict_with() -> None:
    tied = model(tie_weights=True, embedding_dim=400).eval()
    assert tied.out.weight.abs().max() <= 0.1
    assert tied(TOKENS)[0].std() < 0.5
    assert model(embedding_dim=400).embedding.weight.std().item() == pytest.approx(1, abs=0.05)


def last_layer_of(net: AWDLSTM, tokens: Tensor) -> tuple[Tensor, Tensor, Any]:
    """Return the last layer's output, what the linear layer is given of it, and what the model returns."""
    seen: dict[str, Tensor] = {}
    net.layers[-1].register_forward_hook(lambda module, args, result: seen.update(raw=result[0]))
    net.out.register_forward_pre_hook(lambda module, args: seen.update(dropped=args[0]))
    result = net(tokens)
    return seen["raw"], seen["dropped"], result


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.0), (0.0, 3.0), (2.0, 3.0)])
def test_the_penalty_is_ar_of_the_dropped_and_tar_of_the_raw_output(alpha: float, beta: float) -> None:
    net = model(dropout_output=0.5, activation_penalty=alpha, temporal_penalty=beta)
    raw, dropped, (_, _, penalty) = last_layer_of(net, TOKENS)
    assert not torch.equal(raw, dropped)
    times, lanes, size = raw.shape
    ar = sum(dropped[t, b, h].item() ** 2 for t in range(times) for b in range(lanes) for h in range(size))
    tar = sum(
        (raw[t + 1, b, h] - raw[t, b, h]).item() ** 2
        for t in range(times - 1) for b in range(lanes) for h in range(size)
    )  # fmt: skip
    expected = alpha * ar / (times * lanes * size) + beta * tar / ((times - 1) * lanes * size)
    assert penalty.shape == ()
    assert penalty.item() == pytest.approx(expected, rel=1e-5)


def test_a_single_time_has_no_change_to_punish() -> None:
    net = model(activation_penalty=2.0, temporal_penalty=3.0)
    _, dropped, (_, _, penalty) = last_layer_of(net, TOKENS[:1])
    assert penalty.item() == pytest.approx(2 * dropped.pow(2).mean().item())


def test_there_is_a_penalty_in_training_only_and_only_if_asked_for() -> None:
    assert len(model()(TOKENS)) == 2
    net = model(activation_penalty=1.0)
    assert len(net(TOKENS)) == 3
    assert len(net.eval()(TOKENS)) == 2
