"""Training fields as options: `--lr 0.1`.

Those that every task has are made from `TrainConfig` when a command is defined; those that plugins add, when
it is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

import click

from zoo.cli.session import Session
from zoo.cli.signature import flag_settings
from zoo.config import options
from zoo.config.declarations import Option
from zoo.config.recipe import Recipe
from zoo.config.training import TrainConfig, fields_of
from zoo.errors import ZooError, printable

__all__ = ["TrainingCommand", "pop_fields", "training_flags"]

F = TypeVar("F", bound=Callable[..., Any])

# Keys of click's `Context.meta`
_WORDS, _OPTIONS = "zoo.cli.fields.words", "zoo.cli.fields.options"


class FieldOption(click.Option):
    """An option for a training field: unset unless it is given."""

    def __init__(self, param_decls: Sequence[str] = (), *, field: Option) -> None:
        self.group = field.group
        super().__init__(**flag_settings(field, field=True))


class FieldsCommand(click.Command):
    """A command that also takes the training fields that plugins add."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters, and an option for each field of a group."""
        if _OPTIONS not in ctx.meta:
            fields: Iterable[Option] = ()
            with contextlib.suppress(ZooError):  # the command says so, once its options are known
                fields = (ctx.find_object(Session) or Session()).registry.training_fields.values()
            ctx.meta[_OPTIONS] = [FieldOption(field=field) for field in fields if field.group]
        *own, help_ = super().get_params(ctx)
        return [*own, *ctx.meta[_OPTIONS], help_]


class TrainingCommand(FieldsCommand):
    """A command with training fields. Its help shows them by group, with the defaults of what is named."""

    allow_extra_args = True  # to say what is wrong with them

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = ctx.meta[_WORDS] = [*args]
        rest = super().parse_args(ctx, args)
        if ctx.resilient_parsing:  # for completion
            return rest
        positional = [ctx.params[param.name] for param in self.params if isinstance(param, click.Argument)]
        for word in (*positional, *rest):
            if word is not None and "=" in word:
                from zoo.cli.spelling import respelled_word  # only for a wrong word

                raise respelled_word(ctx, word, words)
        if rest:
            listed = " ".join(word for word in (*positional, *rest) if word)
            message = f"expected a RECIPE, or an ARCHitecture and a DATASET (got {listed})"
            raise click.UsageError(message, ctx)
        return rest

    def get_help(self, ctx: click.Context) -> str:
        return printable(super().get_help(ctx), keep="\n")  # there are values of recipes in it

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        name, config = _named(ctx)
        about = f"as in {name}" if name else f"their defaults: `{ctx.command_path} NAME --help`"
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None or isinstance(param, click.Argument):
                continue
            if not isinstance(param, FieldOption):
                sections.setdefault("Options", []).append(record)
            elif not name or param.name in config:
                title = f"Training fields for {param.group}" if param.group else f"Training fields ({about})"
                default = f"  [default: {options.text(config[param.name])}]" if name else ""
                sections.setdefault(title, []).append((record[0], record[1] + default))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def training_flags(*, only: Collection[str] = (), skip: Collection[str] = ()) -> Callable[[F], F]:
    """Return a decorator that adds an option for each training field that every task has, or for some."""

    def decorate(command: F) -> F:
        for name, field in reversed([*fields_of(TrainConfig).items()]):
            if name not in skip and (not only or name in only):
                command = click.option(cls=FieldOption, field=field)(command)
        return command

    return decorate


def pop_fields(settings: dict[str, Any]) -> dict[str, Any]:
    """Take the training fields out of a command's settings, and return those that were given."""
    ctx = click.get_current_context()
    names = [str(param.name) for param in ctx.command.get_params(ctx) if isinstance(param, FieldOption)]
    fields = {name: settings.pop(name) for name in names if name in settings}
    return {name: value for name, value in fields.items() if value is not None}


def _named(ctx: click.Context) -> tuple[str, dict[str, Any]]:
    """Return the recipe or architecture on the command line, and the training fields that apply to it."""
    registry = (ctx.find_object(Session) or Session()).registry
    for word in ctx.meta.get(_WORDS, []):
        found = registry.names.matching(word, "recipe")
        recipe = registry.recipe(word) if len(found) == 1 else None
        if recipe is None and registry.has("architecture", word):
            recipe = Recipe(architecture=word, dataset="")
        with contextlib.suppress(ZooError):  # such as a recipe of a plugin that is not there
            if recipe is not None:
                return word, registry.training_config(recipe).to_dict()
    return "", {}
