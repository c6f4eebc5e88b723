"""docs/reference/python.md, made from the code: the functions and classes of `import zoo`.

python -m tests.docs.python_page > docs/reference/python.md
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import zoo

START = """\
# Python

The functions and classes of `import zoo`, with what their docstrings say. The page is made from the code:
`python -m tests.docs.python_page > docs/reference/python.md`. What plugins may import is in
[plugins.md](plugins.md).

```python
import zoo

run = zoo.train("lstm", "stdlib", epochs=1, bptt=48, model={"hidden_size": 64}, run="runs/first")
print(run.history[-1]["val"], run.model.evaluate("test")["metrics"])
```

`import zoo` imports no torch and changes nothing in the process. Errors are `zoo.ZooError`s, whose `hint`
says what to do; notices are `zoo.ZooWarning`s; `progress=False` silences the progress output. Training
fields are keywords (`epochs=1`); options of a model, a dataset or an analyzer are dictionaries (`model=`,
`data=`, `options=`).
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
    "Train": ("train", "resume", "lr_find"),
    "Load and build": ("load", "create_model", "open_dataset"),
    "Check a plugin": ("check",),
}
CLASSES = ("Model", "Run")


def page() -> str:
    """Return the whole page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield START
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
