"""A trained model as a file of another format, written once it is proven to answer as the model does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from zoo.data.opening import default_split, open_fed
from zoo.errors import DataError, OptionError, OutputError, WeightsError, ZooError, cause
from zoo.files.atomic import atomic_write
from zoo.files.cards import Card
from zoo.files.exported import FEATURES
from zoo.inference.exportables import exportable
from zoo.inference.proof import Proof, drawn, prove
from zoo.interfaces import Exporter, Split, Task, make_task
from zoo.models.landmarks import feature_landmarks
from zoo.models.module_runner import ModuleRunner, runner_of
from zoo.models.runners import ProgramRunner
from zoo.models.windows import context_of
from zoo.registry.advice import advice
from zoo.registry.extras import needing_extra
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ExporterSpec

__all__ = ["Exporting", "export", "format_of", "usual_file"]

# Called with the work, the items done, their total, and their unit
Report = Callable[[str, int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporting:
    """What to export to, and what to prove it on.

    Attributes:
        out: the file.
        entry: the format.
        split: the split of the data; `test` by default, or `val` if there is no test split.
        data: options of the dataset, on top of those the model was trained with.
        drawn: prove on inputs drawn at random instead of a split.
        threads: to compute with.
    """

    out: Path
    entry: Entry[ExporterSpec]
    split: Split | None = None
    data: Mapping[str, Any] | None = None
    drawn: bool = False
    threads: int = 1


def format_of(out: str | Path | None, to: str | None, registry: Registry) -> Entry[ExporterSpec]:
    """Return the format to export to. Raises OptionError if there is none for the file's suffix."""
    if to is not None or out is None:
        entry = registry.exporter(to or "onnx")
        suffix = Path(out).suffix if out is not None else entry.spec.suffix
        if suffix != entry.spec.suffix:
            raise OptionError(f"a file of {entry.spec.name} ends in {entry.spec.suffix} (got {out})")
        return entry
    entry = registry.exporter_of(Path(out))
    if entry is None:
        hint = "`zoo list exporters` shows the formats"
        raise OptionError(f"no format has files that end in {Path(out).suffix!r} (got {out})", hint=hint)
    return entry


def usual_file(name: str, path: Path, entry: Entry[ExporterSpec], registry: Registry) -> Path:
    """Return the file to export weights to: beside them, or named as the published ones are."""
    suffix = entry.spec.suffix
    published = registry.names.matching(name, "weights", "architecture")
    return Path(f"{name.rpartition('/')[2]}{suffix}") if published else path.with_suffix(suffix)


def export(
    model: nn.Module,
    card: Card,
    registry: Registry,
    how: Exporting,
    *,
    report: Report = lambda what, done, total, unit: None,
) -> dict[str, Any]:
    """Write a model to a file, and return what was proven of it.

    Returns:
        `{file, format, bytes, split, items, total, unit, disagreements, largest_difference}`; split is None
        for random inputs.

    Raises:
        WeightsError: the model cannot be exported, or the program would answer otherwise.
        OutputError: the file exists, or cannot be written.
        DataError, OptionError, SpecError, UnknownName: the data does not exist or does not fit.
    """
    if how.out.exists():
        raise OutputError(f"{how.out} already exists", hint="remove it, or choose another file: --out")
    if not how.out.parent.is_dir():  # known now rather than after the proof
        raise OutputError(f"{how.out} cannot be written: there is no folder {how.out.parent}")
    task, entry = make_task(registry, card.task), registry.architecture(card.architecture)
    if entry.spec.unexportable:
        raise WeightsError(f"{card.architecture} cannot be exported: {entry.spec.unexportable}")
    landmarks = feature_landmarks(model, {**entry.spec.landmarks}, entry.name)
    made = exportable(model, card, task, landmarks=landmarks, context=context_of(card, registry))
    items, split = _items(card, task, registry, how)
    unit, doing = task.processor.unit(card.preprocess), f"exporting to {how.entry.spec.name}"
    report(doing, 0, 0, unit)
    hint = advice([how.entry.plugin, entry.plugin]) or None
    try:
        with needing_extra(how.entry, doing):
            exporter = how.entry.make({}, Exporter, flag="--to")  # pyright: ignore[reportAbstractUsage]
            content = exporter.write(made)
            program = exporter.start(content, made.signature, how.threads)
    except ZooError:
        raise
    except Exception as error:
        message = f"{card.architecture} cannot be exported to {how.entry.spec.name}: {cause(error)}"
        raise WeightsError(message, hint=hint) from error
    runner = ProgramRunner(program, made.signature, name=how.out.name, hint=hint)

    copied = copy.deepcopy(model).cpu()
    proof = prove(
        _runner(copied.float(), card, registry, runner),
        runner,
        task,
        items,
        exact=lambda: _runner(copy.deepcopy(copied).double(), card, registry, runner),
        unit=unit,
        report=partial(_plainly, report, unit),
    )
    _write(how.out, content)
    return _result(how, content, proof, split=split, unit=unit)


def _runner(module: nn.Module, card: Card, registry: Registry, program: ProgramRunner) -> ModuleRunner:
    """Return a module as a runner that gives what a program gives."""
    runner = runner_of(module, card, registry)
    return runner.with_features(FEATURES, pool=True) if FEATURES in program.outputs else runner


def _items(card: Card, task: Task, registry: Registry, how: Exporting) -> tuple[Any, Split | None]:
    """Return what to prove on, and its split. Raises as `open_fed` does, with a hint to do without."""
    if how.drawn:
        if how.split or how.data:
            raise OptionError("random inputs are no split of data: leave --split and --data out")
        return drawn(task, card.arguments), None
    try:
        _, fed = open_fed(card, task, registry, data=how.data)
    except DataError as error:
        hint = f"{error.hint}; or" if error.hint else "to do without the data:"
        raise DataError(str(error), hint=f"{hint} --drawn proves on random inputs") from error
    split = how.split or default_split(fed)
    return fed.split(split), split


def _plainly(report: Report, unit: str, done: int, total: int) -> None:
    report("proving", done, total, unit)


def _write(path: Path, content: bytes) -> None:
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None


def _result(
    how: Exporting, content: bytes, proof: Proof, *, split: Split | None, unit: str
) -> dict[str, Any]:
    return {
        "file": str(how.out),
        "format": how.entry.spec.name,
        "bytes": len(content),
        "split": split,
        "items": proof.items,
        "total": proof.total,
        "unit": unit,
        "disagreements": proof.disagreements,
        "largest_difference": proof.largest_difference,
    }
