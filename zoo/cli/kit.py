"""Helpers that zoo's own commands use, so that plugin commands behave in the same way.

A complete example of a command, in the module that the spec's target names::

    import click

    from zoo.cli.kit import Session, print_json, print_table, standard_options, weights_argument

    @click.command()
    @weights_argument
    @standard_options
    def command(session: Session, weights: str, as_json: bool) -> None:
        "Count the numbers in each tensor of WEIGHTS (an id, a file or a run directory)."
        session.begin(f"counting {weights}")
        model = session.load(weights)
        counts = {name: tensor.numel() for name, tensor in model.module.state_dict().items()}
        if as_json:
            print_json(counts)
        else:
            print_table([[name, f"{count:,}"] for name, count in counts.items()], ["TENSOR", "NUMBERS"])

A command reports a failure by raising a `zoo.ZooError`, which zoo prints as one sentence with its hint, or as
JSON. The class of the error determines the exit code. The exit code is 130 after Ctrl-C and 143 after
SIGTERM. If a command returns an integer, zoo uses it as the exit code. This module does not import torch.
"""

from __future__ import annotations

from zoo.cli import run
from zoo.cli.flags import options_of
from zoo.cli.name_types import NameType, PathType, weights_argument
from zoo.cli.session import (
    Session,
    device_option,
    last_option,
    print_json,
    standard_options,
)
from zoo.cli.train import training_command
from zoo.console.figures import cell, figures, interval
from zoo.console.tables import columns, print_paragraph, print_section, print_table, print_title
from zoo.console.terminal import bold, dim, echo

__all__ = [
    "NameType",
    "PathType",
    "Session",
    "bold",
    "cell",
    "columns",
    "device_option",
    "dim",
    "echo",
    "figures",
    "interval",
    "last_option",
    "options_of",
    "print_json",
    "print_paragraph",
    "print_section",
    "print_table",
    "print_title",
    "run",
    "standard_options",
    "training_command",
    "weights_argument",
]
