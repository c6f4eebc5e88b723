"""`zoo export`: export a trained model to another format."""

from __future__ import annotations

from typing import Any

import click

from zoo.api.model import Model
from zoo.cli.flags import options_of
from zoo.cli.name_types import weights_argument
from zoo.cli.session import Session, print_json, standard_options
from zoo.console.tables import print_paragraph


@click.command()
@weights_argument
@options_of(Model.export)
@standard_options
def command(session: Session, weights: str, as_json: bool, **settings: Any) -> None:
    """Export WEIGHTS (an id, a file or a run directory) to another format, and verify the exported file.

    The command runs the exported program on up to 2,000 items of the test split, with several batch sizes
    and, for a language model, several text lengths. If the program's predictions differ from the model's,
    other than in ties, no file is written and the command fails. A file in a format with a reader, such as
    ONNX, is accepted as WEIGHTS by `zoo predict`, `zoo embed`, `zoo sample`, `zoo eval`, `zoo serve` and `zoo
    inspect`.

    \b
    zoo export cifar10-resnet20
    zoo export runs/lstm-nietzsche --out lstm.onnx \\
        --data root=texts
    zoo export cifar10-resnet20 --to pt2 --synthetic
    """
    session.begin(f"exporting {weights}")
    model = session.load(weights, device="cpu")
    result = model.export(progress=session.progress, **settings)
    if as_json:
        print_json(result)
        return
    labeled = session.registry.task(model.card.task).labels is not None
    print_paragraph(_verified(result, "logits" if labeled else "outputs"))
    print_paragraph(f"wrote {result['file']}, {result['bytes'] / 1e6:.1f} MB")


def _verified(result: dict[str, Any], outputs: str) -> str:
    """Return a line about the verification; `outputs` is the name of the model's outputs."""
    what = f"{result['split']} {result['unit']}" if result["split"] else f"synthetic {result['unit']}"
    counted = f"{result['items']:,} of {result['total']:,} {what}"
    largest = f"{outputs} differ by at most {result['largest_difference']:.1g}"
    if not result["disagreements"]:
        return f"{counted}: same predictions ({largest})"
    few = f"{result['disagreements']:,} near-ties"
    return f"{counted}: same predictions, except {few} ({largest})"
