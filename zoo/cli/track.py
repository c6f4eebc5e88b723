"""`zoo track`: send the metrics of a run to an experiment tracker."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from zoo.cli.name_types import NameType, PathType
from zoo.cli.session import Session, print_json, standard_options
from zoo.config import options
from zoo.console.terminal import echo
from zoo.registry.extras import needing_extra
from zoo.runs.tracking import Tracker
from zoo.tools.track.follower import follow


@click.command()
@click.argument("run", type=PathType())
@click.option(
    "--to",
    type=NameType("tracker"),
    required=True,
    metavar="TRACKER",
    help="Tracker: tensorboard, mlflow, trackio, wandb, or one from a plugin.",
)
@click.option(
    "--wait",
    is_flag=True,
    help="Wait for RUN to finish, even if it has not started yet or is stopped.",
)
@click.option("--option", "words", multiple=True, metavar="K=V", help="Tracker option.")
@standard_options
def command(session: Session, run: Path, to: str, wait: bool, words: Sequence[str], as_json: bool) -> None:
    """Send the metrics of RUN (a run directory) to an experiment tracker.

    The command reads the logs in RUN, and therefore cannot affect training. During training, it sends new
    data every second, and ends when the run is finished or stopped. Press Ctrl-C to end it earlier. If you
    run it again, it continues after the last step that it sent. If the run was resumed with other options,
    later metrics become a second run in the tracker.

    `zoo list trackers` lists all trackers. Each uses the settings and environment variables of its own
    library, such as MLFLOW_TRACKING_URI or WANDB_PROJECT. `zoo show TRACKER` lists its options. Later
    commands for the same run use the options of the first.

    \b
    zoo track runs/lstm-nietzsche --to tensorboard
    zoo track runs/lstm-nietzsche --to mlflow --wait
    zoo track runs/lstm-nietzsche --to mlflow \\
        --option experiment=nietzsche
    """
    entry = session.registry.tracker(to)
    name = entry.spec.name

    def make(**own: Any) -> Tracker:
        return entry.make(own, Tracker, flag="--option")

    try:
        with needing_extra(entry, f"the tracker {name}"):
            own = entry.check(options.parse(words, what="--option"), flag="--option")
            session.begin(f"sending {run} to {name}; press Ctrl-C to stop")
            found = follow(run, name, make, session.registry, options=own, waiting=lambda: wait)
    except KeyboardInterrupt:
        again = f"zoo track {shlex.quote(str(run))} --to {name}"
        echo(f"stopped sending {run}; run `{again}` to continue", err=True)
        raise
    if as_json:
        print_json({"run": str(run), "tracker": entry.name, **asdict(found)})
        return
    echo(f"sent {found.rows:,} rows of {run} to {name}, up to step {found.step:,}; the run is {found.status}")
