"""`zoo histogram`: how the values of a model's weights are distributed."""

import click

from zoo import OptionError
from zoo.cli.kit import (
    Session,
    columns,
    device_option,
    print_json,
    print_table,
    print_title,
    standard_options,
    weights_argument,
)


@click.command()
@weights_argument
@click.option("--bins", type=click.IntRange(1, 1000), default=10, show_default=True, help="Number of bins.")
@click.option("--layer", metavar="NAME", help="Only tensors whose name starts with this.")
@device_option
@standard_options
def command(
    session: Session, weights: str, bins: int, layer: str | None, device: str | None, as_json: bool
) -> None:
    """Count the values in the tensors of WEIGHTS, an id, a file or a run directory, by equal bins."""
    session.begin(f"reading {weights}")
    model = session.load(weights, device=device)
    everything = {name: tensor.detach().float() for name, tensor in model.module.named_parameters()}
    tensors = {name: tensor for name, tensor in everything.items() if name.startswith(layer or "")}
    if not tensors:
        raise OptionError(f"no tensor starts with {layer!r}", hint=f"the tensors: {', '.join(everything)}")
    low = min(float(tensor.min()) for tensor in tensors.values())
    high = max(float(tensor.max()) for tensor in tensors.values())
    counts = [0] * bins
    with session.working() as report:
        for done, (name, tensor) in enumerate(tensors.items()):
            report("counting", done, len(tensors), "tensors", name)
            counted = tensor.histc(bins, low, high)
            counts = [total + int(count) for total, count in zip(counts, counted.tolist(), strict=True)]
    if as_json:
        print_json({"weights": str(model.path), "low": low, "high": high, "counts": counts})
        return
    width = (columns() or 80) - 30
    edges = [low + (high - low) * number / bins for number in range(bins)]
    rows = [
        [f"{edge:.3g}", f"{count:,}", "#" * round(width * count / max(counts))]
        for edge, count in zip(edges, counts, strict=True)
    ]
    print_title(f"Weights {weights}", f"{sum(counts):,} values in {len(tensors)} tensors")
    print_table(rows, ["FROM", "COUNT", ""], numbers=(0, 1))
