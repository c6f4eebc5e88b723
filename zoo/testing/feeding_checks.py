"""Checks of the inputs that a task accepts: a card, data for the card's model, and the user's own inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from zoo.data.vocabulary import WritesText
from zoo.errors import DataError, OptionError
from zoo.files.cards import Card
from zoo.interfaces import CarriesState, Dataset
from zoo.processors import InputReader, ReadsInputs
from zoo.testing._case import Case, Inapplicable, Skip, failing, message
from zoo.testing._data import empty_folder
from zoo.testing._models import made_up_card


def refuses_unfit_cards(case: Case) -> None:
    """A card without dims, or with fewer labels than its model has, raises OptionError."""
    processor, labels, dims = case.task.processor, case.spec.labels, dict(case.tiny().dims)
    preprocess = dict(case.tiny().preprocess)
    unfit: dict[str, dict[str, int]] = {"without dims": {}}
    if labels is not None:
        unfit[f"with too few {labels[1]}"] = {**dims, labels[0]: dims[labels[0]] + 1}
    for what, arguments in unfit.items():
        refused = False
        try:
            processor.check_feeding(preprocess, arguments)
        except OptionError:
            refused = True
        assert refused, message(
            expected=f"check_feeding() to raise OptionError for a card {what}",
            got="no error",
            usually="a check_feeding() that does not compare `preprocess` with `arguments`",
        )
    for key in preprocess:
        with (
            failing(
                expected=f"check_feeding() to accept a card without {key}, or to raise OptionError",
                usually=f"`preprocess[{key!r}]` without checking that a card has it",
            ),
            contextlib.suppress(OptionError),
        ):
            processor.check_feeding({k: value for k, value in preprocess.items() if k != key}, dims)


def refuses_other_data(case: Case) -> None:
    """feed() adapts data to a card's model, or raises DataError if the data is not compatible.

    The data must have the model's dims; labels in a different order are renumbered; and numbers in
    `preprocess`, such as a mean, come from the card.
    """
    labels, arguments, preprocess = case.spec.labels, case.tiny().dims, case.tiny().preprocess
    for dim, size in arguments.items():
        names = {labels[1]: [*preprocess[labels[1]], "another"]} if labels and dim == labels[0] else {}
        fed = _fed(case, {**arguments, dim: size + 1}, {**preprocess, **names})
        assert fed is None or fed.dims[dim] == size + 1, message(
            expected=f"feed() to raise DataError for data with {dim}={size}, since the model has {size + 1}",
            got=f"data with {dim}={size}",
            usually="a feed() that does not compare the data's dims with `card.arguments`",
        )
    if labels is not None:
        fed = _fed(case, arguments, {**preprocess, labels[1]: [*preprocess[labels[1]]][::-1]})
        assert fed is None or not torch.equal(_targets(case, fed), _targets(case, case.tiny())), message(
            expected=f"feed() to reject or renumber data, since the model's {labels[1]} are reordered",
            got="the same targets",
            usually=f"a feed() that does not compare the data's {labels[1]} with the card's",
        )
    changed = {name: _scaled(value) for name, value in preprocess.items()}
    fed = _fed(case, arguments, changed)
    wrong = [name for name in changed if fed is not None and fed.preprocess.get(name) != changed[name]]
    assert not wrong, message(
        expected="feed() to return data with the card's `preprocess`",
        got=f"the data's own {' and '.join(wrong)}",
        usually="a feed() that changes nothing; return a zoo.plugin.View with `card.preprocess`",
    )


def _fed(case: Case, arguments: Mapping[str, int], preprocess: Mapping[str, Any]) -> Dataset | None:
    """Return the tiny dataset as fed to a model; None if the data or the card is rejected."""
    try:
        case.task.processor.check_feeding(preprocess, arguments)
        fed = case.task.feed(case.tiny(), _card(case, arguments, preprocess))
        _targets(case, fed)  # a split may be renumbered only once it is asked for
    except (DataError, OptionError):
        return None
    return fed


def _card(case: Case, arguments: Mapping[str, int], preprocess: Mapping[str, Any]) -> Card:
    return made_up_card(case.spec.name, arguments=arguments, preprocess=preprocess)


def _targets(case: Case, data: Dataset) -> torch.Tensor:
    return torch.cat([batch.targets.flatten() for batch in case.task.eval_batches(data, "val")])


def _scaled(value: Any) -> Any:
    """Multiply a number, or each number of a list; return anything else unchanged."""
    if isinstance(value, list):
        return [*map(_scaled, value)]
    return 1.5 * value if type(value) is float else value


def reads_its_items(case: Case) -> None:
    """An item of a split, written as a PNG, a string or an array, is read back unchanged."""
    data, processor = case.tiny(), case.task.processor
    if not isinstance(processor, ReadsInputs):
        raise Inapplicable("its processor reads no inputs")
    split = data.split("val")
    item = torch.as_tensor(split[:8] if isinstance(case.task, CarriesState) else split[0][0]).numpy()
    reader = processor.input_reader(_card(case, data.dims, data.preprocess))
    with empty_folder() as folder:
        for what, source in _sources(case, item, folder):
            found = _read(reader, source)
            if found is None or (what == "an array" and found.shape != item.shape):
                continue  # it takes inputs of another form, or arrays that are no items
            same = found.shape == item.shape and np.allclose(found, item, rtol=1e-3, atol=1e-6)
            assert same, message(
                expected=f"an item to be read from {what} as it is in the split, {_shown(item)}",
                got=_shown(found),
                usually="scaling, reordering or resizing in the reader; leave it to prepare()",
            )
            return
    raise Skip("its reader does not accept any input that the kit can generate: a PNG, a string or an array")


def reads_uploads(case: Case) -> None:
    """The content of a file is read like the file or, unless inputs are images, rejected.

    An image must also be read from an array (H, W, C), as `zoo serve` passes images that it has decoded.
    """
    data, processor = case.tiny(), case.task.processor
    if not isinstance(processor, ReadsInputs):
        raise Inapplicable("its processor reads no inputs")
    reader = processor.input_reader(_card(case, data.dims, data.preprocess))
    if reader.strings:
        raise Inapplicable("its inputs are strings")
    item = torch.as_tensor(data.split("val")[0][0]).numpy()
    with empty_folder() as folder:
        file = folder / f"upload{'.png' if reader.picture else next(iter(reader.suffixes), '')}"
        if reader.picture:
            Image.fromarray(item.transpose(1, 2, 0).squeeze()).save(file)
        else:
            file.write_bytes(b"0" * item.size)  # as many bytes as an item has numbers
        expected = _read(reader, file)
        uploads: dict[str, Any] = {"bytes": file.read_bytes()}
    if reader.picture:
        uploads["an array (H, W, C)"] = np.moveaxis(item, 0, -1)
    for what, source in uploads.items():
        found = _read(reader, source)
        same = not reader.picture if found is None else np.array_equal(found, expected)
        assert same, message(
            expected=f"{what} to be read like a file, {_shown(expected)}",
            got=_shown(found),
            usually="a reader that takes bytes for numbers instead of raising OptionError"
            if what == "bytes"
            else "a reader of files only; accept arrays, which `zoo serve` has already decoded",
        )


def _read(reader: InputReader, source: Any) -> Any:
    """Return the item that a reader returns; None if it rejects the source."""
    try:
        read: Any = reader.read(source)
    except Exception:
        return None
    return np.asarray(read[0] if isinstance(read, tuple) else read)


def _sources(case: Case, item: NDArray[Any], folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield inputs from which an item can be read, each preceded by its name."""
    processor = case.task.processor
    if isinstance(processor, WritesText):
        vocabulary = processor.vocabulary(case.tiny().preprocess)
        yield "a text", vocabulary.decode(item[:: -1 if vocabulary.backwards else 1].tolist())
    elif item.dtype == np.uint8 and item.ndim == 3 and item.shape[0] in (1, 3):
        Image.fromarray(item.transpose(1, 2, 0).squeeze()).save(folder / "item.png")
        yield "a PNG", folder / "item.png"
    yield "an array", item


def _shown(item: NDArray[Any] | None) -> str:
    if item is None:
        return "an error"
    return f"{item.dtype} {item.shape} that begins with {', '.join(f'{n:.4g}' for n in item.flat[:4])}"
