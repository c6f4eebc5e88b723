"""The reference of docs/reference/plugins.md, made from the code."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType

import zoo
from zoo import interfaces, plugin, processors, testing
from zoo.cli import kit
from zoo.config import recipe, train_config
from zoo.files import exported, style
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
)
CLASSES = (
    *("Dataset", "Task", "Analyzer", "Metric", "LossFunction", "Exporter"),
    *(
        "LoadsPretrained",
        "FitsInputs",
        "HasLandmarks",
        "HasBoxes",
        "HasFiles",
        "ReadsBatches",
        "CarriesState",
        "HasViews",
    ),
    *("Processor", "TakesItems", "ReadsInputs", "Predicts", "Scores"),
    *("ItemTask", "ClassificationTask", "RegressionTask"),
    *("ItemProcessor", "ClassificationProcessor", "RegressionProcessor"),
    *("Tracker", "Draws", "Vocabulary"),
)
FUNCTIONS: tuple[tuple[ModuleType | type, tuple[str, ...]], ...] = (
    (zoo, ("seed_for", "tokenize")),
    (plugin, tuple(name for name in plugin.__all__ if inspect.isfunction(getattr(plugin, name)))),
    (plugin, ("View",)),
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


def reference() -> str:
    """Return one line for every hook, function and method, and for every field of a record."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield from (_signature(name, getattr(hookspecs, name)) for name in HOOKS)
    for module, names in RECORDS:
        for name in names:
            yield f"\n{name}"
            annotations = _annotations(getattr(module, name))
            for field in dataclasses.fields(getattr(module, name)):
                yield f"    {field.name}: {annotations[field.name]}{_default(field)}"
    for name in CLASSES:
        yield f"\n{name}"
        owner = interfaces if name in interfaces.__all__ else plugin
        for member, value in vars(getattr(owner, name)).items():
            if isinstance(value, property):
                yield f"    {member} -> {value.fget.__annotations__['return']}"
            elif inspect.isfunction(value) and not member.startswith("_"):
                yield f"    {_signature(member, value)}"
    yield ""
    for module, names in FUNCTIONS:
        place = "zoo.plugin.style" if module is style else module.__name__
        yield from (_signature(f"{place}.{name}", getattr(module, name)) for name in names)


def _signature(name: str, function: Callable[..., object]) -> str:
    quoted = re.sub(r"<function .*? at \w+>", "...", f"{name}{inspect.signature(function)}")
    return re.sub(r"""(: |-> )(['"])(.*?)\2(?=[,) ]|$)""", r"\1\3", quoted)  # annotations are strings


def _annotations(record: type) -> dict[str, str]:
    """Return the annotations of a record's fields as the source has them."""
    annotations: dict[str, str] = {}
    for class_ in record.__mro__[:-1]:  # without object
        (node,) = ast.parse(inspect.getsource(class_)).body
        for line in ast.walk(node):
            if isinstance(line, ast.AnnAssign):
                annotations[ast.unparse(line.target)] = ast.unparse(line.annotation)
    return annotations


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {field.default!r}"
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
        return f" = {type(value).__name__}()" if dataclasses.is_dataclass(value) else f" = {value!r}"
    return ""
