"""Export a trained model to another format; the file is written only if its predictions match the model's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from zoo.data.opening import default_split, open_fed
from zoo.errors import DataError, OptionError, WeightsError, ZooError, cause
from zoo.files.atomic import write_output
from zoo.files.cards import Card
from zoo.files.exported import FEATURES
from zoo.files.folders import require_new_file
from zoo.interfaces import Exportable, Exporter, Split, Task, make_task
from zoo.models.landmarks import feature_landmarks, with_landmarks
from zoo.models.module_runner import runner_of
from zoo.models.runners import ProgramRunner, Runner
from zoo.registry.advice import advice
from zoo.registry.extras import needing_extra
from zoo.registry.registry import Registry
from zoo.tools.export.exportable import CLASS_MAPS, exportable
from zoo.tools.export.fresh_process import fresh_process
from zoo.tools.export.program_check import ITEMS, TOLERANCE, Verification, synthetic_items, verify
from zoo.tools.export.pt2_writer import program_of
from zoo.tools.export.traced_program import silently

if TYPE_CHECKING:
    from zoo.api.model import Model

# Called with the work, the items done, their total, and their unit
Report = Callable[[str, int, int, str], None]
# Synthetic items that `try_export` compares, and with which tolerance: so few add up to little rounding
_FEW = 64
_TOLERANCE_OF_FEW = 1e-4


def export(
    model: Model,
    registry: Registry,
    *,
    out: str | Path | None = None,
    to: str | None = None,
    options: Mapping[str, Any] | None = None,
    split: Split | None = None,
    data: Mapping[str, Any] | None = None,
    synthetic: bool = False,
    report: Report = lambda what, done, total, unit: None,
) -> dict[str, Any]:
    """Write a model to a file; `zoo.Model.export` describes the arguments, the result and the errors."""
    module, card = model.module, model.card
    target = _format_of(out, to, registry)
    path = Path(out) if out is not None else _usual_file(model, target.spec.suffix, registry)
    require_new_file(path)
    doing = f"exporting to {target.spec.name}"
    with needing_extra(target, doing):
        own = target.check(options or {}, flag="--option")
    task, entry = make_task(registry, card.task), registry.architecture(card.architecture)
    if entry.spec.unexportable:
        raise WeightsError(f"{card.architecture} cannot be exported: {entry.spec.unexportable}")
    made = _exportable(module, card, registry, task, own)
    if synthetic:
        if split or data:
            raise OptionError("omit the split and data options: synthetic inputs replace the data")
        items = synthetic_items(task, card.arguments, ITEMS)
    else:
        items, split = _fed(card, task, registry, split, data)
    unit = task.processor.unit(card.preprocess)
    report(doing, 0, 0, unit)
    hint = advice([target.plugin, entry.plugin]) or None

    def progress(done: int, total: int) -> None:
        report("verifying", done, total, unit)

    with fresh_process(target.spec, registry, torch.get_num_threads()) as start:
        try:
            with needing_extra(target, doing):
                content = _written(target, own, made, hint)
                program = start(content, made.signature)
        except ZooError:
            raise
        except Exception as error:
            message = f"{card.architecture} cannot be exported to {target.spec.name}: {cause(error)}"
            raise WeightsError(message, hint=hint) from error
        runner = ProgramRunner(program, made.signature, name=path.name, hint=hint)
        found = _verified(module, card, registry, runner, items, report=progress)
    write_output(path, content)
    return {
        "file": str(path),
        "format": target.spec.name,
        "options": own,
        "bytes": len(content),
        "split": split,
        "items": found.items,
        "total": found.total,
        "unit": unit,
        "disagreements": found.disagreements,
        "largest_difference": found.largest_difference,
    }


def try_export(module: nn.Module, card: Card, registry: Registry) -> str:
    """Make a program with torch.export, regardless of the spec, and describe errors in its outputs.

    Outputs are compared on a few synthetic inputs; the description is empty if they match. No file is
    written.

    Raises WeightsError if the model cannot be exported, and torch's errors if it cannot be traced.
    """
    task = make_task(registry, card.task)
    made = _exportable(module, card, registry, task, {})
    program = program_of(made.trace().module(), made.signature)
    runner = ProgramRunner(program, made.signature, name="the program")
    items = synthetic_items(task, card.arguments, _FEW)
    try:
        _verified(module, card, registry, runner, items, tolerance=_TOLERANCE_OF_FEW)
    except WeightsError as error:
        return str(error)
    return ""


def write(exporter: Exporter, model: Exportable) -> tuple[bytes, list[str]]:
    """Return the bytes that an exporter writes, and the names of changed modes, parameters and buffers."""
    before = _state(model.module)
    with silently():
        content = exporter.write(model)
    if not isinstance(content, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"write must return bytes (got a {type(content).__name__})")
    after = _state(model.module)
    return content, [name for name in before | after if before.get(name) != after.get(name)]


def _state(module: nn.Module) -> dict[str, object]:
    """Return everything that an exporter must leave unchanged, by name."""
    state: dict[str, object] = {
        f"the mode of {name or 'the model'}": part.training for name, part in module.named_modules()
    }
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        content = tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data
        state[name] = (tensor.requires_grad, tensor.dtype, tensor.shape, sha256(content).digest())
    return state


def _written(target: Any, own: Mapping[str, Any], model: Exportable, hint: str | None) -> bytes:
    """Return the bytes that an exporter writes. Raises WeightsError if it changes the model."""
    exporter = target.make(own, Exporter, flag="--option")  # pyright: ignore[reportAbstractUsage]
    content, changed = write(exporter, model)
    if changed:
        what = f"its `write` method changed {', '.join(changed[:3])} in the model"
        raise WeightsError(f"the exporter {target.name} cannot be used: {what}", hint=hint)
    return content


def _format_of(out: str | Path | None, to: str | None, registry: Registry) -> Any:
    """Return the entry of the format. Raises OptionError if no format has the file's suffix."""
    if to is not None or out is None:
        entry = registry.exporter(to or "onnx")
        suffix = Path(out).suffix if out is not None else entry.spec.suffix
        if suffix != entry.spec.suffix:
            raise OptionError(f"{entry.spec.name} files must end in {entry.spec.suffix} (got {out})")
        return entry
    entry = registry.exporter_of(Path(out))
    if entry is None:
        hint = "`zoo list exporters` lists the formats"
        raise OptionError(f"no export format has the suffix {Path(out).suffix!r} (got {out})", hint=hint)
    return entry


def _usual_file(model: Model, suffix: str, registry: Registry) -> Path:
    """Return the default output file: beside the weights, or named after published weights."""
    published = registry.names.matching(model.name, "weights", "architecture")
    return Path(f"{model.name.rpartition('/')[2]}{suffix}") if published else model.path.with_suffix(suffix)


def _exportable(
    module: nn.Module, card: Card, registry: Registry, task: Task, own: Mapping[str, Any]
) -> Exportable:
    """Return a model for an exporter, whose options `own` the metadata records."""
    entry = registry.architecture(card.architecture)
    found = with_landmarks(entry.spec, module).landmarks
    landmarks = feature_landmarks(module, {**found}, entry.name)
    if mean_head := found.get("mean_head"):
        landmarks["mean_head"] = mean_head
    context = entry.spec.context(card.arguments) or task.as_trained(card.training).context
    return exportable(module, card, task, landmarks=landmarks, context=context, options=own)


def _fed(
    card: Card, task: Task, registry: Registry, split: Split | None, data: Mapping[str, Any] | None
) -> tuple[Any, Split]:
    """Return the items of a split and its name.

    Raises the errors of `open_fed`, with a hint about --synthetic.
    """
    try:
        _, fed = open_fed(card, task, registry, data=data)
    except DataError as error:
        hint = f"{error.hint}; or" if error.hint else "if you do not have the data,"
        raise DataError(str(error), hint=f"{hint} use --synthetic to verify on random inputs") from error
    split = split or default_split(fed)
    return fed.split(split), split


def _verified(
    module: nn.Module,
    card: Card,
    registry: Registry,
    program: ProgramRunner,
    items: Any,
    *,
    tolerance: float = TOLERANCE,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Compare a program with the module that it was exported from."""
    maps = CLASS_MAPS in program.outputs

    def running(module: nn.Module) -> Runner:
        runner = runner_of(module, card, registry)
        return runner.with_features(FEATURES, pool=not maps) if FEATURES in program.outputs else runner

    copied, task = copy.deepcopy(module).cpu(), make_task(registry, card.task)
    spec = registry.architecture(card.architecture).spec
    path = with_landmarks(spec, module).landmarks.get("mean_head", "")
    head: Any = copied.get_submodule(path) if maps else None
    return verify(
        running(copied.float()),
        program,
        task,
        items,
        exact=lambda: running(copy.deepcopy(copied).double()),
        unit=task.processor.unit(card.preprocess),
        head=head.weight.detach().float().numpy() if maps else None,
        tolerance=tolerance,
        report=report,
    )
