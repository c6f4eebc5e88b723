"""The reference of docs/reference/plugins.md, made from the code."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import msgspec

import zoo
from zoo import interfaces, plugin, processors, testing
from zoo.cli import kit
from zoo.config import options, recipe, train_config
from zoo.evaluation import calibration_error
from zoo.files import cards, exported, style
from zoo.registry import hookspecs, published, specs
from zoo.runs import tracking

HOOKS = [name for name in vars(hookspecs) if name.startswith("zoo_")]
RECORDS = (
    (
        specs,
        (
            "ArchitectureSpec",
            "Pretrained",
            "DatasetSpec",
            "AnalyzerSpec",
            "TaskSpec",
            "FieldsSpec",
            "OptimizerSpec",
            "ScheduleSpec",
            "AugmentationSpec",
            "MetricSpec",
            "TokenizerSpec",
            "CommandSpec",
            "ExporterSpec",
            "TrackerSpec",
        ),
    ),
    (train_config, ("TrainConfig",)),
    (recipe, ("Recipe",)),
    (published, ("WeightsSpec",)),
    (
        interfaces,
        (
            "Subject",
            "Reference",
            "Batch",
            "Step",
            "Analysis",
            "Exportable",
        ),
    ),
    (processors, ("InputReader", "Prediction")),
    (tracking, ("TrackedRun", "TrackedRow")),
    (exported, ("Port", "Signature", "Exported")),
    (cards, ("Card", "DatasetCard")),
    (calibration_error, ("Reliability",)),
)
CLASSES = (
    *("Dataset", "Task", "Analyzer", "Metric", "LossFunction", "Exporter"),
    *(
        "LoadsPretrained",
        "FitsInputs",
        "HasLandmarks",
        "HasBoxes",
        "HasFiles",
        "HasShards",
        "ReadsBatches",
        "CarriesState",
        "HasViews",
    ),
    *("Processor", "TakesItems", "ReadsInputs", "Predicts", "Scores", "WritesText"),
    *("ItemTask", "ClassificationTask", "RegressionTask"),
    *("ItemProcessor", "ClassificationProcessor", "RegressionProcessor"),
    *("Tracker", "Draws", "Vocabulary"),
)
FUNCTIONS: tuple[tuple[ModuleType | type, tuple[str, ...]], ...] = (
    (zoo, ("seed_for", "tokenize")),
    (plugin, tuple(name for name in plugin.__all__ if inspect.isfunction(getattr(plugin, name)))),
    (plugin, ("Draws", "View", "Vocabulary", "WeightsError", "Diverged", "SpecError", "UnknownName")),
    (options, ("convert_table", "validate")),
    (style, ("figure", "legend", "png", "shortened", "tidy")),
    (
        kit,
        (
            *("bold", "columns", "device_option", "dim", "echo", "options_of", "print_json"),
            *("print_paragraph", "print_section", "print_table", "print_title", "run"),
            *("standard_options", "training_command", "weights_argument"),
        ),
    ),
    (kit.Session, ("begin", "load", "working")),
    (testing, ("check", "contract", "shortfall")),
)
_MISSING = (dataclasses.MISSING, msgspec.NODEFAULT)
PLACES: dict[object, str] = {options: "zoo.plugin.options", style: "zoo.plugin.style"}


def reference() -> str:
    """Return one line for every hook, function and method, and for every field of a record."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield from (_signature(name, getattr(hookspecs, name)) for name in HOOKS)
    for module, names in RECORDS:
        for name in names:
            yield f"\n{name}"
            annotations = _annotations(getattr(module, name))
            for field in _fields(getattr(module, name)):
                yield f"    {field.name}: {annotations[field.name]}{_default(field)}"
            if name in plugin.__all__:
                yield from _methods(getattr(module, name))
    for name in CLASSES:
        yield f"\n{name}"
        yield from _methods(getattr(interfaces if name in interfaces.__all__ else plugin, name))
    yield ""
    yield from (f"zoo.plugin.{name} = {getattr(plugin, name)!r}" for name in ("IMAGE_SUFFIXES",))
    (program,) = re.findall(r"^Program = (.*)$", inspect.getsource(exported), re.M)
    yield f"zoo.plugin.Program = {program}"
    for module, names in FUNCTIONS:
        place = PLACES.get(module, module.__name__)
        yield from (_signature(f"{place}.{name}", getattr(module, name)) for name in names)


def _methods(class_: type) -> Iterator[str]:
    for member, value in vars(class_).items():
        if isinstance(value, property):
            yield f"    {member} -> {value.fget.__annotations__['return']}"
        elif inspect.isfunction(value) and not member.startswith("_"):
            yield f"    {_signature(member, value)}"


def _signature(name: str, function: Callable[..., object]) -> str:
    quoted = re.sub(r"<function .*? at \w+>", "...", f"{name}{inspect.signature(function)}")
    return re.sub(r"""(: |-> )(['"])(.*?)\2(?=[,) ]|$)""", r"\1\3", quoted)  # annotations are strings


def _annotations(record: type) -> dict[str, str]:
    """Return the annotations of a record's fields as the source has them."""
    annotations: dict[str, str] = {}
    for class_ in (each for each in record.__mro__ if each.__module__.startswith("zoo.")):
        (node,) = ast.parse(inspect.getsource(class_)).body
        for line in ast.walk(node):
            if isinstance(line, ast.AnnAssign):
                annotations[ast.unparse(line.target)] = ast.unparse(line.annotation)
    return annotations


def _fields(record: type) -> Sequence[Any]:
    struct = issubclass(record, msgspec.Struct)
    return msgspec.structs.fields(record) if struct else dataclasses.fields(record)


def _default(field: Any) -> str:
    if field.default not in _MISSING:
        value = field.default
        return f" = {type(value).__name__}()" if isinstance(value, msgspec.Struct) else f" = {value!r}"
    if field.default_factory not in _MISSING:
        value = field.default_factory()
        return f" = {type(value).__name__}()" if dataclasses.is_dataclass(value) else f" = {value!r}"
    return ""
