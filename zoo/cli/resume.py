"""`zoo resume`: continue a run."""

from collections.abc import Sequence
from typing import Any

import click

from zoo.api.training import resume
from zoo.cli.flags import options_of
from zoo.cli.session import Session, device_option, standard_options, track_options
from zoo.cli.tracker_process import tracking
from zoo.cli.train import print_run


@click.command()
@click.argument("run", type=click.Path())
@options_of(resume, skip=["architecture", "dataset"])
@device_option
@track_options
@standard_options
def command(
    session: Session, run: str, as_json: bool, track: str, track_option: Sequence[str], **settings: Any
) -> None:
    """Continue the run in directory RUN with its original options.

    On a CPU, the result is bit-for-bit identical to that of an uninterrupted run; on a GPU, this requires
    --deterministic. A finished run is left unchanged. To change an option, such as the number of epochs,
    repeat the original command with the new value, and add --resume and --accept-changes.

    \b
    zoo resume runs/lstm-nietzsche
    """
    with tracking(session, track, track_option, run):
        resumed = resume(run, progress=session.progress, registry=session.registry, **settings)
    print_run(resumed, session, as_json)
