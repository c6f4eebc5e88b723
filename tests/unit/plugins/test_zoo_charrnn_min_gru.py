"""minGRU: the scan against the recurrence as it is written, and the model over it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zoo_charrnn import min_gru
from zoo_charrnn.min_gru import CharMinGRU, MinGRU
from zoo_charrnn.scan import scan_by_doubling, scan_by_steps

SCANS = [scan_by_steps, scan_by_doubling]


def recurrence(times: int) -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(times)
    keep = torch.rand(times, 3, 5, generator=draws, dtype=torch.float64)
    keep[times // 2] = 0.0
    keep[:, 0] = 1.0
    new = torch.randn(times, 3, 5, generator=draws, dtype=torch.float64)
    hidden = torch.randn(3, 5, generator=draws, dtype=torch.float64)
    return keep.requires_grad_(), new.requires_grad_(), hidden.requires_grad_()


def one_by_one(keep: Tensor, new: Tensor, hidden: Tensor) -> Tensor:
    states = []
    for time in range(len(keep)):
        hidden = keep[time] * hidden + new[time]
        states.append(hidden)
    return torch.stack(states)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("times", [1, 2, 3, 8, 13, 64])
def test_a_scan_and_its_gradients_are_those_of_the_recurrence(
    scan: Callable[..., Tensor], times: int
) -> None:
    given = recurrence(times)
    ours, expected = scan(*given), one_by_one(*given)
    torch.testing.assert_close(ours, expected)
    draw = torch.randn(ours.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad(ours, given, draw), torch.autograd.grad(expected, given, draw), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("scan", SCANS)
def test_a_scan_of_a_long_text_keeps_its_digits_in_fp32(scan: Callable[..., Tensor]) -> None:
    draws = torch.Generator().manual_seed(0)
    gate = 5 * torch.randn(512, 2, 16, generator=draws)
    keep, new = (-gate).sigmoid(), gate.sigmoid() * torch.randn(512, 2, 16, generator=draws)
    hidden = torch.zeros(2, 16)
    exact = one_by_one(keep.double(), new.double(), hidden.double())
    torch.testing.assert_close(scan(keep, new, hidden).double(), exact, atol=1e-5, rtol=0)
    first = scan(keep[:200], new[:200], hidden)
    second = scan(keep[200:], new[200:], first[-1])
    torch.testing.assert_close(torch.cat([first, second]).double(), exact, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scan", SCANS)
def test_a_scan_knows_nothing_of_later_times_bit_for_bit(scan: Callable[..., Tensor]) -> None:
    keep, new, hidden = recurrence(13)
    before = scan(keep, new, hidden)
    for time in range(13):
        later = new.detach().clone()
        later[time] += 1.0
        after = scan(keep, later, hidden)
        assert torch.equal(after[:time], before[:time])
        assert not torch.equal(after[time], before[time])


def test_a_layer_is_the_equation_of_the_paper() -> None:
    torch.manual_seed(0)
    layer = MinGRU(5)
    x, hidden = torch.randn(6, 2, 5), torch.randn(2, 5)
    states = layer(x, hidden)
    for time in range(6):
        z = torch.sigmoid(layer.gate.weight @ x[time, 1] + layer.gate.bias)
        candidate = layer.candidate.weight @ x[time, 1] + layer.candidate.bias
        before = states[time - 1, 1] if time else hidden[1]
        torch.testing.assert_close(states[time, 1], (1 - z) * before + z * candidate)


def test_in_bf16_the_recurrence_stays_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = CharMinGRU(vocab_size=11, hidden_size=8).eval()
    seen: set[torch.dtype] = set()

    def noting(*given: Tensor) -> Tensor:
        seen.update(each.dtype for each in given)
        return scan_by_steps(*given)

    monkeypatch.setattr(min_gru, "scan", noting)
    with torch.autocast("cpu", torch.bfloat16):
        logits, state = model(torch.randint(0, 11, (6, 3)))
    assert logits.dtype == torch.bfloat16
    assert seen == {part.dtype for part in state} == {torch.float32}
    assert len(state) == 4


def test_both_ways_to_scan_give_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = CharMinGRU(vocab_size=11, hidden_size=8).eval()
    tokens = torch.randint(0, 11, (20, 3))
    logits = model(tokens)[0]
    monkeypatch.setattr(min_gru, "scan", scan_by_doubling)
    doubled, state = model(tokens)
    assert not torch.equal(doubled, logits)
    torch.testing.assert_close(doubled, logits, atol=1e-5, rtol=1e-5)
    first, carried = model(tokens[:7])
    second, end = model(tokens[7:], carried)
    torch.testing.assert_close(torch.cat([first, second]), doubled, atol=1e-5, rtol=0)
    torch.testing.assert_close(end, state, atol=1e-5, rtol=0)


@pytest.mark.parametrize("silent", ["rnn.candidate", "mlp.3"])
def test_dropout_is_of_what_each_of_a_block_s_two_halves_adds(silent: str) -> None:
    torch.manual_seed(0)
    model = CharMinGRU(vocab_size=11, hidden_size=8, num_layers=1, dropout=0.5)
    for parameter in model.blocks[0].get_submodule(silent).parameters():
        torch.nn.init.zeros_(parameter)
    tokens = torch.randint(0, 11, (6, 3))
    assert not torch.equal(model(tokens)[0], model(tokens)[0])
    model.eval()
    assert torch.equal(model(tokens)[0], model(tokens)[0])
