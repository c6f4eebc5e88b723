"""Commands for the kit's own tests: an honest one, and those that fail a check. None imports torch."""

import sys
from pathlib import Path

import click

from zoo import ZooError
from zoo.cli.kit import echo, print_json, standard_options, weights_argument


@click.command()
@weights_argument
@click.option("--by", type=click.Choice(["layer", "size"]), required=True)
@standard_options
def count(session, weights, by, as_json):
    """Count the numbers in WEIGHTS."""
    total = sum(tensor.numel() for tensor in session.load(weights).module.parameters())
    print_json(total) if as_json else echo(f"{total:,} {by}")


@click.group()
def several():
    """Do one of several things."""


several.add_command(count)


@click.command()
@standard_options
def silent(session, as_json):
    pass


@click.command(add_help_option=False)
@click.option("--help", is_flag=True, expose_value=False)
@standard_options
def helpless(session, as_json):
    """Help nobody."""


@click.command()
@click.option("--json", "as_json", is_flag=True)
def loud(as_json):
    """Say everything."""


@click.command()
@weights_argument
@standard_options
def opens(session, weights, as_json):
    """Open WEIGHTS."""
    echo(Path(weights).read_text())


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@standard_options
def shrugs(session, table, as_json):
    """Count the lines of TABLE."""
    print_json(len(table.read_text().splitlines()) if table.exists() else 0)


@click.command()
@weights_argument
@standard_options
def prints(session, weights, as_json):
    """Print what is wrong with WEIGHTS."""
    try:
        session.load(weights)
    except ZooError as error:
        echo(f"oh no: {error}")


@click.command()
@weights_argument
@standard_options
def greets(session, weights, as_json):
    """Greet on the way to WEIGHTS, whatever is asked for."""
    print("welcome", file=sys.__stdout__)
    session.load(weights)


@click.command()
@weights_argument
@standard_options
def leaves(session, weights, as_json):
    """Leave at once."""
    sys.exit(1)


def function():
    """Do something, without click."""
