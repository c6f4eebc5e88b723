"""Checks of a plugin as a whole."""

from __future__ import annotations

import contextlib
import math
import time

from zoo.errors import MissingModule, SpecError
from zoo.registry.specs import ExporterSpec, FieldsSpec, SpecWithExtra, TaskSpec
from zoo.testing._case import Case, Failure, ProcessFailed, Warned, message
from zoo.testing._fresh import Fresh

_WIDEST = 100
# How many times as long as without the plugin a process may take to start, the best of a few times in turn
_MOST_TIMES, _ROUNDS, _FEWEST = 3, 6, 2


def loads(case: Case) -> None:
    """The entry point has known hooks, which return valid specs with unique names, for existing tasks."""
    assert not case.plugin.cause, message(
        expected=f"{case.plugin.where} to load, and its hooks to return specs",
        got=case.plugin.cause,
        usually="a missing dependency, a misspelled hook or field, or a duplicate name",
    )
    failed = [entry for entry in case.registry.failed_entries if entry.plugin is case.plugin]
    assert not failed, message(
        expected="entries that can be used",
        got=f"{failed[0].kind} {failed[0].spec.name}: {case.registry.problem(failed[0])}",
        usually="a misspelled task, or a task of a plugin that is not installed",
    )


def imports_without_torch(case: Case) -> None:
    """The entry point's module can be imported, and its hooks called, without torch installed."""
    cause, _, _ = _import(case)
    assert not cause, message(
        expected=f"{case.plugin.where} to load without torch",
        got=cause,
        usually="`import torch` in the plugin module; keep models in the modules that targets name",
    )


def imports_quickly(case: Case) -> None:
    """With the plugin, zoo takes at most three times as long to start as without it.

    A one-file plugin, which may import torch, gets a warning if it takes longer to load than torch.
    """
    if _is_one_file(case):
        if (times := _import(case)[2]) > 1:
            raise Warned(
                message(
                    expected="a file that is loaded sooner than torch",
                    got=f"{times:.1f} times as long",
                    usually="training, a download or sleep() at module level; do it in a function",
                )
            )
        return
    without = with_it = math.inf
    for number in range(_ROUNDS):
        without = min(without, _seconds(case, "nothing"))
        with_it = min(with_it, _seconds(case, "import"))
        if number >= _FEWEST and with_it <= _MOST_TIMES * without:
            return
    raise Failure(
        expected=f"zoo to take at most {_MOST_TIMES} times as long to start as without the plugin",
        got=f"{with_it:.2f} s with the plugin, and {without:.2f} s without it",
        usually="a slow import, or specs computed from files; import in the target's module",
    )


def imports_silently(case: Case) -> None:
    """Loading the plugin and calling its hooks prints nothing; a one-file plugin gets a warning."""
    _, printed, _ = _import(case)
    text = message(
        expected="an import that prints nothing, since every zoo command imports the plugin",
        got=repr(printed.strip().split("\n")[0][:100]),
        usually="a print() or a log message at module level, perhaps in a library",
    )
    if printed.strip() and _is_one_file(case):
        raise Warned(text)
    assert not printed.strip(), text


def import_changes_nothing(case: Case) -> None:
    """Importing the plugin and its targets does not change process-wide state.

    This includes functions and methods of Python, NumPy, torch and zoo, random states, torch's defaults,
    threads, logging, warnings (except filters for single modules), signals, the working directory, the
    environment, sys.path, the locale and running processes. Changes made by imports of other packages do not
    count: a second process imports these packages first.
    """
    watched = _watched(case)
    changed = watched["changed"]
    if changed and watched["imported"]:
        changed = _watch(case, watched["imported"])["changed"]
    assert not changed, message(
        expected="an import without side effects",
        got=f"a change in {', '.join(changed[:5])}",
        usually="a seed, a default, a setting or a patch at module level; set and restore it in a function",
    )


def imports_offline(case: Case) -> None:
    """Importing the plugin and its targets does not open a connection."""
    connected = _watched(case)["connected"]
    assert not connected, message(
        expected="an import that needs no network",
        got=f"a connection to {connected[0]}",
        usually="a download or a check for updates at module level; download when the data is opened, or in "
        "load_pretrained()",
    )


def summaries_are_one_line(case: Case) -> None:
    """Every summary is one line of text with at most 100 characters."""
    for _, spec in case.plugin.specs:
        summary = spec.summary
        one_line = [summary.strip()] == summary.splitlines() and any(map(str.isalpha, summary))
        assert one_line, message(
            expected=f"one line of text as the summary of {spec.name}",
            got=repr(summary),
            usually="a docstring used as the summary, or a placeholder instead of text",
        )
        assert len(summary) <= _WIDEST, message(
            expected=f"at most {_WIDEST} characters as the summary of {spec.name}",
            got=f"{len(summary)}",
            usually="details that belong in the class's docstring",
        )


def targets_resolve(case: Case) -> None:
    """Every target can be imported and called."""
    for kind, spec in case.plugin.specs:
        try:
            if not isinstance(spec, FieldsSpec):
                spec.load()
            if isinstance(spec, TaskSpec):
                spec.load_tiny()
                if spec.in_memory:
                    spec.load_in_memory()
            if isinstance(spec, ExporterSpec) and spec.reader:
                spec.load_reader()
        except SpecError as error:
            needing = isinstance(spec, SpecWithExtra) and spec.extra
            if isinstance(error, MissingModule) and needing:
                continue  # an extra need not be installed; the checks of the entry itself are skipped
            raise Failure(
                expected=f"a class or function as the target of the {kind} {spec.name}",
                got=str(error),
                usually="a renamed class, a misspelled module, or a missing dependency",
            ) from error


def _seconds(case: Case, command: str) -> float:
    """Return the time that a new process takes for a request."""
    begun = time.perf_counter()
    with contextlib.suppress(ProcessFailed):  # imports_silently finds that
        Fresh(case.plugin).ask(command)
    return time.perf_counter() - begun


def _is_one_file(case: Case) -> bool:
    return case.plugin.where.endswith(".py")


def _import(case: Case) -> tuple[str, str, float]:
    """Return what `zoo.testing._fresh` answers about an import, after the reason if it failed."""
    try:
        return case.kept("import", lambda: Fresh(case.plugin).ask("import"))
    except ProcessFailed as failed:
        return str(failed), "", 0.0


def _watched(case: Case) -> dict[str, list[str]]:
    """Return the result of `_watch` in a process that has not imported anything before."""
    return case.kept("watched", lambda: _watch(case, []))


def _watch(case: Case, imported: list[str]) -> dict[str, list[str]]:
    """Return the changes, connections and imports of an import, after some modules are loaded."""
    process = Fresh(case.plugin)
    try:
        watched = process.ask("watch", imported=imported)
    except ProcessFailed as failed:
        return {"changed": [f"the process itself ({failed})"], "connected": [], "imported": []}
    case.shared["process"] = process  # for ask_shared
    return watched
