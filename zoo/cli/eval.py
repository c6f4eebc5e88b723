"""`zoo eval`: a weights file measured on a split."""

from __future__ import annotations

import time
from typing import Any

import click

from zoo.cli.names import NameType
from zoo.cli.output import json_option, notice, print_json
from zoo.cli.session import Session, pass_session
from zoo.config import options


@click.command()
@click.argument("weights", type=NameType("weights", files=True))
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option(
    "--dataset", metavar="NAME", type=NameType("dataset"), help="Other data.  [default: what it learned from]"
)
@click.option(
    "--data", multiple=True, metavar="K=V", help="An option of the dataset, over those it learned with."
)
@click.option("--tta", is_flag=True, help="Average the answers to six views of each image.")
@click.option("--dynamic", is_flag=True, help="Also let a copy go on learning from the text as it reads.")
@click.option("--dynamic-lr", type=float, help="Step size of --dynamic; 0 does not adapt.  [default: 0.0003]")
@click.option(
    "--dynamic-decay", type=float, help="Pull of --dynamic back to the trained weights.  [default: 0.001]"
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
    tta: bool,
    dynamic: bool,
    dynamic_lr: float | None,
    dynamic_decay: float | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Measure WEIGHTS (a file or a published id) on a split of its data, every item once, in fp32.

    Of a classifier --json also gives each class's accuracy and the confusion matrix; with --tta it is shown
    each image as it is, mirrored and shifted.

    With --dynamic a language model is also measured in one lane, as it is and by dynamic evaluation, in which
    a copy takes a gradient step on each piece of the text once that is scored. The file is left as it is.
    """
    given = options.parse(data, what="--data")
    settings = {"lr": dynamic_lr, "decay": dynamic_decay}
    adapting: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    if adapting and not dynamic:
        raise click.UsageError(f"--dynamic-{next(iter(adapting))} needs --dynamic")

    from zoo.api.progress import metrics_text
    from zoo.evaluation.dynamic import Dynamic
    from zoo.evaluation.evaluate import evaluate_weights
    from zoo.models.precision import pick_device
    from zoo.models.weights import find

    result = evaluate_weights(
        find(weights, session.catalog),
        session.registry,
        split=split,
        dataset=dataset,
        data=given,
        device=pick_device(device),
        tta=tta,
        dynamic=Dynamic(**adapting) if dynamic else None,
        report=_Pace(),
        notice=notice,
    )
    if as_json:
        print_json(result)
        return
    views = ", six views of each" if tta else ""
    told = f"{result['dataset']} {split}, {result['count']:,} {result['unit']}{views}"
    click.echo(f"{told}  |  {metrics_text(result['metrics'])}")
    if dynamic:
        adapted = result["dynamic"]
        click.echo(f"the same in one lane  |  {metrics_text(adapted['unadapted'])}")
        told = f"dynamic evaluation, lr {adapted['lr']:g}, decay {adapted['decay']:g}"
        click.echo(f"{told}  |  {metrics_text(adapted['metrics'])}")


class _Pace:
    """Tells every 15 seconds, on stderr, how far dynamic evaluation is."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, share: float, loss: float) -> None:
        if time.monotonic() - self._told > 15:
            self._told = time.monotonic()
            notice(f"dynamic evaluation {share:.0%}, loss {loss:.4f} so far")
