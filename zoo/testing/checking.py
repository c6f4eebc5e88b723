"""Run the contract kit on a plugin in a separate process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from zoo.config.arguments import checked
from zoo.console.progress import Bar, quiet
from zoo.errors import warn
from zoo.registry.registry import Registry
from zoo.testing._isolation import isolated
from zoo.testing._outcomes import Outcome, in_words
from zoo.testing._report import require_format, write_report
from zoo.testing._suite import Message, messages


@checked
def check(
    target: str,
    *,
    thorough: bool = False,
    strict: bool = False,
    progress: bool = True,
    registry: Registry | None = None,
    report: Path | str | None = None,
) -> list[Outcome]:
    """Run the contract kit on a plugin.

    Unless `registry` is given, the checks run in a separate process. If a plugin terminates this process,
    causes it to hang or exhausts its memory, only the current check fails.

    Args:
        target: a plugin, a distribution, the path of a one-file plugin, or `plugin/pattern` for the entries,
            recipes and weights of a plugin that match.
        thorough: also run the slow checks of exports and published metrics.
        strict: do not run any check if an installed plugin fails to load.
        progress: show progress on stderr, or in the notebook.
        registry: the registry with the plugin, which is then checked in this process. By default, only
            the target's plugins and zoo's own are loaded, or all plugins if the target needs others.
        report: file for a report that can be published, as Markdown (.md) or JSON (.json).

    Returns:
        The outcome of each check; `zoo.testing.shortfall` reports whether enough checks ran.

    Raises:
        UnknownName: there is no such plugin, distribution, entry or file.
        PluginError: the plugin is disabled.
        OptionError: the report's suffix is not supported.
        OutputError: the report's folder does not exist.
        OSError: the report cannot be written.
    """
    if report is not None:
        require_format(Path(report))
    if registry is None:
        found = isolated(target, strict=strict, thorough=thorough)
    else:
        found = messages(target, thorough=thorough, registry=registry)
    with Bar() if progress else quiet() as bar, closing(found):
        progressing = _Progressing(bar)
        for message in found:
            progressing.take(message)
        progressing.note()
    if report is not None:
        write_report(Path(report), target, progressing.plugins, progressing.outcomes)
    return progressing.outcomes


class _Progressing:
    """Collects the outcomes from messages, and shows the progress of the checks.

    Args:
        report: called like `Bar`.
    """

    def __init__(self, report: Callable[..., None]) -> None:
        self.outcomes: list[Outcome] = []
        self.plugins: list[dict[str, str]] = []
        self._report = report
        self._total = 0

    def take(self, message: Message) -> None:
        """Handle a message."""
        what = message["what"]
        if what == "begun":
            self.plugins, self._total = message["plugins"], message["total"]
        elif what == "notice":
            warn(message["text"])
        elif what == "outcome":
            self.outcomes.append(message["outcome"])
        elif what == "checking":
            running: Outcome = message["outcome"]
            if self.outcomes and self.outcomes[-1].entry != running.entry:
                self.note()
            done = len(self.outcomes)
            self._report(f"checking {running.plugin}", done, self._total, "checks", running.name)

    def note(self) -> None:
        """Print the outcomes of the last entry."""
        if self.outcomes and isinstance(self._report, Bar):
            entry = self.outcomes[-1].entry
            own = [outcome for outcome in self.outcomes if outcome.entry == entry]
            self._report.note(f"{entry}: {in_words(own)}")
