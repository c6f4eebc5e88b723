"""`zoo eval`: a weights file measured on a split."""

from __future__ import annotations

import click

from zoo import options
from zoo.cli.names import NameType
from zoo.cli.output import json_option, notice, print_json
from zoo.cli.session import Session, pass_session


@click.command()
@click.argument("weights", type=NameType("weights", files=True))
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option(
    "--dataset", metavar="NAME", type=NameType("dataset"), help="Other data.  [default: what it learned from]"
)
@click.option(
    "--data", multiple=True, metavar="K=V", help="An option of the dataset, over those it learned with."
)
@click.option("--device", metavar="NAME", help="cpu or cuda.  [default: cuda if there is one]")
@json_option
@pass_session
def command(
    session: Session,
    weights: str,
    split: str,
    dataset: str | None,
    data: tuple[str, ...],
    device: str | None,
    as_json: bool,
) -> None:
    """Measure WEIGHTS (a file or a published id) on a split of its data, every item once, in fp32."""
    given = options.parse(data, what="--data")

    from zoo.cli.progress import metrics_text
    from zoo.evaluation import evaluate_weights
    from zoo.training.precision import pick_device
    from zoo.weights import find

    result = evaluate_weights(
        find(weights, session.catalog),
        session.registry,
        split=split,
        dataset=dataset,
        data=given,
        device=pick_device(device),
        notice=notice,
    )
    if as_json:
        print_json(result)
    else:
        told = f"{result['dataset']} {split}, {result['count']:,} {result['unit']}"
        click.echo(f"{told}  |  {metrics_text(result['metrics'])}")
