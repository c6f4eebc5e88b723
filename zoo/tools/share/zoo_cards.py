"""The model cards of a zoo, `cards/ID.md`: each describes the newest version that is not withdrawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from zoo.errors import ZooError, warn
from zoo.files.cards import read_header
from zoo.registry.catalog import Catalog
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry
from zoo.registry.remotes import require_intact
from zoo.registry.zoo_index import ZooIndex
from zoo.tools.share.known_fields import known_fields
from zoo.tools.share.model_card import ModelCard, with_known
from zoo.tools.share.public_recipe import refuse_private_card
from zoo.tools.share.zoo_files import REMOTE, card_file

# Who has confirmed which weights, by their sha256, as `attestations_in` returns it
Confirmations = Mapping[str, Sequence[Mapping[str, str]]]


def model_cards(
    folder: Path, index: ZooIndex, confirmations: Confirmations, registry: Registry
) -> dict[str, bytes]:
    """Return the model cards of the zoo in a folder, by file. Only the headers of its weights are read.

    A card is left out with a warning if its weights are missing or damaged, if the plugin of its architecture
    or data is not installed, or if it would tell about this machine.
    """
    newest = {id_: index.newest(id_) for id_ in sorted(index.versions)}
    usable = {id_: version for id_, version in newest.items() if version}
    specs = {_name(id_): replace(version.spec, recipe=_name(id_)) for id_, version in usable.items()}
    recipes = {_name(id_): version.recipe for id_, version in usable.items()}
    registry = registry.with_catalog(Catalog(weights=specs, recipes=recipes))
    found: dict[str, bytes] = {}
    for id_, version in usable.items():
        try:
            registry.task_of(version.recipe)  # without its plugin, a card would lack most of its fields
            made = _card(_name(id_), folder, version.spec, confirmations, registry)
        except ZooError as error:
            warn(f"{folder / card_file(id_)} was not written: {error}")
            continue
        found[card_file(id_)] = made.markdown().encode()
    return found


def _name(id_: str) -> str:
    return f"{REMOTE}:{id_}"


def _card(
    name: str, folder: Path, spec: WeightsSpec, confirmations: Confirmations, registry: Registry
) -> ModelCard:
    """Return the card that `zoo card --no-measure` writes for weights of a zoo."""
    path = folder / spec.file
    require_intact(name, replace(spec, file=str(path)))
    fields = known_fields(name, name, path, read_header(path), registry, sha256=spec.sha256)
    fields["confirmations"] = [*confirmations.get(spec.sha256, ())]
    refuse_private_card(fields, f"the model card of {name}")
    return with_known(fields, {})
