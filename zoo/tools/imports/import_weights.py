"""Import weights: match them with an architecture, verify the model, and write a weights file with a card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config.arguments import checked
from zoo.errors import OptionError, WeightsError
from zoo.files.folders import require_new_file
from zoo.registry.registry import Registry, default_registry

if TYPE_CHECKING:
    from zoo.files.cards import Card
    from zoo.tools.imports.card_inputs import Feeding
    from zoo.tools.imports.state_files import State


@checked
def import_weights(
    file: str | Path,
    *,
    architecture: str,
    out: str | Path | None = None,
    dataset: str | None = None,
    data: Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    progress: bool = True,
    registry: Registry | None = None,
) -> dict[str, Any]:
    """Convert a PyTorch state dict to a weights file, which can be used like any other weights file.

    ::

        zoo.import_weights("resnet20.pth", architecture="resnet20", dataset="cifar10")

    A `.pth`, `.pt` or `.bin` file is a pickle. zoo opens pickles in a separate process, with torch's
    restricted unpickler and with limits on memory and time. Tensors are matched with the tensors of the
    architecture by name, without prefixes such as `module.`, or else by order and shape. Before zoo writes
    the file, it runs the model on synthetic inputs, saves it and loads it again.

    Args:
        file: file that `torch.save` wrote, with a state dict that may be nested under a key such as
            `state_dict`; or a safetensors file.
        architecture: the architecture that the weights are for, such as `resnet20`.
        out: weights file to write; by default, the path of the input file with the suffix `.safetensors`.
        dataset: the dataset that the model was trained on, which provides the classes and the normalization,
            or the vocabulary.
        data: dataset options, such as `root`.
        preprocess: preprocessing options, which override those of the dataset, if any: `size`,
            `mean`, `std` and `classes` (names or a number) for images; `tokens`, `lower`, `vocabulary` and
            `specials` for text. The size and the normalization of an architecture with pretrained weights are
            theirs by default.
        model: architecture options.
        progress: show progress on stderr or in the notebook.
        registry: registry to use; by default, the installed plugins and registry.toml.

    Returns:
        `{file, architecture, task, dataset, preprocess, source, by, mapping, initial, unused, converted}`:
        `source` is the name and the sha256 of the imported file; `by` is `name` or `order`; `mapping` maps
        each name in the model to the name in the file; `initial` lists counters that are missing from the
        file, `unused` lists names in the file that the model does not need, and `converted` lists the types
        that were converted.

    Raises:
        WeightsError: the file is not a state dict, or its tensors do not match the architecture.
        OptionError: an option is unknown or has an invalid value, or the dataset is required.
        OutputError: the file to write exists, or cannot be written.
        UnknownName, SpecError, DataError: the architecture or the dataset cannot be used.
    """
    registry = default_registry() if registry is None else registry
    file = Path(file)
    if file.is_dir():
        raise WeightsError(f"{file} is a folder, not a file", hint="pass a file in it, such as a .pth file")
    out = Path(out) if out is not None else file.with_suffix(".safetensors")
    if out == file:
        hint = "choose a different file with --out"
        raise OptionError(f"out must not be the imported file, {file}", hint=hint)
    require_new_file(out, suffix=".safetensors")
    # what needs torch
    from zoo.tools.imports.card_inputs import fed_as_card, feeding_of, require_feeding
    from zoo.tools.imports.import_check import run_synthetic, write_verified
    from zoo.tools.imports.loaded_state import empty_model, load_state
    from zoo.tools.imports.state_files import read_state

    name = registry.architecture(architecture).name
    state = read_state(file)
    feeding = feeding_of(name, dataset, data, preprocess, registry, progress=progress)
    module, arguments = empty_model(name, feeding, model or {}, registry)
    require_feeding(feeding, arguments, registry)
    dim, key = feeding.task.labels or ("", "")
    by_user = dataset is None or key in (preprocess or {})
    labels = (dim, arguments[dim], key if by_user else "") if dim else None
    words = re.split("[-.]", f"{file.stem}-{name.rpartition('/')[2]}")
    named = [found.name for word in words for found in registry.names.matching(word, "architecture")]
    others = [other for other in named if other != name]
    loaded = load_state(module, state, file=file, architecture=name, labels=labels, others=others)
    card = _card(name, arguments, feeding, state, file, registry)
    if dataset is not None and preprocess:
        card = fed_as_card(card, data, registry)
    run_synthetic(module, card, registry)
    write_verified(out, module, card, registry)
    return {
        "file": str(out),
        "architecture": name,
        "task": card.task,
        "dataset": card.dataset.name,
        "preprocess": card.preprocess,
        "source": card.base_model,
        **loaded,
    }


def _card(
    architecture: str,
    arguments: dict[str, Any],
    feeding: Feeding,
    state: State,
    file: Path,
    registry: Registry,
) -> Card:
    """Return the card of imported weights, which has no training options and no metrics."""
    from zoo.files.cards import Card
    from zoo.runs.environment import versions_of

    return Card(
        architecture=architecture,
        arguments=arguments,
        task=feeding.task.name,
        dataset=feeding.dataset,
        preprocess=feeding.preprocess,
        training={},
        seed=0,
        progress={"epochs": 0, "steps": 0},
        metrics={},
        base_model={"file": file.name, "sha256": state.sha256},
        versions=versions_of(registry.architecture(architecture).plugin),
    )
