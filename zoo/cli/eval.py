"""`zoo eval`: evaluate a trained model on a split."""

from typing import Any

import click

from zoo.api.model import Model
from zoo.cli.flags import options_of
from zoo.cli.name_types import weights_argument
from zoo.cli.session import Session, device_option, print_json, standard_options
from zoo.console.figures import figures
from zoo.console.tables import enumerated, print_paragraph


@click.command()
@weights_argument
@options_of(Model.evaluate)
@device_option
@standard_options
def command(session: Session, weights: str, device: str | None, as_json: bool, **settings: Any) -> None:
    """Evaluate WEIGHTS (an id, a file or a run directory) in fp32 on all items of a split.

    WEIGHTS can also be a file that `zoo export` wrote in a format with a reader, such as ONNX.

    The range in parentheses after a metric is its 95% confidence interval.

    For a classifier, --json adds the accuracy of each class and the confusion matrix; for a multi-label
    model, it adds the average precision of each class. To let a language model learn from the text
    while it is evaluated, use `zoo analyze dynamic-evaluation WEIGHTS`.
    """
    session.begin(f"evaluating {weights}")
    model = session.load(weights, device=device)
    result = model.evaluate(progress=session.progress, **settings)
    if as_json:
        print_json(result)
        return
    units = result["units"]
    below = settings["tta_below"]
    unsure = f" with a probability below {below:g}" if below < 1 else ""
    views = f", several views of each{unsure}" if result["tta"] else ""
    place = ", all" if result["split"] == "all" else f" {result['split']},"
    about = f"{result['dataset']}{place} {result['count']:,} {result['unit']}{views}"
    print_paragraph(f"{about}: {figures(result['metrics'], units, result['intervals'])}")
    if context := result.get("context"):
        most = "exactly" if settings["context"] else "at most"
        based = f"each prediction is based on {most} {context:,} {result['unit']}"
        print_paragraph(f"{based}; for the carried loss, on all that precede it")
    if result["baseline"]:
        print_paragraph(f"random baseline: {figures(result['baseline'], units)}")
    if missing := result.get("missing_classes"):
        some = f"{len(missing)} of the model's {len(result['classes'])} classes"
        print_paragraph(f"no {result['unit']} for {some}: {enumerated(missing)}")
        if averages := [name for name in result["metrics"] if name.startswith("macro")]:
            print_paragraph(f"{', '.join(averages)} counts such a class as 0 if the model predicts it")
    if unknown := result["counts"].get("unknown"):
        total = f"{unknown:,} of {result['counts']['tokens']:,} {result['unit']}"
        print_paragraph(f"{total} are not in the model's vocabulary and are read as <unk>")
