"""Check a dataset for copies within and across splits, and for other faults that distort metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from zoo.config.arguments import checked
from zoo.console.progress import Bar, quiet
from zoo.data.vocabulary import WritesText
from zoo.errors import DataError, OptionError
from zoo.files.faults import collecting_faults
from zoo.registry.registry import Registry, default_registry

if TYPE_CHECKING:
    from PIL.Image import Image

    from zoo.interfaces import Dataset, Split, Task
    from zoo.tools.data_check.image_checks import Report

# Tokens of an n-gram: of characters, and of words and the like
_CHARACTERS, _WORDS = 50, 13
# Passages that are reported for each pair of splits, and tokens that are shown of each
_PASSAGES, SHOWN = 20, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """The findings of `check_data`.

    Attributes:
        facts: the findings as JSON data.
    """

    facts: Mapping[str, Any]
    _dataset: Dataset = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON data."""
        return dict(self.facts)

    def sheet(self, count: int = 24) -> Image:
        """Return a sheet of pairs of duplicate images: exact duplicates first, then the most similar images.

        Pairs whose labels differ come first.

        Args:
            count: maximum number of pairs.

        Raises OptionError if there are no such pairs.
        """
        from zoo.analysis.render import contact_sheet, grid

        found = [*self.facts.get("exact", ()), *self.facts.get("near", ())]
        if not found:
            raise OptionError("there are no copies to draw")
        found.sort(key=lambda pair: not pair["labels_differ"])
        panels: list[Image] = []
        for pair in found[:count]:
            mirrored = ", mirrored" if pair.get("mirrored") else ""
            how = f"{pair['similarity']:.3f}{mirrored}" if "similarity" in pair else "exact"
            one, other = pair["items"][:2]
            captions = [
                (one["label"], Path(one["name"]).name),
                (f"{other['label']} ({how})", Path(other["name"]).name),
            ]
            panels.append(grid([self._image(one), self._image(other)], captions))
        return contact_sheet(panels)

    def _image(self, item: Mapping[str, Any]) -> Image:
        from zoo.analysis.sheets import picture

        return picture(self._dataset.split(item["split"])[item["index"]][0])


@checked
def check_data(
    dataset: str,
    *,
    data: Mapping[str, Any] | None = None,
    similarity: Annotated[float, Meta(gt=0, le=1)] = 0.85,
    ngram: Annotated[int, Meta(ge=2, le=1_000)] | None = None,
    progress: bool = True,
    registry: Registry | None = None,
) -> DataCheck:
    """Check a dataset for duplicates within and across its splits, and for other common faults.

    ::

        zoo.check_data("folder", data={"root": "photos"}).facts["copies"]

    For images, the check finds exact and near duplicates, duplicates with different labels, and constant
    images, and counts the images in each class. For image files, it also finds images that are enlarged or
    heavily cropped to fit the model's input. It lists the images that cannot be read and the class folders
    without images, and checks the other images. The run time is proportional to the square of the number of
    images. For texts, the check finds passages that occur in more than one split.

    Args:
        dataset: a dataset or preset, such as `shapes`.
        data: dataset options.
        similarity: minimum similarity of near duplicates, at most 1; lower values find more duplicates, but
            also more false positives.
        ngram: minimum length of a shared passage in tokens; by default, 50 characters or 13 words.
        progress: show progress on stderr or in the notebook.
        registry: as in `open_dataset`.

    Raises:
        UnknownName, AmbiguousName: the name of the dataset is unknown or ambiguous.
        OptionError: an option is invalid, or the dataset has neither images with classes nor text.
        DataError: the data is missing or damaged.
    """
    registry = default_registry() if registry is None else registry
    entry = registry.dataset(dataset)
    with Bar(f"checking {entry.name}") if progress else quiet() as report:
        opened, errors = _open(entry.name, registry, data or {})
        from zoo.interfaces import SPLITS, CarriesState, make_task

        task = make_task(registry, entry.spec.task)
        is_text = isinstance(task, CarriesState)
        if not is_text and not {"classes", "size"} <= opened.preprocess.keys():
            raise OptionError(
                f"{entry.name} has neither images with classes nor text, so it cannot be checked"
            )
        facts: dict[str, Any] = {
            "dataset": entry.name,
            "data": dict(data or {}),
            "fingerprint": opened.fingerprint,
            "unit": task.processor.unit(opened.preprocess),
            "splits": {split: _split_facts(task, opened, split) for split in SPLITS},
            "errors": [{"path": str(path), "error": str(error)} for path, error in errors.items()],
        }
        if is_text:
            facts |= _text_facts(task, opened, ngram, report)
        else:
            facts |= _image_facts(opened, similarity, report)
    return DataCheck(facts=facts, _dataset=opened)


def _open(name: str, registry: Registry, data: Mapping[str, Any]) -> tuple[Dataset, Mapping[Path, DataError]]:
    """Open a dataset without the files that cannot be read, and return the error of each such file.

    Raises DataError if the dataset cannot be opened without them either.
    """
    from zoo.api.models_and_datasets import open_dataset

    try:
        return open_dataset(name, progress=False, registry=registry, **data), {}
    except DataError:
        with collecting_faults() as errors:
            return open_dataset(name, progress=False, registry=registry, **data), errors


def _split_facts(task: Task, dataset: Dataset, split: Split) -> dict[str, Any]:
    return {"count": len(dataset.split(split)), "classes": task.class_counts(dataset, split)}


def _image_facts(dataset: Dataset, similarity: float, report: Report) -> dict[str, Any]:
    from zoo.tools.data_check.image_checks import check_images, check_sizes, read_images

    images = read_images(dataset, report)
    found = check_images(images, similarity=similarity, report=report)
    return {"similarity": similarity, **found, "sizes": check_sizes(images, dataset.preprocess["size"])}


def _text_facts(task: Task, dataset: Dataset, ngram: int | None, report: Report) -> dict[str, Any]:
    from zoo.interfaces import SPLITS
    from zoo.tools.data_check.text_overlap import shared_passages

    unit = task.processor.unit(dataset.preprocess)
    ngram = ngram or (_CHARACTERS if unit == "characters" else _WORDS)
    decode: Callable[[Any], str] | None = None
    if isinstance(task.processor, WritesText):
        vocabulary = task.processor.vocabulary(dataset.preprocess)
        decode = vocabulary.decode
    pairs = list(combinations(SPLITS, 2))
    rows: list[dict[str, Any]] = []
    for number, (known, split) in enumerate(pairs):
        report("comparing texts", number, len(pairs), "pairs of splits")
        tokens, others = (dataset.split(name).numpy() for name in (split, known))
        overlap = shared_passages(tokens, others, ngram=ngram)
        passages: list[dict[str, Any]] = []
        for start, length in overlap.passages[:_PASSAGES]:
            shown = tokens[start : start + min(length, SHOWN)].tolist()
            passages.append({"start": start, "length": length, "text": decode(shown) if decode else None})
        rows.append(
            {
                "split": split,
                "in": known,
                "share": overlap.share,
                "count": len(overlap.passages),
                "passages": passages,
            }
        )
    return {"ngram": ngram, "overlap": rows}
