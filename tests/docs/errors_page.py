"""docs/reference/errors.md, made from the classes of zoo.errors: every error with its kind and exit code.

python -m tests.docs.errors_page > docs/reference/errors.md
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import zoo
from zoo import errors

START = """\
<!-- Generated: python -m tests.docs.errors_page > docs/reference/errors.md -->

# Errors and exit codes

Every error that zoo raises is a `zoo.ZooError`. The message of an error is one sentence that states what is
wrong and what was found; its `hint` suggests a next step, or is None. Commands print the message and the
hint to stderr. With `--json`, they print `{"error", "kind", "hint"}` to stdout instead.

To look up a message, see [Troubleshooting](../how-to/troubleshooting.md). All warnings are of class
`zoo.ZooWarning`. Each warning is printed as one line to stderr and does not change the exit code.
"""
CODES = {
    0: ("success", "also if stdout is closed before all output is printed, for example by `head`"),
    1: ("error", "the message describes the problem, and the hint suggests a next step"),
    2: ("usage error", "an unknown command, an unknown option or an invalid value"),
    3: (
        "diverged",
        "training produced non-finite numbers, or the weights are too large for computations",
    ),
    130: ("interrupted", "stopped by Ctrl-C; if training had started, a checkpoint was saved"),
    143: ("terminated", "stopped by SIGTERM; if training had started, a checkpoint was saved"),
}
CLASSES_START = """\
## Errors

`kind` is the name of the error in `--json` output, and does not change between versions. Classes without the
prefix `zoo.` are in `zoo.errors`; [`zoo.plugin`](plugins.md#what-a-plugin-may-use) exports the classes that
plugins may raise.

| error | kind | raised when | exit code |
|---|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join(_parts())


def classes() -> list[type[zoo.ZooError]]:
    """Return every class of error, in the order of the source."""
    found = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [each for each in found if issubclass(each, zoo.ZooError)]


def codes(error: type[zoo.ZooError]) -> tuple[int, ...]:
    """Return the exit codes of an error: 128 + the number of the signal, as shells have it, or its own."""
    return (130, 143) if error is errors.Interrupted else (error.exit_code,)


def _parts() -> Iterator[str]:
    yield START
    yield "## Exit codes\n\n| code | meaning | errors |\n|---|---|---|\n" + "".join(map(_code, CODES))
    yield CLASSES_START + "".join(map(_class, classes()))
    yield "[Commands from plugins](../how-to/plugins/command.md) may return other exit codes.\n"


def _code(code: int) -> str:
    meaning, when = CODES[code]
    raised = [f"`{error.__name__}`" for error in classes() if code in codes(error)]
    return f"| {code} | {meaning}: {when} | {', '.join(raised)} |\n"


def _class(error: type[zoo.ZooError]) -> str:
    name = f"zoo.{error.__name__}" if error.__name__ in zoo.__all__ else error.__name__
    when = " ".join((inspect.getdoc(error) or "").split("\n\n")[0].split())
    return f"| `{name}` | `{error.kind}` | {when} | {', '.join(map(str, codes(error)))} |\n"


if __name__ == "__main__":
    print(page(), end="")
