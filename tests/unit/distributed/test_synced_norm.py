"""BatchNorm over the parts of a batch that several processes have."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.unit.distributed.in_threads import in_threads
from zoo.distributed.ranks import Ranks
from zoo.distributed.synced_norm import synced_norms


@pytest.mark.parametrize("kept", [True, False], ids=["running statistics", "no running statistics"])
def test_an_evaluation_normalizes_each_batch_by_itself(kept: bool) -> None:
    """Processes evaluate batches of their own, so none waits for another, or mixes in what it has."""
    norm = nn.BatchNorm2d(3, track_running_stats=kept).eval()
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = norm(x)
        with synced_norms(norm, Ranks(0, 2)):
            assert torch.equal(norm(x), wanted)


def results(norm: nn.Module, x: Tensor, dy: Tensor) -> list[Tensor]:
    """Return what a layer makes of one batch: outputs, its buffers, and gradients."""
    x = x.clone().requires_grad_()
    y = norm(x)
    y.backward(dy)
    assert x.grad is not None
    weights = [weight.grad for weight in norm.parameters() if weight.grad is not None]
    return [y.detach(), x.grad, *norm.buffers(), *weights]


def in_parts(norm: nn.Module, x: Tensor, dy: Tensor, *, copies: int = 1) -> list[Tensor]:
    """Return the same of three processes, which have 2, 1 and the other items of the batch.

    With three `copies`, each has all items, and only what the first makes of them counts.
    """
    cuts = [0, 2, 3, len(x)]

    def of_part(ranks: Ranks) -> list[Tensor]:
        model, part = copy.deepcopy(norm), slice(*cuts[ranks.rank : ranks.rank + 2])
        ranks.copies = copies
        with synced_norms(model, ranks):
            if copies == 3:
                return results(model, x, dy * ranks.first)
            return results(model, x[part], dy[part])

    outputs, inputs, *others = zip(*in_threads(3, of_part), strict=True)
    buffers = len([*norm.buffers()])
    assert all(torch.equal(of_one, of_all[0]) for of_all in others[:buffers] for of_one in of_all)
    sums = [torch.stack(each).sum(0) for each in others[buffers:]]
    if copies == 3:
        return [outputs[0], torch.stack(inputs).sum(0), *(each[0] for each in others[:buffers]), *sums]
    return [torch.cat(outputs), torch.cat(inputs), *(each[0] for each in others[:buffers]), *sums]


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm2d(4), (9, 4, 5, 5)),
        (nn.BatchNorm2d(4, affine=False, momentum=None), (9, 4, 5, 5)),
        (nn.BatchNorm1d(4, eps=1e-3, momentum=0.0), (9, 4)),
        (nn.BatchNorm3d(4, track_running_stats=False), (9, 4, 2, 3, 2)),
    ],
    ids=["2d", "no weight", "1d", "no running statistics"],
)
@pytest.mark.parametrize("mean", [0, 1000, 33_333_333])
def test_parts_of_a_batch_are_normalized_as_the_whole(
    norm: nn.Module, shape: tuple[int, ...], mean: int
) -> None:
    """Nearly as exactly as torch does it, which is the yardstick for layers whose mean is far from 0."""
    generator = torch.Generator().manual_seed(0)
    x, dy = torch.randn(2, *shape, generator=generator)
    x = x * torch.tensor([1.0, 10.0, 0.1, 0.0]).view(4, *[1] * (len(shape) - 2)) + mean
    for weight in norm.parameters():
        nn.init.uniform_(weight, 0.5, 2, generator)
    got, theirs = in_parts(norm, x, dy), results(copy.deepcopy(norm), x, dy)
    exact = results(copy.deepcopy(norm).double(), x.double(), dy)
    for ours, torchs, wanted in zip(got, theirs, exact, strict=True):
        error = (ours - wanted).abs().max()
        assert error <= 10 * (torchs - wanted).abs().max() + 1e-6 * wanted.abs().max()


def test_a_batch_that_is_too_small_to_be_divided_counts_once() -> None:
    generator = torch.Generator().manual_seed(0)
    x, dy = torch.randn(2, 2, 4, 2, 2, generator=generator)
    norm = nn.BatchNorm2d(4)
    got, wanted = in_parts(norm, x, dy, copies=3), results(copy.deepcopy(norm), x, dy)
    for ours, torchs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, torchs)


def test_a_layer_of_float64_stays_one() -> None:
    x, dy = torch.randn(2, 9, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    norm = nn.BatchNorm2d(4, dtype=torch.float64)
    for ours, theirs in zip(in_parts(norm, x, dy), results(norm, x, dy), strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)
