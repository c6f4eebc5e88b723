"""`zoo data check`: check a dataset for copies and other faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from zoo.cli.flags import options_of
from zoo.cli.name_types import NameType, PathType
from zoo.cli.session import Session, print_json, standard_options
from zoo.console.tables import print_paragraph, print_table, print_title
from zoo.console.terminal import echo
from zoo.files.atomic import write_output
from zoo.tools.data_check.data_check import SHOWN, check_data

# Findings of each kind that are listed
_LISTED = 20
# The share of images with a near duplicate above which the similarity is probably too low
_MANY = 0.1


@click.group()
def command() -> None:
    """Check datasets.

    \b
    zoo data check shapes
    """


@command.command("check", short_help="Find duplicates and other common problems in a dataset.")
@click.argument("dataset", type=NameType("dataset"))
@options_of(check_data, skip=["dataset"])
@click.option("--plot", type=PathType(), help="Save a figure of the pairs of duplicates to this PNG file.")
@standard_options
def check(session: Session, dataset: str, plot: Path | None, as_json: bool, **settings: Any) -> None:
    """Find duplicates, within and across splits, and other common problems in DATASET.

    Images: exact and near duplicates (brighter, shifted by a few pixels, recompressed or mirrored),
    duplicates with different labels, constant images, class imbalance and, for image files, images that
    cannot be read, class folders without images, and images that are enlarged or heavily cropped to fit
    the model's input. Texts: passages that occur in more than one split.

    Findings are not errors: the exit code is 0.

    \b
    zoo data check cifar10 --plot copies.png
    zoo data check folder --data root=photos --json
    zoo data check files --data paths=my.txt
    """
    found = check_data(dataset, progress=session.progress, registry=session.registry, **settings)
    facts = found.to_dict()
    drawn = plot if plot and (facts.get("exact") or facts.get("near")) else None
    if as_json:
        print_json(facts | {"plot": drawn and str(drawn)})
    else:
        _print(facts)
    if drawn:
        from zoo.analysis.sheets import png

        write_output(drawn, png(found.sheet()))
    if plot and not as_json:
        echo()
        echo(f"figure  {drawn}" if drawn else "no figure was drawn, because there are no copies")


def _print(facts: Mapping[str, Any]) -> None:
    total = sum(split["count"] for split in facts["splits"].values())
    print_title(facts["dataset"], f"{total:,} {facts['unit']}")
    _print_splits(facts["splits"])
    if errors := facts["errors"]:
        rows = [[found["error"]] for found in errors[:_LISTED]]
        _print_list(f"unreadable images and empty class folders: {len(errors):,}", rows, len(errors))
    if "overlap" in facts:
        _print_overlap(facts)
    else:
        _print_copies(facts)
        _print_images(facts)


def _print_splits(splits: Mapping[str, Mapping[str, Any]]) -> None:
    rows: list[list[str]] = []
    for name, split in splits.items():
        counts = sorted((count, each) for each, count in split["classes"].items())
        ends = [f"{counts[place][1]} {counts[place][0]:,}" for place in (0, -1)] if counts else []
        rows.append([name, f"{split['count']:,}", *ends])
    header = ["SPLIT", "COUNT", "SMALLEST CLASS", "LARGEST CLASS"]
    echo()
    print_table(rows, header[: max(map(len, rows))], indent=2, numbers=(1,))


def _print_copies(facts: Mapping[str, Any]) -> None:
    rows = [
        [
            f"{row['split']} in {row['in']}" if row["split"] != row["in"] else f"within {row['split']}",
            *(f"{row[key]:,}" for key in ("exact", "near", "labels_differ")),
        ]
        for row in facts["copies"]
    ]
    echo()
    print_table(rows, ["IMAGES WITH A COPY", "EXACT", "NEAR", "OTHER LABEL"], indent=2, numbers=(1, 2, 3))
    _print_pairs("exact duplicate", "", facts["exact"])
    torn = [pair for pair in facts["near"] if pair["labels_differ"]]
    _print_pairs("near duplicate", " with different labels", torn)
    _print_pairs("near duplicate", "", [pair for pair in facts["near"] if not pair["labels_differ"]])
    copied = {(item["split"], item["index"]) for pair in facts["near"] for item in pair["items"]}
    total = sum(split["count"] for split in facts["splits"].values())
    if len(copied) > _MANY * total:
        echo()
        print_paragraph(
            f"{len(copied):,} of {total:,} images have a near duplicate; if the pairs show different images, "
            f"raise --similarity (now {facts['similarity']:g})"
        )


def _print_pairs(what: str, how_labeled: str, pairs: Sequence[Mapping[str, Any]]) -> None:
    if not pairs:
        return
    rows: list[list[str]] = []
    for pair in pairs[:_LISTED]:
        how = f"{pair['similarity']:.3f}" if "similarity" in pair else ""
        how += " mirrored" if pair.get("mirrored") else ""
        items = [f"{_named(item)} ({item['label']})" for item in pair["items"]]
        rows.append([*filter(None, [how]), (" ~ " if how else " = ").join(items)])
    _print_list(f"{len(pairs):,} {what}{'s' * (len(pairs) > 1)}{how_labeled}", rows, len(pairs))


def _named(item: Mapping[str, Any]) -> str:
    return f"{item['split']} {item['name']}" if "file" in item else item["name"]


def _print_list(title: str, rows: Sequence[Sequence[str]], count: int) -> None:
    echo()
    print_title(title)
    print_table(rows, indent=2)
    if count > len(rows):
        echo(f"  … and {count - len(rows):,} more; --json lists all")


def _print_images(facts: Mapping[str, Any]) -> None:
    sizes = facts["sizes"]
    kinds = {"with a single color": facts["constant"]}
    if sizes:
        kinds["that are enlarged, because they are smaller than the model's input"] = sizes["enlarged"]
        kinds["that lose more than half of their area in the model's square crop"] = sizes["cropped"]
    for title, items in kinds.items():
        if items:
            rows = [[_named(item)] for item in items[:_LISTED]]
            _print_list(f"images {title}: {len(items):,}", rows, len(items))
    if sizes:
        smallest, largest = ("×".join(map(str, sizes[key])) for key in ("smallest", "largest"))
        echo()
        echo(f"files from {smallest} to {largest} pixels")


def _print_overlap(facts: Mapping[str, Any]) -> None:
    rows = [
        [f"{row['split']} in {row['in']}", f"{100 * row['share']:.2f}%", f"{row['count']:,}"]
        for row in facts["overlap"]
    ]
    echo()
    print_table(rows, ["TEXT", "SHARED", "PASSAGES"], indent=2, numbers=(1, 2))
    echo()
    print_paragraph(
        f"shared: in passages of at least {facts['ngram']} {facts['unit']} that the other split also contains"
    )
    for row in facts["overlap"]:
        for passage in row["passages"][:3]:
            echo()
            text = " ".join((passage["text"] or "").split())
            longer = "…" * (passage["length"] > SHOWN)
            about = f"{row['split']} at {passage['start']:,}, {passage['length']:,} {facts['unit']}: "
            print_paragraph(f"{about}{text}{longer}", indent=2)
