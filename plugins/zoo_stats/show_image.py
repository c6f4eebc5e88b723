"""`zoo show --image`: draw the first training batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo import OptionError
from zoo.cli.kit import Session, print_json, print_section, print_title
from zoo.plugin import options, write_output
from zoo_stats.options import BatchImage

__all__ = ["show_image"]

# Arguments of `training_batch` that other options set, or that have no text form
_NOT_TRAINING = frozenset({"name", "dataset", "data", "model", "progress", "registry"})


def show_image(session: Session, chosen: BatchImage, arguments: dict[str, Any], _: Callable[[], Any]) -> None:
    """Draw the first training batch instead of describing an entry, and describe the batch."""
    if not chosen.image:
        message = "--train and --architecture require --image"
        raise OptionError(message, hint="add --image FILE.png")
    from zoo_stats.sheets import png
    from zoo_stats.training_batch import training_batch

    name, data = arguments["name"], arguments["data"] or {}
    words = (chosen.architecture, name) if chosen.architecture else (name,)
    training = options.parse(chosen.train, what="--train")
    for option in training:
        if option in _NOT_TRAINING:
            hint = "dataset options are passed with --data, and the architecture with --architecture"
            raise OptionError(f"--train has no option '{option}'", hint=hint)
    found = training_batch(
        *words,
        data=data,
        progress=session.progress,
        registry=session.registry,
        **training,
    )
    write_output(Path(chosen.image), png(found.sheet()))
    facts = found.to_dict() | {"image": chosen.image}
    if arguments["as_json"]:
        print_json(facts)
        return
    print_title(f"First batch of {facts['training']}", f"{facts['count']} images")
    channels = [", ".join(f"{value:.3g}" for value in facts[key]) for key in ("mean", "sd")]
    classes = [f"{name} {share:g}" for name, share in found.classes.items() if share]
    pairs = [
        ("shape", "×".join(map(str, facts["shape"]))),
        ("values", f"{facts['lowest']:.3g} to {facts['highest']:.3g}"),
        ("mean of channels", channels[0]),
        ("sd of channels", channels[1]),
        ("images per class", ", ".join(classes)),
        ("figure", chosen.image),
    ]
    print_section("", pairs)
