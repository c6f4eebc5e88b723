"""Divide training steps and evaluations among processes, and combine the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import zip_longest

import torch
from torch import Tensor, nn

from zoo.distributed.ranks import Ranks
from zoo.errors import SpecError
from zoo.evaluation.measure import Measured, finished, steps_of
from zoo.interfaces import Batch, CarriesState, Dataset, Split, Step, Task
from zoo.models.hooks import evaluating
from zoo.models.precision import exact
from zoo.models.states import tensors_of


def all_reduce_step(step: Step, share: float, ranks: Ranks) -> tuple[Step, Tensor, Tensor]:
    """Combine the steps of all processes; return the step, and the batch's loss and penalty as scalars.

    The step's sums and count cover the whole batch; its loss still covers only this process's part.

    Args:
        share: this process's share of the batch.
    """
    device = step.loss.device
    given = step.penalty
    penalty = exact(given if isinstance(given, Tensor) else torch.full((), given, device=device))
    if ranks.world_size == 1:
        return step, exact(step.loss), penalty
    counted = share > 0
    count = ranks.all_reduce(torch.tensor(step.count * counted))  # known here, so a GPU is not waited for
    own = [step.loss.detach() * share, penalty * share]
    own += [value.to(device) * float(counted) for value in step.sums.values()]
    shapes = [value.shape for value in own]
    flat = ranks.all_reduce(torch.cat([exact(value).reshape(-1) for value in own]))
    parts = flat.split([math.prod(shape) for shape in shapes])
    loss, penalty, *sums = (part.view(shape) for part, shape in zip(parts, shapes, strict=True))
    named = dict(zip(step.sums, sums, strict=True))
    return replace(step, sums=named, count=int(count)), loss, penalty


def lane_dims(model: nn.Module, task: Task, *, device: str, ranks: Ranks) -> list[int | None]:
    """Return, for each tensor of a model's hidden state, the dimension of parallel streams, or None.

    The dimensions are found by comparing a step with two streams and a step with three. The list is empty for
    a single process or a model without a hidden state.

    Raises SpecError if a state depends on the number of streams in any other way.
    """
    if ranks.world_size == 1 or not isinstance(task, CarriesState):
        return []

    def shapes(lanes: int) -> list[torch.Size]:
        _, state, *_ = model(torch.zeros(1, lanes, dtype=torch.int64, device=device), None)
        return [part.shape for part in tensors_of(state).values()]

    with torch.no_grad(), evaluating(model):
        of_two, of_three = shapes(2), shapes(3)
    found: list[int | None] = []
    for two, three in zip_longest(of_two, of_three, fillvalue=torch.Size()):
        sizes = [*zip_longest(two, three)]
        dims = [dim for dim, pair in enumerate(sizes) if pair == (2, 3)]
        others = [pair for pair in sizes if pair[0] != pair[1] and pair != (2, 3)]
        if others or len(dims) > 1:
            message = f"a hidden state has the shape {[*two]} for two streams and {[*three]} for three"
            raise SpecError(f"{message}, so it cannot be split across processes")
        found.append(dims[0] if dims else None)
    return found


@torch.inference_mode()
def measure_sharded(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    split: Split,
    *,
    ranks: Ranks,
    context: int,
    device: str,
    report: Callable[[int, int], None],
) -> Measured:
    """Measure a split like `measure`, with the work divided among processes.

    Batches of independent items are not divided, and their sums are added in batch order, so the result does
    not depend on the number of processes. For sequences, each process reads some of the parallel streams.
    """
    found: dict[int, Step] = {}
    total = 0
    batches = _own(task.eval_batches(dataset, split, device=device), task, ranks)
    report(0, 0)
    with closing(steps_of(model, task, batches, context=context, trusted=True)) as steps:
        for batch, step in steps:
            found[batch.index], total = replace(step, state=None, items=None), batch.total
            done = sum(each.count for each in found.values()) * ranks.world_size
            report(done, done * batch.total // (batch.index + 1))
    first = next(iter(found.values()), None)
    shapes = {name: [*value.shape] for name, value in first.sums.items()} if first else {}
    total, layout = ranks.broadcast(lambda: (total, shapes), tuple[int, dict[str, list[int]]])
    counts = ranks.all_reduce(_table({index: step.count for index, step in found.items()}, total))
    sums: dict[str, Tensor] = {}
    for name, shape in layout.items():
        if shape:
            parts = (step.sums[name].double().cpu() for step in found.values())
            sums[name] = ranks.all_reduce(sum(parts, torch.zeros(shape, dtype=torch.float64)))
        else:
            table = ranks.all_reduce(_table({index: step.sums[name] for index, step in found.items()}, total))
            sums[name] = torch.tensor(sum(table.tolist()), dtype=torch.float64)
    measured = finished(task, dataset, split, sums, int(counts.sum()))
    if not task.context:
        return measured
    carried = measure_sharded(
        model,
        task.with_context(0),
        dataset,
        split,
        ranks=ranks,
        context=context,
        device=device,
        report=report,
    )
    return measured.beside(carried)


def _own(batches: Iterator[Batch], task: Task, ranks: Ranks) -> Iterator[Batch]:
    """Yield this process's part of the evaluation batches."""
    for batch in batches:
        if isinstance(task, CarriesState):
            if batch.inputs.shape[1] >= ranks.world_size:
                own = {key: ranks.shard(getattr(batch, key), 1) for key in ("inputs", "targets")}
                yield replace(batch, **own)
            elif ranks.first:
                yield batch
        elif batch.index % ranks.world_size == ranks.rank:
            yield batch


def _table(numbers: Mapping[int, Tensor | int], total: int) -> Tensor:
    """Return a number for each batch of the split: 0 for batches of other processes."""
    table = torch.zeros(total, dtype=torch.float64)
    for index, number in numbers.items():
        table[index] = float(number)
    return table
