"""`zoo inspect`: a weights file's card, read without torch."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.output import bytes_text, json_option, print_json, print_pairs
from zoo.files.cards import read_card


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def command(file: Path, as_json: bool) -> None:
    """Print what a weights FILE says of itself. Nothing is loaded, and torch is not needed."""
    card, header = read_card(file)
    if as_json:
        print_json(card.to_dict())
        return
    count = 0
    for tensor in header.tensors.values():
        size = 1
        for length in tensor["shape"]:
            size *= length
        count += size
    pairs: list[tuple[str, object]] = [
        ("architecture", card.architecture),
        ("arguments", _words(card.arguments)),
        ("task", card.task),
        ("tensors", f"{len(header.tensors)}, {count:,} numbers, {bytes_text(header.size)}"),
        ("dataset", f"{card.dataset.name} {_words(card.dataset.options)}".strip()),
        ("fingerprint", card.dataset.fingerprint),
        ("preprocess", ", ".join(card.preprocess)),
        ("start", _words(card.start)),
        ("recipe", _words(card.recipe)),
        ("seed", card.seed),
        ("progress", _words(card.progress)),
        *((f"metrics {split}", _words(metrics)) for split, metrics in card.metrics.items()),
        ("versions", _words(card.versions)),
        ("tensors' sha256", card.sha256),
        ("tied", _words(card.tied)),
    ]
    print_pairs(pairs)


def _words(table: dict[str, object] | dict[str, int] | dict[str, float] | dict[str, str]) -> str:
    return ", ".join(f"{key}={f'{v:.5g}' if isinstance(v, float) else v}" for key, v in table.items())
