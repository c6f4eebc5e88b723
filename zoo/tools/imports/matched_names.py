"""Map the tensor names of a model to those of a state dict: by name, or by order and shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal

from zoo.errors import WeightsError

Shape = Sequence[int]
# What wrappers put in front of all names
_PREFIXES = ("module.", "model.", "_orig_mod.")
# The most wrappers in each other; a forged name may have a million prefixes
_WRAPPERS = 10
# What torch calls the tensors of a layer: two of one shape in the wrong order would load without an error
_KINDS = {"weight", "bias", "running_mean", "running_var"}
# Counters of BatchNorm, which no prediction depends on, and which old files lack
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """A difference between a model and a file: a tensor of one of them, or one of each.

    Attributes:
        problem: `missing` from the file, `extra` in it, or of a different `shape` or `order`.
        shape: the shape in the model.
        found: the shape in the file.
    """

    problem: Literal["missing", "extra", "shape", "order"]
    model: str = ""
    shape: Shape = ()
    file: str = ""
    found: Shape = ()


class Mismatch(WeightsError):
    """The tensors of a file are not those of a model."""

    def __init__(self, message: str, *, rows: Sequence[TensorDifference], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.rows = rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The tensors of a file that match those of a model.

    Attributes:
        names: for each name in the model, the name in the file; counters of BatchNorm may be missing.
        by: whether the names agree, apart from prefixes, or only the order and the shapes.
        unused: names in the file that the model does not need.
    """

    names: dict[str, str]
    by: Literal["name", "order"]
    unused: list[str] = field(default_factory=list[str])


def match(
    wanted: Mapping[str, Shape], given: Mapping[str, Shape], *, tied: Mapping[str, str], ordered: bool
) -> Matched:
    """Return which tensor of a file is which tensor of a model.

    If the names agree, tensors are matched by name. Otherwise, they are matched in the order of definition,
    if their shapes agree one by one and the names do not contradict each other.

    Args:
        wanted: the shapes of the model's tensors, in the order of definition.
        given: the shapes of the file's tensors.
        tied: maps each name in the model that shares another tensor's storage to the name of that tensor; a
            file may lack it.
        ordered: whether `given` is in the order of definition.

    Raises Mismatch if the tensors do not agree.
    """
    bare = _bare(given)
    ours = {name: shape for name, shape in wanted.items() if not name.endswith(_COUNTER)}
    theirs = {name: given[full] for name, full in bare.items() if not name.endswith(_COUNTER)}
    needed = {name: shape for name, shape in ours.items() if name in theirs or name not in tied}
    counters, unused = _counters(wanted, bare)
    if needed.keys() == theirs.keys() and all([*theirs[name]] == [*needed[name]] for name in needed):
        names = {name: bare[name if name in theirs else tied[name]] for name in ours}
        return Matched(names=names | counters, by="name", unused=unused)
    alone = {name: shape for name, shape in ours.items() if name not in tied}
    for some in (ours, alone) if ordered else ():
        if _agree(some, theirs):
            names = {name: bare[other] for name, other in zip(some, theirs, strict=True)}
            names |= {name: names[tied[name]] for name in ours if name not in names}
            return Matched(names=names | counters, by="order", unused=unused)
    held, needs = count_text(given), count_text(wanted)
    held = f"the file has {held}, and the model has {'as many' if needs == held else needs}"
    raise _mismatch(ours, theirs, held=held, ordered=ordered)


def count_text(names: Collection[str]) -> str:
    """Return the number of tensors as `97 tensors and 19 BatchNorm counters`, or without counters."""
    counters = sum(name.endswith(_COUNTER) for name in names)
    return f"{len(names) - counters} tensors" + (f" and {counters} BatchNorm counters" if counters else "")


def shape_text(shape: Shape) -> str:
    """Return a shape as `64×10`; a single number has the shape `()`."""
    return "×".join(map(str, shape)) or "()"


def _bare(names: Mapping[str, Shape]) -> dict[str, str]:
    """Map names without the prefixes of wrappers to the names in the file."""
    bare = {name.replace("._orig_mod.", "."): name for name in names}
    for _ in range(_WRAPPERS):
        prefix = next((each for each in _PREFIXES if all(name.startswith(each) for name in bare)), "")
        bare = {name.removeprefix(prefix): full for name, full in bare.items()}
    return bare if len(bare) == len(names) else {name: name for name in names}


def _counters(wanted: Mapping[str, Shape], bare: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Map the counters of BatchNorm, and list those of the file that the model does not need."""
    ours, theirs = ([name for name in names if name.endswith(_COUNTER)] for names in (wanted, bare))
    if len(ours) == len(theirs):
        shared = {*ours} == {*theirs}
        return {one: bare[one if shared else two] for one, two in zip(ours, theirs, strict=True)}, []
    return {}, [bare[name] for name in theirs]


def _agree(ours: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> bool:
    """Return whether the shapes agree one by one, and no name contradicts."""
    return len(ours) == len(theirs) and all(
        [*ours[name]] == [*theirs[other]] and not _contradict(name, other, ours, theirs)
        for name, other in zip(ours, theirs, strict=True)
    )


def _contradict(name: str, other: str, ours: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> bool:
    """Return whether names show that two tensors of one shape are different ones."""
    elsewhere = name != other and (name in theirs or other in ours)
    kind, other_kind = (each.rpartition(".")[2] for each in (name, other))
    return elsewhere or (kind != other_kind and {kind, other_kind} <= _KINDS)


def _mismatch(
    ours: Mapping[str, Shape], theirs: Mapping[str, Shape], *, held: str, ordered: bool
) -> Mismatch:
    """Return the error for tensors that do not agree, by name if most names do, and by order otherwise."""
    common = ours.keys() & theirs.keys()
    rows = _by_name(ours, theirs) if 2 * len(common) >= len(ours) or not ordered else _by_order(ours, theirs)
    hint = None
    if not ordered and sorted(map(tuple, ours.values())) == sorted(map(tuple, theirs.values())):
        hint = "a safetensors file does not preserve the order of tensors, so zoo matches them only by name"
    counts = {problem: sum(row.problem == problem for row in rows) for problem in ("missing", "extra")}
    words = [f"{count} {problem}" for problem, count in counts.items() if count]
    words += [f"{count} of another shape" for count in [sum(row.problem == "shape" for row in rows)] if count]
    words += [f"{count} in another order" for count in [sum(row.problem == "order" for row in rows)] if count]
    return Mismatch(f"{held}: {', '.join(words)}", rows=rows, hint=hint)


def _by_name(ours: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> list[TensorDifference]:
    rows = [
        TensorDifference("shape" if name in theirs else "missing", name, shape, *_found(name, theirs))
        for name, shape in ours.items()
        if [*theirs.get(name, (-1,))] != [*shape]
    ]
    return rows + [
        TensorDifference("extra", file=name, found=theirs[name]) for name in theirs if name not in ours
    ]


def _found(name: str, theirs: Mapping[str, Shape]) -> tuple[str, Shape]:
    return (name, theirs[name]) if name in theirs else ("", ())


def _by_order(ours: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> list[TensorDifference]:
    """Return the differences between two sequences of shapes."""
    left, right = [*ours.items()], [*theirs.items()]
    shapes = [[tuple(shape) for _, shape in side] for side in (left, right)]
    rows: list[TensorDifference] = []
    for tag, a, b, c, d in SequenceMatcher(None, *shapes, autojunk=False).get_opcodes():
        pairs = zip(left[a:b], right[c:d], strict=False)
        if tag == "equal":
            wrong = [(one, two) for one, two in pairs if _contradict(one[0], two[0], ours, theirs)]
            rows += [TensorDifference("order", *one, *two) for one, two in wrong]
            continue
        rows += [TensorDifference("shape", *one, *two) for one, two in pairs]
        shared = min(b - a, d - c)
        rows += [TensorDifference("missing", *one) for one in left[a + shared : b]]
        rows += [TensorDifference("extra", file=name, found=shape) for name, shape in right[c + shared : d]]
    return rows
