"""docs/reference/python.md, made from the code: the functions and classes of `import zoo`.

python -m tests.docs.python_page > docs/reference/python.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import zoo
from tests.docs import errors_page
from zoo.analysis.findings import Findings
from zoo.api.results import Features, Predictions, Texts
from zoo.config.recipe import Recipe
from zoo.data.vocabulary import Vocabulary
from zoo.interfaces import Dataset, Task
from zoo.runs.result import Result
from zoo.runs.run_table import RunList
from zoo.runs.training_plan import TrainingPlan
from zoo.testing import Outcome
from zoo.tools.compare.comparison import Comparison
from zoo.tools.data_check.data_check import DataCheck
from zoo.tools.data_check.training_batch import TrainingBatch
from zoo.tools.lr_find.lr_finder import Curve, Suggestions
from zoo.tools.share.model_card import ModelCard
from zoo.tools.sweep.seed_runs import SeedResult
from zoo.tools.sweep.sweep_runs import Sweep

START = """\
<!-- Generated: python -m tests.docs.python_page > docs/reference/python.md -->

# Python

This page lists the functions and classes in the module `zoo`, with their docstrings.
[Plugins](plugins.md) lists the modules that plugins may import.

```python
import zoo

run = zoo.train("lstm", "stdlib", epochs=1, bptt=48, model={"hidden_size": 64}, run="runs/first")
print(run.history[-1]["val"], run.model.evaluate("test")["metrics"])
```

`import zoo` does not import torch and does not change any settings of the process. Errors are subclasses
of `zoo.ZooError`; their `hint` suggests a next step. Warnings are of class `zoo.ZooWarning`.
`progress=False` turns off progress output. Pass training options as keyword arguments (`epochs=1`), and
the options of a model, a dataset or an analyzer as dictionaries (`model=`, `data=`, `options=`). In
signatures, a `Count` is an integer from 1 to 100,000, a `Probability` is a number from 0 to 1, a `Split`
is `train`, `val` or `test`, and a `PrecisionName` is `auto`, `fp32`, `bf16` or `fp16`.
"""
AS_PYTHON = {
    "list": (
        "zoo.list_models",
        "zoo.list_datasets",
        "zoo.list_analyzers",
        "zoo.list_recipes",
        "zoo.list_weights",
    ),
    "plugins": ("zoo.list_plugins",),
    "train": ("zoo.train", "zoo.train_seeds"),
    "resume": ("zoo.resume",),
    "runs": ("zoo.list_runs", "zoo.diff_runs", "zoo.plot_runs", "zoo.report_runs", "zoo.prune_runs"),
    "lr-find": ("zoo.lr_find",),
    "sweep": ("zoo.sweep",),
    "eval": ("zoo.Model.evaluate",),
    "compare": ("zoo.compare",),
    "data": ("zoo.check_data",),
    "predict": ("zoo.Model.predict",),
    "embed": ("zoo.Model.features",),
    "sample": ("zoo.Model.sample",),
    "analyze": ("zoo.Model.analyze",),
    "export": ("zoo.Model.export",),
    "verify": ("zoo.verify",),
    "reproduce": ("zoo.reproduce",),
    "card": ("zoo.card",),
    "import": ("zoo.import_weights",),
    "publish": ("zoo.publish",),
    "push": ("zoo.push",),
    "remote": ("zoo.add_remote", "zoo.list_remotes", "zoo.remove_remote"),
    "calibrate": ("zoo.calibrate",),
    "inspect": ("zoo.load(WEIGHTS).card",),
    "cache": ("zoo.list_cache", "zoo.clear_cache"),
    "check": ("zoo.check",),
    **dict.fromkeys(("show", "serve", "track", "completion", "new-plugin"), ()),
}
"""What does in Python what a command does; nothing for those that are for the command line alone."""

TABLE = """\
## Commands in Python

Each function or method accepts the same arguments as its command, with the same defaults. In the table,
`model` is the object that `zoo.load(WEIGHTS)` returns.

| command | in Python |
|---|---|
"""
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "Find": (
        "list_models",
        "list_datasets",
        "list_analyzers",
        "list_recipes",
        "list_weights",
        "list_plugins",
    ),
    "Train": ("train", "resume", "lr_find", "train_seeds", "sweep"),
    "Runs": ("list_runs", "diff_runs", "plot_runs", "report_runs", "prune_runs"),
    "Statistics": ("compare", "calibrate"),
    "Data": ("check_data", "training_batch"),
    "Load and build": ("load", "create_model", "open_dataset", "import_weights"),
    "Verify and reproduce": ("verify", "reproduce"),
    "Share": ("card", "publish", "push", "add_remote", "list_remotes", "remove_remote"),
    "The cache": ("list_cache", "clear_cache"),
    "Check a plugin": ("check",),
    "Small helpers": ("seed_for", "tokenize"),
}
CLASSES = ("Model", "Run")
_WRAPPED = ("fget", "func", "__func__")  # of properties, cached properties and class methods
RETURNED = (
    Predictions,
    Features,
    Texts,
    Recipe,
    TrainingPlan,
    Result,
    RunList,
    Findings,
    Curve,
    Suggestions,
    SeedResult,
    Sweep,
    Comparison,
    ModelCard,
    DataCheck,
    TrainingBatch,
    Vocabulary,
    Dataset,
    Task,
    Outcome,
)
"""Classes of what functions and properties return, besides those two."""

LISTED: dict[type, str] = {zoo.TrainConfig: "the [training options](options.md#training-options)"}
"""Classes whose fields are on another page."""

RETURNED_START = """\
## Returned classes

This section lists the classes that these functions return, with their fields, properties and methods. To
write a `Dataset` or a `Task`, see [Write a plugin](../how-to/write-a-plugin.md).
"""
FOR_PLUGINS = ("Registry", "TrainConfig")
SPECS = (
    *("ArchitectureSpec", "DatasetSpec", "AnalyzerSpec", "TaskSpec", "FieldsSpec", "CommandSpec"),
    *(
        "OptimizerSpec",
        "ScheduleSpec",
        "AugmentationSpec",
        "MetricSpec",
        "TokenizerSpec",
        "ExporterSpec",
        "TrackerSpec",
        "WeightsSpec",
        "Pretrained",
    ),
)
SPECS_START = """\
## For plugins

`zoo.hookimpl` marks a function as a hook implementation, and hooks return specs. [Hooks](hooks.md) lists
the fields of each spec. `zoo.__version__` is the version of zoo as a string.
"""
ERRORS_START = """\
## Errors

Every error is a `zoo.ZooError`. Its message is one sentence; its `hint` suggests a next step, or is
None. `kind` is the name of the error in `--json` output, and `exit_code` is the exit code of the
command. [Errors and exit codes](errors.md) explains when each error is raised. All warnings are of class
`zoo.ZooWarning`.

"""


def page() -> str:
    """Return the whole page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield START
    yield TABLE + "".join(_row(command, names) for command, names in AS_PYTHON.items())
    for title, names in FUNCTIONS.items():
        yield f"## {title}\n"
        for name in names:
            yield from _function(f"zoo.{name}", getattr(zoo, name))
    for name in CLASSES:
        owner = getattr(zoo, name)
        yield f"## `zoo.{name}`\n\n{_prose(inspect.getdoc(owner) or '')}"
        for member, value in vars(owner).items():
            if not member.startswith("_"):
                yield from _member(f"{name.lower()}.{member}", value)
    yield RETURNED_START
    for owner in RETURNED:
        yield from _class(f"zoo.{owner.__name__}" if owner.__name__ in zoo.__all__ else owner.__name__, owner)
    yield SPECS_START
    yield "".join(f"- `zoo.{name}`: {_first(getattr(zoo, name))}\n" for name in SPECS)
    for name in FOR_PLUGINS:
        yield from _class(f"zoo.{name}", getattr(zoo, name))
    yield ERRORS_START + "".join(map(_error, errors_page.classes()))


def _row(command: str, names: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{name.replace('zoo.Model.', 'model.')}`" for name in names)
    return f"| `zoo {command}` | {shown or 'only on the command line'} |\n"


def _class(name: str, owner: type) -> Iterator[str]:
    """Yield a class in short: its docstring, its fields, then its properties and methods."""
    documented = inspect.getdoc(owner) or ""
    yield f"### `{name}`\n\n{_prose(documented.split('Attributes:')[0] if owner in LISTED else documented)}"
    fields = inspect.get_annotations(owner) if dataclasses.is_dataclass(owner) else {}
    if owner in LISTED:
        yield f"The fields are {LISTED[owner]}.\n"
    elif fields:
        yield f"Fields: {', '.join(f'`{field}: {_type(type_)}`' for field, type_ in fields.items())}.\n"
    lines: list[str] = []
    for member, value in vars(owner).items():
        if not member.startswith("_") and member not in fields:
            function = next(filter(None, (getattr(value, key, None) for key in _WRAPPED)), value)
            if inspect.isfunction(function):
                called = inspect.isfunction(value) or isinstance(value, classmethod)
                lines.append(f"- `{member}{_arguments(function) if called else ''}`: {_first(function)}\n")
    if lines:
        yield "Properties and methods:\n\n" + "".join(lines)


def _type(annotation: Any) -> str:
    """Return a type as it is written, without its bounds."""
    annotation = annotation.__origin__ if hasattr(annotation, "__metadata__") else annotation
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.replace("typing.", "")


def _arguments(function: Callable[..., Any]) -> str:
    """Return the names and defaults of a function's parameters, in parentheses."""
    parameters = [*inspect.signature(function).parameters.values()]
    bare = [each.replace(annotation=each.empty) for each in parameters if each.name not in ("self", "cls")]
    return str(inspect.Signature(bare))


def _first(documented: Any) -> str:
    """Return the first sentence of a docstring."""
    return _joined((inspect.getdoc(documented) or "").split("\n\n")[0])


def _error(owner: type[zoo.ZooError]) -> str:
    name = owner.__name__ if owner.__name__ in zoo.__all__ else f"errors.{owner.__name__}"
    return f"- `zoo.{name}`: {_first(owner)}\n"


def _member(name: str, value: Any) -> Iterator[str]:
    if inspect.isfunction(value):
        yield from _function(name, value)
    else:  # a property
        yield f"### `{name}`\n\n{_prose(inspect.getdoc(value) or '')}"


def _function(name: str, function: Callable[..., Any]) -> Iterator[str]:
    yield f"### `{name}`\n\n```text\n{_signature(name, function)}\n```\n"
    yield _prose(inspect.getdoc(function) or "")


def _signature(name: str, function: Callable[..., Any]) -> str:
    """Return a signature, a line for each parameter if it is long."""
    signature = inspect.signature(function)
    words: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.name != "self":
            keyword = parameter.kind is parameter.KEYWORD_ONLY
            words += ["*"] if keyword and not any(word.startswith("*") for word in words) else []
            words.append(_parameter(parameter))
    line = f"{name}({', '.join(words)}) -> {signature.return_annotation}"
    if len(line) <= 110:
        return line
    body = "".join(f"    {word},\n" for word in words)
    return f"{name}(\n{body}) -> {signature.return_annotation}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{stars}{parameter.name}: {parameter.annotation}{default}"


def _prose(text: str) -> str:
    """Return a docstring as Markdown: its sections become lists, an example a block of code."""
    code = r"\n*::\n\n((?:    .*\n?|\n)+)"
    text = re.sub(code, lambda match: f"\n\n```python\n{inspect.cleandoc(match[1])}\n```\n\n", text)
    text = re.sub(r"^(>>> .*(?:\n.+)*)", r"```text\n\1\n```", text, flags=re.M)
    parts = re.split(r"^(Args|Attributes|Returns|Raises):\n", text, flags=re.M)
    lines = [parts[0].strip()]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        entries = re.findall(r"^    ([\w, ]+): (.*(?:\n {8}.*)*)", body, re.M) if title != "Returns" else []
        lines.append(f"{title}:" if entries else f"{title}: {_joined(body)}")
        lines.append("\n".join(f"- `{name}`: {_joined(meaning)}" for name, meaning in entries))
    return "\n\n".join(filter(None, lines)) + "\n"


def _joined(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


if __name__ == "__main__":
    print(page(), end="")
