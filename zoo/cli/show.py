"""`zoo show`: show the details of one catalog entry."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from zoo.api.entry_description import describe
from zoo.cli.flags import flag_of, options_of
from zoo.cli.name_types import PLURALS, NameType
from zoo.cli.session import Session, print_json, standard_options
from zoo.config import options
from zoo.console.figures import figure, figures
from zoo.console.tables import as_typed, enumerated, print_paragraph, print_section, print_table, print_title
from zoo.console.terminal import echo
from zoo.errors import OptionError
from zoo.files.atomic import write_output
from zoo.registry.name_index import KINDS

# Arguments of `training_batch` that other options set, or that have no text form
_NOT_TRAINING = frozenset({"name", "dataset", "data", "model", "progress", "registry"})


@click.command()
@click.argument("name", type=NameType(*KINDS))
@options_of(describe)
@click.option("--image", default="", help="Save a figure of the first training batch to this PNG file.")
@click.option("--architecture", default="", help="With --image: architecture that the batch is prepared for.")
@click.option(
    "--train",
    "training",
    multiple=True,
    help="With --image: training option such as batch_size=32, augment=crop,flip or seed=1.",
)
@standard_options
def command(
    session: Session,
    name: str,
    image: str,
    architecture: str,
    training: Sequence[str],
    as_json: bool,
    **settings: Any,
) -> None:
    """Show the details of NAME, which can be any name that `zoo list` prints.

    For a recipe, the details include what its published weights achieve at which cost, the training
    options, and the differences from the most similar recipe before it. For an architecture, the details
    include the number of parameters and, if torch is installed, the FLOPs per input. For a dataset, the
    details include the sizes of the splits if the data is on this machine. This command does not download
    anything.

    \b
    zoo show lstm
    zoo show files --data paths=my.txt
    """
    if image or architecture or training:
        _draw_batch(session, name, architecture, image, training, settings["data"], as_json)
        return
    with session.working():  # a large dataset takes a while to open
        facts = describe(name, session.registry, **settings)
    if as_json:
        print_json(facts)
        return
    about = f"for {facts['task']}" if facts["task"] else ""
    print_title(f"{facts['kind'].capitalize()} {facts['name']}", about)
    print_paragraph(facts["summary"], indent=2)
    _PRINT[facts["kind"]](facts)
    if "unknown" in facts:
        what, _, reason = facts["unknown"].partition(": ")
        print_section("Unknown here", [(what, reason)])


def _architecture(facts: Mapping[str, Any]) -> None:
    cost = {"parameters": "parameters", "FLOPs of one input": "flops"}
    pairs = [(name, f"{facts[key]:,}") for name, key in cost.items() if facts.get(key)]
    pairs.append(("measured with", _words(facts.get("measured_at", {}))))
    length = facts["context_length"]
    bounds = {
        "context length": f"{length:,} tokens" if isinstance(length, int) else f"the option {length}",
        "smallest image": f"{facts['smallest_image']:,} pixels",
    }
    pairs += [(name, text) for name, text in bounds.items() if facts[name.replace(" ", "_")]]
    print_section("", [*pairs, ("pretrained weights", ", ".join(facts["pretrained"]))])
    _print_options(facts, "--model")
    print_section("Training options", as_typed(facts["training"]), about="that differ from zoo's defaults")
    print_section("Layers", [*facts["landmarks"].items()], about="for analyzers and zoo embed")
    print_section("", [("analyzers", ", ".join(facts["analyzers"])), *_origin(facts)])


def _dataset(facts: Mapping[str, Any]) -> None:
    _print_options(facts, "--data")
    splits = [(split, _counts(counts)) for split, counts in facts.get("splits", {}).items()]
    print_section("Splits", splits)
    if by_class := facts.get("by_class"):
        rows = [[name, *(f"{held[name]:,}" for held in by_class.values())] for name in by_class["train"]]
        echo()
        print_table(rows, ["CLASS", *map(str.upper, by_class)], indent=2, numbers=(1, 2, 3))
    classes = enumerated([*map(str, facts.get("classes", []))])
    dims = [(name, f"{value:,}") for name, value in facts.get("dims", {}).items()]
    print_section("Model inputs", [*dims, ("classes", classes)])
    download = f"{facts['download_bytes'] / 1e6:,.1f} MB" if facts["download_bytes"] else "none"
    print_section("", [("download", download), ("license", facts["license"]), *_origin(facts)])


def _analyzer(facts: Mapping[str, Any]) -> None:
    _print_options(facts, "--option")
    needs = [need.replace("|", " or ") for need in facts["needs"]]
    pairs = [("needs layers", ", ".join(needs)), ("does not depend on", ", ".join(facts["ignores"]))]
    print_section("", [*pairs, ("works on", enumerated(facts["architectures"])), *_origin(facts)])


def _recipe(facts: Mapping[str, Any]) -> None:
    published = facts.get("weights", {})
    for name, entry in published.items():  # first, since they show what the recipe achieves
        pairs = [("trained in", _cost(entry)), ("size", f"{entry['bytes']:,} bytes")]
        print_section(f"Published weights {name}", [*_metrics(entry, facts["units"]), *pairs])
    keys = ("architecture", "dataset", "from_weights", "seed")
    print_section("Recipe", [(key.replace("_", " "), facts[key]) for key in keys])
    print_section("Model options", as_typed(facts["model"]))
    print_section("Data options", as_typed(facts["data"]))
    changed = facts.get("changed", facts["train"])
    print_section("Training options", as_typed(changed), about="that differ from zoo's defaults")
    if similar := facts.get("similar"):
        differences = similar["differences"].items()
        pairs = [
            (name, f"{_typed(after)} instead of {_typed(before)}") for name, (before, after) in differences
        ]
        print_section(f"Differences from {similar['name']}", pairs)
    commands = [("train it", f"zoo train {shlex.quote(facts['name'])}")]
    commands += [("show the card", f"zoo inspect {name}") for name in published]
    print_section("Commands", commands, wrap=False)


def _weights(facts: Mapping[str, Any]) -> None:
    size = [("parameters", f"{facts['params']:,}"), ("size", f"{facts['bytes']:,} bytes")]
    print_section("Metrics", _metrics(facts, facts["units"]))
    pairs = [("recipe", facts["recipe"]), ("trained in", _cost(facts)), *size, ("license", facts["license"])]
    print_section("", pairs)
    where = facts["path"] or "not on this machine; `zoo inspect` explains how to get it"
    print_section("File", [("path", where), ("url", facts["url"]), ("sha256", facts["sha256"])], wrap=False)
    name = shlex.quote(facts["name"])
    commands = [("show the card", f"zoo inspect {name}"), ("evaluate them", f"zoo eval {name}")]
    print_section("Commands", commands, wrap=False)


def _task(facts: Mapping[str, Any]) -> None:
    better = "higher is better" if facts["primary_metric"] in facts["higher_is_better"] else "lower is better"
    pairs = [
        ("primary metric", f"{facts['primary_metric']}, {better}"),
        ("dimensions", _words(facts["dims"])),
        ("outputs", " × ".join(map(str, facts["output_shape"]))),
    ]
    print_section("", pairs)
    groups = ", ".join(facts["groups"])
    print_section("Training options", as_typed(facts["fields"]), about=f"for {groups}, with their defaults")
    entries = [(PLURALS[kind], enumerated(names)) for kind, names in facts["entries"].items()]
    print_section("Entries", entries)
    print_section("", _origin(facts))


def _group(facts: Mapping[str, Any]) -> None:
    meanings = {flag_of(field["name"]): field["meaning"].replace("`", "") for field in facts["fields"]}
    fields = [(flag, meaning or "(not described)") for flag, meaning in meanings.items()]
    print_section("Training options", fields)
    print_section("", [("for", ", ".join(facts["tasks"])), *_origin(facts)])


def _method(facts: Mapping[str, Any]) -> None:
    name = facts["name"].rpartition("/")[2]
    prefix = f"{name}." if facts["kind"] in ("augmentation", "metric") else ""
    _print_options(facts, facts["option_flag"], prefix)
    usual = as_typed(facts.get("training", {}))
    print_section("Training options", usual, about="that zoo uses with it unless you set them")
    target = facts.get("target_value")
    print_section("", [("best value", "" if target is None else figure(target, facts["unit"]))])
    ways = " or ".join(f"{flag} {name}" for flag in facts["flags"])
    print_section("", [("usage", f"zoo train ... {ways}"), *_origin(facts)])


def _command(facts: Mapping[str, Any]) -> None:
    name = facts["name"].rpartition("/")[2]
    print_section("", [("usage", f"zoo {name} --help"), *_origin(facts)])


def _exporter(facts: Mapping[str, Any]) -> None:
    _print_options(facts, "--option")
    files = f"{facts['suffix']}, {'read and write' if facts['reader'] else 'write only'}"
    how = f"zoo export WEIGHTS --to {facts['name'].rpartition('/')[2]}"
    print_section("", [("files", files), ("usage", how), *_origin(facts)])


def _tracker(facts: Mapping[str, Any]) -> None:
    _print_options(facts, "--option")
    how = f"zoo track RUN --to {facts['name'].rpartition('/')[2]}"
    print_section("", [("usage", how), *_origin(facts)])


_PRINT: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "architecture": _architecture,
    "dataset": _dataset,
    "analyzer": _analyzer,
    "recipe": _recipe,
    "weights": _weights,
    "task": _task,
    "group": _group,
    "optimizer": _method,
    "schedule": _method,
    "augmentation": _method,
    "metric": _method,
    "tokenizer": lambda facts: print_section("", _origin(facts)),
    "command": _command,
    "exporter": _exporter,
    "tracker": _tracker,
}


def _origin(facts: Mapping[str, Any]) -> list[tuple[str, object]]:
    plugin = f"{facts['plugin']}, from {facts['distribution']} {facts['version']}".rstrip()
    needs = f"{facts['distribution']}[{facts['extra']}]" if facts.get("extra") else ""
    return [("needs", needs), ("source", facts.get("source")), ("plugin", plugin)]


def _print_options(facts: Mapping[str, Any], flag: str, prefix: str = "") -> None:
    about = f"({flag} {prefix}KEY=VALUE) with their defaults"
    print_section("Options", as_typed(facts.get("options", {})), about=about)


def _words(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in as_typed(table))


def _metrics(entry: Mapping[str, Any], units: Mapping[str, str]) -> list[tuple[str, object]]:
    measured = [(split, figures(metrics, units)) for split, metrics in entry["metrics"].items()]
    return [*measured, ("seeds", entry["spread"] or "a single one")]


def _typed(value: object) -> str:
    return "default" if value is None else options.text(value) or '""'


def _cost(entry: Mapping[str, Any]) -> str:
    return f"{entry['seconds']:,.0f} s of CPU time" if entry["seconds"] else ""


def _counts(counts: Mapping[str, int]) -> str:
    text = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{text} ({100 * counts['unknown'] / counts['tokens']:.2g}%)" if counts.get("unknown") else text


def _draw_batch(
    session: Session,
    name: str,
    architecture: str,
    image: str,
    training: Sequence[str],
    data: Mapping[str, Any] | None,
    as_json: bool,
) -> None:
    """Draw the first training batch, and describe it."""
    if not image:
        message = "--train and --architecture require --image"
        raise OptionError(message, hint="add --image FILE.png")
    from zoo.analysis.sheets import png
    from zoo.tools.data_check.training_batch import training_batch

    words = (architecture, name) if architecture else (name,)
    given = options.parse(training, what="--train")
    for option in given:
        if option in _NOT_TRAINING:
            hint = "dataset options are passed with --data, and the architecture with --architecture"
            raise OptionError(f"--train has no option '{option}'", hint=hint)
    found = training_batch(
        *words, data=data or {}, progress=session.progress, registry=session.registry, **given
    )
    write_output(Path(image), png(found.sheet()))
    facts = found.to_dict() | {"image": image}
    if as_json:
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
        ("figure", image),
    ]
    print_section("", pairs)
