"""`zoo resume`: continue a run."""

from typing import Any

import click

from zoo.api.training import resume
from zoo.cli.flags import options_of
from zoo.cli.session import Session, device_option, standard_options
from zoo.cli.train import print_run


@click.command()
@click.argument("run", type=click.Path())
@options_of(resume)
@device_option
@standard_options
def command(session: Session, run: str, as_json: bool, **settings: Any) -> None:
    """Continue the run in the directory RUN, bit for bit, with the options it was started with.

    A run that is finished stays as it is. To change an option, such as the number of epochs, repeat the
    command that started the run, with --resume and --accept-changes.

    \b
    zoo resume runs/lstm-nietzsche
    """
    print_run(resume(run, progress=session.progress, registry=session.registry, **settings), session, as_json)
