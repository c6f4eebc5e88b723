"""`zoo show`: all that is known of one entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.list import KINDS, all_rows
from zoo.cli.names import NameType
from zoo.cli.output import json_option, print_json, print_pairs
from zoo.cli.session import Session, pass_session
from zoo.config import options
from zoo.errors import AmbiguousName, DataError, OptionError, UnknownName, ZooError, did_you_mean
from zoo.registry.catalog import RecipeEntry
from zoo.registry.experiment import Experiment
from zoo.registry.registry import Entry
from zoo.registry.specs import DIMS, AnalyzerSpec, ArchitectureSpec, DatasetSpec, Recipe

if TYPE_CHECKING:
    from zoo.interfaces import Dataset, Split


@click.command()
@click.argument("name", type=NameType(*KINDS))
@click.option("--data", multiple=True, metavar="K=V", help="An option of the dataset.")
@click.option(
    "--train", multiple=True, metavar="K=V", help="A field of the training recipe, to count batches by."
)
@json_option
@pass_session
def command(
    session: Session, name: str, data: tuple[str, ...], train: tuple[str, ...], as_json: bool
) -> None:
    """Show an entry by NAME: an architecture, dataset, analyzer, recipe or weights.

    A recipe is shown with every setting it trains by, its architecture's own included.
    For an architecture, parameters and cost are counted if torch is installed. A dataset is opened if its
    data is here, and its splits and batches are counted; nothing is ever downloaded.

    \b
    zoo show lstm
    zoo show nietzsche --train batch_size=128
    zoo show files --data paths=my.txt
    """
    row = _find(all_rows(session), name)
    if row["kind"] != "dataset" and (data or train):
        raise OptionError(
            f"--data and --train are for datasets, and {row['name']} is of kind {row['kind']}",
            hint="`zoo list dataset` shows the datasets",
        )
    recipe = Recipe().replace(options.parse(train, what="--train"), what="training")
    facts = row | _facts(session, row, options.parse(data, what="--data"), recipe)
    if as_json:
        print_json(facts)
    else:
        print_pairs([pair for key, value in facts.items() for pair in _pairs(key, value)])


def _find(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = [row for row in rows if name in (row["name"], row["name"].rpartition("/")[2])]
    if [row["kind"] for row in found] == ["recipe", "weights"] and found[0]["name"] == found[1]["name"]:
        return found[0]  # which shows the weights that it made
    if len(found) > 1:
        choices = ", ".join(f"{row['kind']} {row['name']}" for row in found)
        raise AmbiguousName(f"{name!r} may be {choices}; write the full name")
    if not found:
        known = [word for row in rows for word in (row["name"], row["name"].rpartition("/")[2])]
        raise UnknownName(
            f"nothing is called {name!r}{did_you_mean(name, known)}", hint="`zoo list` shows all"
        )
    return found[0]


def _facts(session: Session, row: dict[str, Any], data: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    if row["kind"] == "recipe":
        found = session.catalog.recipes[row["name"]]
        made = {name: asdict(w) for name, w in session.catalog.weights.items() if w.recipe == row["name"]}
        facts = asdict(found) | _told(_of_recipe(session, found), "recipe")
        return facts | ({"weights": made} if made else {})
    if row["kind"] == "weights":
        return asdict(session.catalog.weights[row["name"]])
    entry = next(e for e in session.registry.entries(row["kind"]) if e.name == row["name"])
    facts = asdict(entry.spec) | {"name": row["name"], "distribution": entry.plugin.distribution}
    facts["version"] = entry.plugin.version
    if isinstance(entry.spec, ArchitectureSpec):
        facts["recipe"] = _changed(entry.spec.recipe)
        facts["analyzers"] = [
            other.name
            for other in session.registry.entries("analyzer")
            if isinstance(other.spec, AnalyzerSpec) and other.spec.fits(entry.spec)
        ]
        return facts | _told(_of_model(entry), "options", "parameters and cost")
    if isinstance(entry.spec, DatasetSpec):
        parts = _of_data(entry, data, recipe)
        return facts | _told(parts, "options", "splits", "batches per epoch", given=bool(data))
    facts["architectures"] = [
        other.name
        for other in session.registry.entries("architecture")
        if isinstance(other.spec, ArchitectureSpec) and entry.spec.fits(other.spec)
    ]
    return facts | _told(_of_analyzer(entry), "options")


def _told(parts: Iterator[dict[str, Any]], *names: str, given: bool = False) -> dict[str, Any]:
    """Return the parts, which are called `names`, up to the one that cannot be had, and why it cannot.

    Raises OptionError if the user has `given` options, which are then what is wrong.
    """
    facts: dict[str, Any] = {}
    left = [*names]
    try:
        for part in parts:
            facts |= part
            left.pop(0)
        return facts
    except ImportError as error:
        why = f"they need {error.name}, which is not installed"
    except ZooError as error:
        if isinstance(error, OptionError) and given:
            raise
        why = f"{error}; {error.hint}" if error.hint else str(error)
    except Exception as error:  # a plugin's own
        why = f"{type(error).__name__}: {error}"
    return facts | {"unknown": f"{', '.join(left)}: {why}"}


def _of_recipe(session: Session, found: RecipeEntry) -> Iterator[dict[str, Any]]:
    yield {"recipe": Experiment.of(found).recipe(session.registry).to_dict()}


def _of_model(entry: Entry[Any]) -> Iterator[dict[str, Any]]:
    from zoo.models.building import measure

    dims = DIMS[entry.spec.task]
    own = {name: default for name, default in _options(entry).items() if name not in dims}
    yield {"options": own | dict(entry.spec.config)}
    yield {"measured_at": dict(dims)} | measure(entry)


def _of_analyzer(entry: Entry[Any]) -> Iterator[dict[str, Any]]:
    yield {"options": _options(entry)}


def _of_data(entry: Entry[Any], data: dict[str, Any], recipe: Recipe) -> Iterator[dict[str, Any]]:
    from zoo.files.downloads import offline
    from zoo.models.building import open_dataset
    from zoo.tasks import make_task

    known = _options(entry)
    yield {"options": known}
    needed = [name for name, default in known.items() if default == "required" and name not in data]
    if needed:
        raise DataError(f"{entry.name} needs {' '.join(f'--data {name}=...' for name in needed)}")
    with offline():
        dataset = open_dataset(entry, data)
    of_text = entry.spec.task == "language-modelling"
    classes = {} if of_text else {"classes": dataset.preprocess["classes"]}
    count = _tokens if of_text else _images
    splits = {name: count(dataset, name) for name in ("train", "val", "test")}
    yield {"dims": dict(dataset.dims), **classes, "splits": splits}
    batch = next(iter(make_task(entry.spec.task).train_batches(dataset, recipe, seed=0, epoch=0)))
    sizes = {"batch_size": recipe.batch_size} | ({"bptt": recipe.bptt} if of_text else {})
    yield {"batches_per_epoch": batch.total, "batched_with": sizes | _changed(recipe)}


def _tokens(dataset: Dataset, split: Split) -> dict[str, int]:
    """Count a split's tokens, and those that are `<unk>`, number 0."""
    tokens = dataset.split(split)
    unknown = len(tokens) - int(tokens.count_nonzero()) if dataset.preprocess["specials"] else 0
    return {"tokens": len(tokens), "unknown": unknown}


def _images(dataset: Dataset, split: Split) -> dict[str, int]:
    return {"images": len(dataset.split(split))}


def _options(entry: Entry[Any]) -> dict[str, Any]:
    from zoo.models.building import signature_options

    return {
        name: "required" if option.default is option.empty else option.default
        for name, option in signature_options(entry.load()).items()
    }


def _changed(recipe: Recipe) -> dict[str, Any]:
    usual = Recipe().to_dict()
    return {key: value for key, value in recipe.to_dict().items() if value != usual[key]}


def _pairs(key: str, value: Any) -> list[tuple[str, str]]:
    """Return the lines that tell a fact: one, or one for each split or file of weights."""
    if key == "splits":
        return [(split, _counts(counts)) for split, counts in value.items()]
    if key == "weights":
        return [(key, f"{name}, {_claim(entry)}") for name, entry in value.items()]
    return [(key.replace("_", " "), _text(key, value))]


def _claim(entry: dict[str, Any]) -> str:
    """Return what is claimed for published weights, in words."""
    parts = [
        f"{split} {' '.join(f'{metric} {figure:.4f}' for metric, figure in metrics.items())}"
        for split, metrics in entry["metrics"].items()
    ]
    return f"{', '.join(parts)}, {entry['bytes']:,} bytes"


def _counts(counts: dict[str, int]) -> str:
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{told} ({100 * counts['unknown'] / counts['tokens']:.2g} %)" if counts.get("unknown") else told


def _text(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={held}" for name, held in value.items())
    if isinstance(value, int) and not isinstance(value, bool) and key != "seed":
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
