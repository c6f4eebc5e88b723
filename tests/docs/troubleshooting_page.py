"""docs/how-to/troubleshooting.md, made from the errors in the source that have a hint.

python -m tests.docs.troubleshooting_page > docs/how-to/troubleshooting.md
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zoo import errors
from zoo.files import run_files

ROOT = Path(__file__).parents[2]
START = """\
<!-- Generated: python -m tests.docs.troubleshooting_page > docs/how-to/troubleshooting.md -->

# Troubleshooting

This page starts with the ten most common problems. The tables below list the error messages that have a
hint, grouped by topic. To find a message, search for a part of the message that does not contain your
own names or numbers. In the tables, words in capitals stand for names and numbers.

zoo prints each error on one line, with the hint on the next line. `zoo --debug COMMAND` also prints the
traceback. [Errors and exit codes](../reference/errors.md) lists the error classes.

## The most common problems

### Out of memory (OOM)

Lower `--batch-size`. To keep the effective batch size, use `--grad-accum-steps 2`, which accumulates the
gradients of two batches for each optimizer step. On a GPU, `--precision bf16` uses less memory. To
continue the run with smaller batches, repeat the command with a lower `--batch-size` and with `--resume
--accept-changes`. See [Mixed precision, GPUs and multiple processes](mixed-precision.md).

### The loss is NaN: "training diverged"

The learning rate is probably too high for this model and data. Lower `--lr`, add `--clip-grad-norm 1`, or
use [`zoo lr-find`](learning-rate.md) to find a learning rate. If you use `--precision fp16`, try `bf16`.
zoo never saves non-finite weights, so the checkpoint is from before training diverged. To continue from
this checkpoint, repeat the command with a lower learning rate: `zoo train NAME --lr 0.01 --run RUN
--resume --accept-changes`.

### "unknown recipe", "unknown dataset", "unknown weights"

Look up the name with `zoo list`, `zoo list datasets` or `zoo list weights`. zoo treats a bare word as a
name; a path must contain a separator or a suffix: `./demo`, `runs/demo`, `demo.safetensors`. If multiple
plugins use the same name, write `plugin/name`.

### A plugin is missing

`zoo plugins` lists each plugin with its status, and `zoo plugins --traceback NAME` shows why a plugin
failed to load. If your plugin is not in the list, install it in the environment where zoo is installed
(`pip install -e .`), check that `$ZOO_PLUGINS` does not exclude it, or pass its file with `--plugin
FILE`.

### "RUN is in use"

Another process is training in the same run directory. Wait for it to finish, or choose a different
`--run`. The lock of a killed run is released automatically, so `zoo resume RUN` can continue the run. See
[Keep and resume runs](runs.md).

### Data is missing

zoo looks for data files in `--data root=FOLDER`, in `$ZOO_DATA` and in its cache. If zoo does not find
the files, it downloads them, unless `$ZOO_OFFLINE` is set. See [Data, downloads and offline
use](data.md).

### Results differ between machines

The rounding of floating-point sums depends on the number of threads, the kind of processor and the
library versions. Set `--threads`, and use `zoo inspect WEIGHTS` to compare the environments in which the
two models were trained. On a GPU, add `--deterministic`.

### Training is slow

zoo uses one thread for each core that is idle when training starts. If other programs start later, a
single busy core slows down every step. To leave cores free for other programs, use fewer threads, for
example `--threads 2`. See [Train on a busy machine](busy-machine.md). If `zoo` itself is slow to start,
check the import times that `zoo plugins` shows.

### A package is not installed

Exporting, serving and other features require extras. To install an extra, run the command from the hint
in the environment where zoo is installed.

### A script needs to detect errors

Use `--json`, which prints `{"error", "kind", "hint"}`, or the [exit
code](../reference/errors.md#exit-codes): 1 for errors, 2 for usage errors, and 3 if training diverged.
"""
GROUPS = {
    "Names, options and plugins": (
        *("zoo/registry", "zoo/config", "zoo/cli", "zoo/api", "zoo/testing", "zoo/tools/new_plugin"),
    ),
    "Data": ("zoo/data", "zoo/files", "plugins/zoo_images", "plugins/zoo_text"),
    "Training": (
        "zoo/training",
        "zoo/distributed",
        "zoo/models",
        "zoo/tools/lr_find",
        "plugins/zoo_convnet",
        "plugins/zoo_analyzers",
        "plugins/zoo_optim",
        "plugins/zoo_timm",
    ),
    "Runs": ("zoo/runs", "zoo/api/training.py", "zoo/api/run.py", "zoo/tools/track"),
    "Weights": (
        *("zoo/files/cards.py", "zoo/files/container.py", "zoo/models/weights.py"),
        *("zoo/registry/weights_files.py", "zoo/api/model.py"),
    ),
    "Evaluating, predicting and sampling": (
        *("zoo/inference", "zoo/evaluation", "zoo/api/results.py", "zoo/cli/rows.py", "zoo/cli/embed.py"),
        *("zoo/files/folders.py", "zoo/processors.py"),
    ),
    "Looking inside": (
        *("zoo/analysis", "zoo/models/landmarks.py", "zoo/models/features.py", "plugins/zoo_cam"),
        *("plugins/zoo_analyzers/confusion.py", "plugins/zoo_analyzers/dynamic.py"),
    ),
    "Exporting": (
        *("zoo/tools/export", "zoo/files/exported.py", "zoo/registry/exported_files.py"),
        *("zoo/models/runners.py", "zoo/inference/signature_check.py"),
    ),
    "Serving": ("zoo/tools/serve",),
    "Sweeps": ("zoo/tools/sweep",),
    "Statistics": ("zoo/tools/compare", "zoo/tools/calibrate", "zoo/tools/data_check"),
    "Importing": ("zoo/tools/imports",),
    "Sharing": (
        *("zoo/tools/share", "zoo/tools/compare/attestations.py", "zoo/files/signatures.py"),
        *("zoo/registry/remotes.py", "zoo/registry/zoo_index.py", "zoo/registry/index_checks.py"),
        *("zoo/registry/hub_client.py", "zoo/registry/hub_weights.py"),
    ),
}
"""What the user was doing, by the package or module that raises; the longest path that fits decides."""

CLASSES = {name for name, value in vars(errors).items() if isinstance(value, type)} | {"Refused"}
WORDS = {
    "strerror": "REASON",
    "error": "REASON",
    "why": "REASON",
    "cause": "REASON",
    "what": "…",
    "fixed": "OPTION",
}
EXPANDED = {"what", "why", "did", "hint", "message", "layout", "_LEAVE_OUT", "_NAME", "_SEVERAL"}
"""Variables that hold a part of a message, rather than a name or a number."""
Scope = list[list[ast.stmt]]


class Row(NamedTuple):
    """A message and its hint as the page has them; an empty message is passed on from elsewhere."""

    module: str
    message: str
    hint: str


def page() -> str:
    """Return the whole page."""
    return "\n".join(_parts())


def rows() -> list[Row]:
    """Return every error in the source that has a hint."""
    found: dict[Row, None] = {}
    for folder in ("zoo", "plugins"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = str(path.relative_to(ROOT))
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found |= dict.fromkeys(
                row for call, scope in _raised(tree.body, []) for row in _rows(module, call, scope)
            )
    return [*found]


def _parts() -> Iterator[str]:
    yield START
    by_group: dict[str, set[tuple[str, str]]] = {group: set() for group in GROUPS}
    for row in rows():
        if row.message and row.hint.strip() and row.hint != "add HINT":
            by_group[_group(row.module)].add((row.message, row.hint))
    for group, messages in by_group.items():
        yield f"## {group}\n\n| message | what to do |\n|---|---|"
        yield (
            "\n".join(f"| {_code(m)} | {prose(hint)} |" for m, hint in sorted(messages, key=_by_words)) + "\n"
        )


def _by_words(row: tuple[str, str]) -> tuple[str, str, str]:
    return _words(row[0]), row[1], row[0]


def _words(message: str) -> str:
    """Return the words of a message without those that stand for a name."""
    return re.sub(r"[^a-z ]", "", re.sub(r"\b[A-Z_]+\b", "", message).lower()).strip()


def _group(module: str) -> str:
    fitting = [
        (len(path), group) for group, paths in GROUPS.items() for path in paths if module.startswith(path)
    ]
    return max(fitting)[1]


def _raised(body: list[ast.stmt], outer: Scope) -> Iterator[tuple[ast.Call, Scope]]:
    """Yield each call of an error with a hint, and the statements before it, the nearest block first."""
    for number, statement in enumerate(body):
        scope = [body[:number], *outer]
        blocks = [part for name in ("body", "orelse", "finalbody") for part in [getattr(statement, name, [])]]
        blocks += [
            part.body for part in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]
        ]
        if not any(blocks):
            calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
            yield from ((call, scope) for call in calls if _is_error(call))
        for block in blocks:
            yield from _raised(block, scope)


def _is_error(call: ast.Call) -> bool:
    hinted = any(keyword.arg == "hint" for keyword in call.keywords)
    return hinted and ast.unparse(call.func).rpartition(".")[2] in CLASSES


def _rows(module: str, call: ast.Call, scope: Scope) -> Iterator[Row]:
    """Yield the messages of a call with their hint. A number before the message is a status of HTTP."""
    given = [
        each for each in call.args if not (isinstance(each, ast.Constant) and isinstance(each.value, int))
    ]
    (hint,) = (keyword.value for keyword in call.keywords if keyword.arg == "hint")
    messages = [text for each in given[:1] for text in _texts(each, scope) if len(_words(text)) >= 5]
    for message in messages or [""]:
        yield Row(module, message, "; or ".join(_texts(hint, scope)))


def _texts(node: ast.expr, scope: Scope) -> list[str]:
    """Return what an expression may say; nothing if that is not in the source before it."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body, scope), *_texts(node.orelse, scope)]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in _texts(value, scope)]
    if isinstance(node, ast.JoinedStr):
        return _joined(node, scope)
    if isinstance(node, ast.Name):
        return [text for value, before in _assigned(node.id, scope) for text in _texts(value, before)]
    return []


def _assigned(name: str, scope: Scope) -> list[tuple[ast.expr, Scope]]:
    """Return the values that a name may have: of the last assignment, and of those under an `if` after it.

    Each comes with the statements before it.
    """
    found: list[tuple[ast.expr, Scope]] = []
    for level, statements in enumerate(scope):
        for number in reversed(range(len(statements))):
            statement, before = statements[number], [statements[:number], *scope[level + 1 :]]
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                continue
            found += [
                (inner.value, before)
                for inner in ast.walk(statement)
                if isinstance(inner, ast.Assign) and ast.unparse(inner.targets[0]) == name
            ]
            if isinstance(statement, ast.Assign) and found:
                return found
    return found


def _joined(node: ast.JoinedStr, scope: Scope) -> list[str]:
    """Return what an f-string may say, with a word in capitals for a name or a number that is filled in."""
    texts = [""]
    for part in node.values:
        if isinstance(part, ast.Constant):
            filled = [str(part.value)]
        else:
            assert isinstance(part, ast.FormattedValue)
            filled = _filled(part, scope)
        texts = [_attached(text, more, isinstance(part, ast.Constant)) for text in texts for more in filled]
    return texts


def _filled(part: ast.FormattedValue, scope: Scope) -> list[str]:
    """Return the texts of a variable that holds a part of the message, or a word for what is filled in."""
    if isinstance(part.value, ast.Attribute) and ast.unparse(part.value.value) == "run_files":
        return [getattr(run_files, part.value.attr)]
    held = isinstance(part.value, ast.Name) and part.value.id in EXPANDED
    word = _word(part.value)
    shown = f"'{word}'" if part.conversion == ord("r") else word
    return (_texts(part.value, scope) if held else []) or [shown]


def _attached(text: str, more: str, constant: bool) -> str:
    """Return a text with the next part; an ending that is filled in, such as an "s", is left out."""
    ends_in_name = re.search(r"(^|[^A-Za-z])[A-Z_…]+'?$", text)
    if constant and ends_in_name and re.match(r"s\b", more):  # a plural
        return f"{text}S{more[1:]}"
    if constant and more[:1].islower() and ends_in_name:
        return text[: ends_in_name.start() + len(ends_in_name[1])] + more
    if not constant and re.search(r"[A-Za-z'…]$", text):
        return text
    return text + more


def _word(node: ast.expr) -> str:
    """Return a word in capitals for an expression: the name of what is shown."""
    match node:
        case ast.Call(func=ast.Attribute(attr="format")):
            return "…"
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return WORDS.get(name, name.strip("_").upper())
        case ast.Call(args=[first, *_]):
            return _word(first)
        case ast.BinOp(right=inner) | ast.Subscript(value=inner) | ast.IfExp(body=inner):
            return _word(inner)
        case ast.BoolOp(values=[inner, *_]) | ast.GeneratorExp(elt=inner) | ast.ListComp(elt=inner):
            return _word(inner)
        case _:
            return "…"


def _code(message: str) -> str:
    fence = "``" if "`" in message else "`"
    space = " " if message.startswith("`") or message.endswith("`") else ""
    return f"{fence}{space}{message}{space}{fence}".replace("|", "\\|")


def prose(hint: str) -> str:
    """Return a hint as Markdown: shell variables as code, and no asterisk that starts emphasis."""
    parts = re.split(r"(`[^`]*`)", hint)
    for number in range(0, len(parts), 2):
        text = parts[number].replace("*", "\\*").replace("<", "&lt;")
        parts[number] = re.sub(r"\$[A-Z_]+", lambda name: f"`{name[0]}`", text)
    return "".join(parts).replace("|", "\\|").strip()


if __name__ == "__main__":
    print(page(), end="")
