"""What may leave this machine: a recipe without paths, and a card without names of hosts and users."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.config.recipe import Recipe
from zoo.errors import WeightsError, ZooError
from zoo.files.cards import UNKNOWN_DATA, Card, read_card
from zoo.registry.plugins import LOCAL
from zoo.registry.registry import Registry
from zoo.registry.remotes import read_folder
from zoo.registry.weights_files import at_hand, weights_of
from zoo.registry.zoo_index import INDEX, read_index
from zoo.tools.compare.card_recipe import recipe_of

# A text that is an absolute path; or such a path, or one in a home folder, at the start of a word in a text
_PATH = re.compile(
    r"^/\w|(?<![\w./~-])(?:file:/|~[\w.-]*/|/[\w.~-]+/|[A-Za-z]:\\)"
    r"|\\\\\w|\$\{?HOME\b|%(?:USERPROFILE|HOMEPATH|APPDATA)%"
)
# Names that identify nobody
_ANYBODY = {"root", "localhost", "user", "runner"}
# Fields of a model card: names, with the commands that contain them, and what the model reads and writes
_FREE = ("name", "use", "check", "python", "confirmations", "classes", "by_class", "findings", "sample")


def public_recipe(card: Card, registry: Registry, folder: Path | None) -> Recipe:
    """Return the recipe of a card for others, which sets only what a card may set.

    Args:
        folder: folder of the zoo, if it has one, which may have the weights that training started from.

    Raises WeightsError if the architecture, the data or the weights to start from have no name.
    """
    from zoo.data.opening import decidable  # imports torch

    what = f"{card.architecture} on {card.dataset.name}"
    if card.architecture.startswith(f"{LOCAL}/"):
        message = f"{what} cannot be published: its class belongs to a Python session"
        raise WeightsError(message, hint="write a plugin with the class; `zoo new-plugin` creates one")
    if card.dataset.name == UNKNOWN_DATA or card.dataset.name.startswith(f"{LOCAL}/"):
        message = f"{what} cannot be published: its data has no name by which others could find it"
        raise WeightsError(message, hint="write a plugin with the dataset; `zoo new-plugin` creates one")
    if "file" in card.base_model:
        raise WeightsError(f"{what} cannot be published: the weights were imported, so they have no recipe")
    recipe = recipe_of(card, registry, data={}, base=_base(card, registry, folder))
    if registry.architecture(card.architecture).spec.pretrained_file(card.arguments):
        raise WeightsError(f"{what} cannot be published: training started from a file of pretrained weights")
    entry = registry.dataset(card.dataset.name)
    safe = decidable(entry)
    data = {key: value for key, value in recipe.data.items() if key in safe}
    if missing := ", ".join({*entry.spec.required} - data.keys() - entry.spec.config.keys()):
        message = f"{what} cannot be published: the location of its data ({missing}) is a path"
        raise WeightsError(
            message, hint="give the data a name in a one-file plugin, as docs/how-to/share.md shows"
        )
    return replace(recipe, data=data)


def _base(card: Card, registry: Registry, folder: Path | None) -> str:
    """Return the weights that training started from, in the same zoo or published with zoo; "" for none."""
    wanted = card.base_model.get("sha256", "")
    if not wanted:
        return ""
    if folder and (folder / INDEX).is_file():
        for id_, version in read_index(read_folder(folder), folder / INDEX).all():
            if _tensors(folder / version.spec.file) == wanted:
                return f"{id_}@{version.digits}"
    for name in weights_of(registry, card.base_model.get("architecture", "")):
        path = at_hand(name, registry.weights[name])
        if path is not None and _tensors(path) == wanted:
            return name.rpartition("/")[2]
    message = f"{card.architecture} on {card.dataset.name} was fine-tuned from weights that "
    if folder is None:
        raise WeightsError(
            f"{message}neither zoo nor a plugin publishes",
            hint="publish both in a folder with `zoo publish`",
        )
    raise WeightsError(
        f"{message}the zoo does not have", hint="publish these weights in the same folder first"
    )


def _tensors(path: Path) -> str:
    """Return the sha256 of the tensors of a file; empty if it cannot be read."""
    try:
        return read_card(path).sha256
    except ZooError:
        return ""


def refuse_private(values: Mapping[str, Any], what: str) -> None:
    """Raise WeightsError if a text in JSON data holds a path, or the name of this machine or of its user.

    Classes and vocabularies, in `preprocess`, are what the model reads and predicts: only the user's home
    folder is refused there.
    """
    host = socket.gethostname()
    names = {host, host.partition(".")[0], _user()}
    words = "|".join(re.escape(name) for name in names if len(name) > 2 and name.lower() not in _ANYBODY)
    named = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE) if words else None
    home = str(Path.home())
    for place, text in _texts(values):
        found = "the home folder" if len(home) > 1 and f"{home}/" in f"{text}/" else ""
        if not found and place.partition(".")[0] != "preprocess":
            found = "a path" if _PATH.search(text) else ""
            found = "the name of this machine or its user" if named and named.search(text) else found
        if found:
            message = f"{what} cannot be published: {place} contains {found} ({text!r:.120})"
            hint = "published files must not name this machine, its user or its folders"
            raise WeightsError(message, hint=hint)


def refuse_private_card(fields: Mapping[str, Any], what: str) -> None:
    """Raise WeightsError as `refuse_private` does, for the fields of a model card.

    Only the home folder is refused in names, which people chose for themselves, and in what the model reads
    and writes.
    """
    free = {name: fields[name] for name in _FREE if name in fields}
    others = {name: value for name, value in fields.items() if name not in _FREE}
    refuse_private({**others, "preprocess": free}, what)


def _texts(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in JSON data, keys among them, with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            inside = f"{place}.{key}".lstrip(".")
            yield inside, str(key)
            yield from _texts(item, inside)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, place)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in some containers, the user has no name
        return ""
