"""Commands that accept the arguments of `zoo.train`."""

from collections.abc import Callable, Collection
from typing import Any

import click

from zoo.api.training import train
from zoo.cli.flags import TrainingCommand, options_of
from zoo.cli.name_types import NameType

# Options that define a training, besides its recipe, or its architecture and dataset
NAMING = ("architecture", "model", "data", "from_weights", "seed", "threads")


def training_command(
    name: str | None = None, *, skip: Collection[str] = ()
) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator like `click.command`, for commands that accept the arguments of `zoo.train`.

    The decorated function is called with `name`, `dataset` and a dict `training`. This dict contains the
    arguments `architecture`, `model`, `data`, `from_weights`, `seed` and `threads`, and the training options
    that the user sets.

    Args:
        skip: training options that the command does not accept.
    """
    recipe = click.argument("name", metavar="RECIPE | ARCH DATASET", type=NameType("recipe", "architecture"))
    dataset = click.argument("dataset", required=False, metavar="", type=NameType("dataset", beside="name"))
    extra = {"allow_extra_args": True}  # so that an error can explain them
    command = click.command(name, cls=TrainingCommand, skip=skip, more=NAMING, context_settings=extra)
    return lambda function: command(recipe(dataset(options_of(train, only=NAMING)(function))))
