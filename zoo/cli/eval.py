"""`zoo eval`: a trained model measured on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo.cli.names import NameType
from zoo.cli.output import device_option, echo, json_option, print_json
from zoo.cli.session import Session, pass_session
from zoo.config import options

if TYPE_CHECKING:
    from zoo.interfaces import Split


@click.command()
@click.argument("weights", type=NameType("weights", files=True))
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Split of the data to measure on.",
)
@click.option(
    "--dataset",
    metavar="NAME",
    type=NameType("dataset"),
    help="Other data.  [default: what the model was trained on]",
)
@click.option("--data", multiple=True, metavar="K=V", help="Option of the dataset.")
@click.option("--tta", is_flag=True, help="Average the answers to six views of each image.")
@click.option("--dynamic", is_flag=True, help="Also measure with dynamic evaluation (language models).")
@click.option(
    "--dynamic-lr", type=float, help="Step size of --dynamic; 0 is no adaptation.  [default: 0.0003]"
)
@click.option(
    "--dynamic-decay",
    type=float,
    help="Pull of --dynamic back towards the trained weights.  [default: 0.001]",
)
@device_option
@json_option
@pass_session
def command(
    session: Session,
    weights: str,
    split: Split,
    dataset: str | None,
    data: tuple[str, ...],
    tta: bool,
    dynamic: bool,
    dynamic_lr: float | None,
    dynamic_decay: float | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Measure WEIGHTS (an id, a file or a run directory) on a split of its data, every item once, in fp32.

    For a classifier, --json adds the accuracy of each class and the confusion matrix. With --dynamic, a
    language model is measured twice more, as a single lane: without adaptation, and while a copy of it keeps
    learning from the text it has just read. The file does not change.
    """
    given = options.parse(data, what="--data")
    if not dynamic and (dynamic_lr is not None or dynamic_decay is not None):
        raise click.UsageError(f"--dynamic-{'lr' if dynamic_decay is None else 'decay'} needs --dynamic")

    from zoo.api.loading import load
    from zoo.api.progress import metrics_text

    model = load(weights, device=device, registry=session.registry)
    result = model.evaluate(
        split,
        dataset=dataset,
        data=given,
        tta=tta,
        dynamic=dynamic,
        dynamic_lr=dynamic_lr,
        dynamic_decay=dynamic_decay,
    )
    if as_json:
        print_json(result)
        return
    views = ", six views of each" if tta else ""
    about = f"{result['dataset']} {split}, {result['count']:,} {result['unit']}{views}"
    echo(f"{about}  |  {metrics_text(result['metrics'])}")
    if dynamic:
        adapted = result["dynamic"]
        echo(f"the same in one lane  |  {metrics_text(adapted['unadapted'])}")
        about = f"dynamic evaluation, lr {adapted['lr']:g}, decay {adapted['decay']:g}"
        echo(f"{about}  |  {metrics_text(adapted['metrics'])}")
