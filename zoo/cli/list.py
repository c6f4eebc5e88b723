"""`zoo list`: everything in the registry, without importing any of it."""

from __future__ import annotations

import click

from zoo.api.listing import KINDS, rows
from zoo.cli.output import echo, json_option, print_json, print_table, quiet_option
from zoo.cli.session import Session, pass_session


def kind_of(word: str) -> str | None:
    """Return the kind that a word means, or None."""
    kinds = (*KINDS, "model")
    kind = next((kind for kind in kinds if word in (kind, kind + "s", kind[:-1] + "ies")), None)
    return "architecture" if kind == "model" else kind


@click.command("list")
@click.argument("kind", required=False)
@click.argument("pattern", required=False)
@click.option(
    "--where", metavar="EXPR", help="Such as 'task=classification' or 'params<1e6 and plugin=acme'."
)
@json_option
@quiet_option
@pass_session
def command(
    session: Session, kind: str | None, pattern: str | None, where: str | None, as_json: bool
) -> None:
    """List entries: all, one KIND, or those whose name matches PATTERN (a part of it, or a glob).

    KIND is architecture (or model), dataset, analyzer, recipe or weights.
    """
    kind = kind and (kind_of(kind) or kind)
    if kind is not None and kind not in KINDS:
        if pattern is not None:
            raise click.BadParameter(f"{kind!r} is not one of {', '.join(KINDS)}", param_hint="KIND")
        kind, pattern = None, kind
    chosen = rows(session.registry, kind, pattern, where)
    if as_json:
        print_json(chosen)
    elif chosen:
        shown = ("kind", "name", "task", "summary")
        print_table([word.upper() for word in shown], [[row[key] for key in shown] for row in chosen])
    elif rows(session.registry, kind):
        echo(f"nothing matches; `zoo list{f' {kind}' if kind else ''}` shows all", err=True)
    elif kind == "weights":
        echo("no weights are published yet", err=True)
    else:
        echo(f"there is no {kind or 'entry'}; `zoo plugins` shows what each plugin provides", err=True)
