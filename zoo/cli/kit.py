"""Helpers for plugin commands. zoo's own commands use them too, so all commands behave in the same way.

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

from zoo._lazy import lazy

__getattr__, __dir__ = lazy(__name__, __file__)
__all__ = __dir__()  # pyright: ignore[reportUnsupportedDunderAll]
