"""Checks of the options that a plugin adds to a zoo command."""

from __future__ import annotations

from zoo.config.train_config import RESERVED, TrainConfig, fields_of
from zoo.testing._case import Case, message


def adds_described_options(case: Case) -> None:
    """Each option has help text, which `--help` shows."""
    silent = [name for name, field in fields_of(case.spec.fields).items() if not field.help]
    assert not silent, message(
        expected='help text for each option: `name: type = option(default, "help")`',
        got=f"none for {', '.join(silent)}",
        usually="an option that was added later",
    )


def adds_new_options(case: Case) -> None:
    """No option has the name of an option that the command already has."""
    taken = [name for name in fields_of(case.spec.fields) if name in {*RESERVED, *fields_of(TrainConfig)}]
    assert not taken, message(
        expected=f"options that `zoo {case.spec.command}` does not have yet",
        got=", ".join(taken),
        usually="a general name such as `data` or `epochs`; add a prefix that describes the plugin",
    )
