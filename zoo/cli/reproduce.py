"""`zoo reproduce`: train weights again from their card, and compare."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from zoo.cli.flags import options_of
from zoo.cli.name_types import NameType
from zoo.cli.session import Session, card_device_option, print_json, standard_options
from zoo.console.figures import cell
from zoo.console.tables import print_paragraph, print_table
from zoo.registry.specs import TaskSpec
from zoo.tools.compare.reproduction import reproduce


@click.command()
@click.argument("weights", type=NameType("weights", runs=True))
@options_of(reproduce)
@card_device_option
@standard_options
def command(session: Session, weights: str, as_json: bool, **settings: Any) -> int:
    """Retrain WEIGHTS (an id, a file or a run directory) from their card, and compare old and new results.

    Only the card is needed, not the recipe. To continue after an interruption, run the same command again.
    The exit code is 0 if all tensors are bit-for-bit identical, or if the primary metric lies within its 95%
    interval, and 1 otherwise.

    \b
    zoo reproduce nietzsche-rnn
    zoo reproduce shared.safetensors --run runs/again
    zoo reproduce team:shapes --attest ~/.ssh/id_ed25519
    """
    session.begin(f"reproducing {weights}")
    result = reproduce(weights, progress=session.progress, registry=session.registry, **settings)
    primary = result["primary"]
    if as_json:
        print_json(result)
    else:
        _print(result)
        if primary:
            _print_primary(primary, session.registry.task(result["task"]), result)
        if result["attestation"]:
            print_paragraph(f"wrote {result['attestation']} and its signature, {result['attestation']}.sig")
    return int(not result["bit_equal"] and not (primary and primary["ok"]))


def _print(result: Mapping[str, Any]) -> None:
    tensors = result["tensors"]
    if result["bit_equal"]:
        verdict = f"bit-equal: all {tensors['total']} tensors"
    else:
        most = f"by at most {tensors['largest_difference']:.2g}"
        verdict = f"not bit-equal: {tensors['different']} of {tensors['total']} tensors differ, {most}"
    print_paragraph(f"{result['weights']}: {verdict}")
    if result["differs"]:
        rows = [[name, *map(_shown, pair)] for name, pair in result["differs"].items()]
        print_table(rows, ["DIFFERS", "CARD", "HERE"])
    if result["unknown"]:
        print_paragraph(f"not recorded in the card: {', '.join(result['unknown'])}")


def _print_primary(primary: Mapping[str, Any], task: TaskSpec, result: Mapping[str, Any]) -> None:
    unit = task.units.get(primary["metric"], "")
    measured, published = (cell(primary[key], unit) for key in ("measured", "published"))
    line = f"{primary['split']} {primary['metric']} {measured}, published {published}"
    if primary["interval"] and not result["bit_equal"]:
        low, high = (cell(value, unit) for value in primary["interval"])
        where = "within" if primary["ok"] else "outside"
        of = "prediction interval of another seed"
        if primary["of"] == "items":
            of = "confidence interval"
        line = f"{line}: {where} the 95% {of}, {low} to {high}"
    print_paragraph(line)


def _shown(value: object) -> str:
    """Format a value; a commit or a checksum is cut, as git cuts it."""
    text = "none" if value in (None, "", []) else str(value)
    return text[:12] if re.fullmatch(r"[0-9a-f]{40,64}", text) else text
