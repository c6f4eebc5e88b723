"""Pictures in class folders: which there are, of which class, and in which split."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo import DataError, seed_for
from zoo.data.pictures import SUFFIXES
from zoo.interfaces import Split

SPLITS: Mapping[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
LAYOUT = "root is a folder of class folders, or of `train`, `val` and `test` with class folders inside"


@dataclass(frozen=True, slots=True)
class Picture:
    """One file and the number of its class."""

    path: Path
    label: int

    @property
    def name(self) -> str:
        """Its class and file name, such as `cat/1.jpg`."""
        return f"{self.path.parent.name}/{self.path.name}"


def find_pictures(
    root: str, shares: Mapping[Split, float], seed: int
) -> tuple[list[str], dict[Split, list[Picture]]]:
    """Return the classes by label, and the pictures of train, val and test in the order of their names.

    Where there is only one split, the `shares` of each class are drawn from it. Raises DataError where
    folders are not as LAYOUT says, a class has no pictures or none to train on, or splits differ in classes.
    """
    home = _existing(root)
    places = _split_folders(home) or {"train": home}
    folders = {split: _class_folders(place) for split, place in places.items()}
    classes = sorted(folders["train"])
    if len(classes) == 1:
        raise DataError(f"{places['train']} has one class only, {classes[0]!r}", hint=LAYOUT)
    for split, place in places.items():
        strange = sorted(folders[split].keys() ^ folders["train"].keys())
        if strange:
            only = place if strange[0] in folders[split] else places["train"]
            raise DataError(
                f"{place} and {places['train']} differ in classes: only {only} has {strange[0]!r}",
                hint="each split needs pictures of every class",
            )
    found = {
        split: [Picture(path, label) for label, name in enumerate(classes) for path in folders[split][name]]
        for split in places
    }
    if len(places) == 1:
        found = _drawn(found["train"], shares, seed)
    names: tuple[Split, ...] = ("train", "val", "test")
    return classes, {split: found.get(split, []) for split in names}


def _existing(root: str) -> Path:
    if not root:
        raise DataError("root is empty, and names no folder", hint=LAYOUT)
    try:
        home = Path(root).expanduser()
        found = home.is_dir()
    except (OSError, RuntimeError) as error:  # a name too long, or of no home
        raise DataError(f"{root!r} cannot be the name of a folder: {error}") from None
    if not found:
        raise DataError(f"there is no folder {root!r}", hint=LAYOUT)
    return home


def _split_folders(home: Path) -> dict[Split, Path]:
    """Return the folder of each split; none where there is no `train` with folders, which is then a class."""
    inside, _ = _inside(home)
    if not any(folder.name.lower() == "train" and _inside(folder)[0] for folder in inside):
        return {}
    places: dict[Split, Path] = {}
    for folder in inside:
        split = SPLITS.get(folder.name.lower())
        if split is None:
            raise DataError(f"{folder} is none of train, val and test, which {home} is divided into")
        if split in places:
            raise DataError(f"{places[split]} and {folder} are both the {split} split")
        places[split] = folder
    return places


def _class_folders(place: Path) -> dict[str, list[Path]]:
    """Return the pictures of each class folder by its name."""
    folders, _ = _inside(place)
    if not folders:
        raise DataError(f"{place} holds no class folders", hint=LAYOUT)
    classes: dict[str, list[Path]] = {}
    for folder in folders:
        deeper, files = _inside(folder)
        if deeper:
            raise DataError(f"{deeper[0]} is a folder inside a class folder", hint=LAYOUT)
        classes[folder.name] = [path for path in files if path.suffix.lower() in SUFFIXES]
        if not classes[folder.name]:
            raise DataError(
                f"the class folder {folder} holds no pictures", hint=f"pictures end in {', '.join(SUFFIXES)}"
            )
    return classes


def _inside(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the visible folders and files of a folder, each in the order of their names."""
    try:
        visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        return [path for path in visible if path.is_dir()], [path for path in visible if not path.is_dir()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None


def _drawn(pictures: list[Picture], shares: Mapping[Split, float], seed: int) -> dict[Split, list[Picture]]:
    """Draw each share from the pictures of every class, in an order hashed from seed and name."""
    drawn: dict[Split, list[Picture]] = {"train": [], **{split: [] for split in shares}}
    for _, group in itertools.groupby(pictures, lambda picture: picture.label):
        left = sorted(group, key=lambda picture: seed_for(seed, "folder", picture.name))
        count, folder = len(left), left[0].path.parent
        for split, share in shares.items():
            taken = int(share * count + 0.5)
            drawn[split] += left[:taken]
            left = left[taken:]
        if not left:
            told = ", ".join(f"{split}_share={share}" for split, share in shares.items())
            raise DataError(f"{told}: nothing is left to train on of the {count} pictures in {folder}")
        drawn["train"] += left
    return {split: sorted(each, key=lambda picture: picture.path) for split, each in drawn.items()}
