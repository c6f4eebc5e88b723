"""Find images in class folders, their classes and their splits."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo import DataError, seed_for
from zoo.interfaces import SPLITS, Split
from zoo.plugin import IMAGE_SUFFIXES, collected_faults
from zoo_images.decoded_images import readable

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
LAYOUT = (
    "root must contain class folders, or `train`, `val` and `test` folders with class folders inside, or "
    "labels.csv with the columns `file` and `label`"
)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file and the label of its class."""

    path: Path
    label: int

    @property
    def name(self) -> str:
        """The class and the file name, such as `cat/1.jpg`."""
        return "/".join(self.path.parts[-2:])


def find_images(
    root: str, shares: Mapping[Split, float], seed: int
) -> tuple[list[str], dict[Split, list[ImageFile]]]:
    """Return the names of the classes, and the images of train, val and test, sorted by path.

    Without folders for val and test, the `shares` of val and test are drawn from each class. If the shares
    are 0, the images may be meant for evaluating a model with more classes, so one class is enough, and empty
    class folders are skipped.

    Raises DataError if the folders do not follow LAYOUT, if a class has no images or none left for training,
    or if the splits have different classes.
    """
    home = existing(root, LAYOUT)
    places, undivided = _split_folders(home) or {"train": home}, not any(shares.values())
    folders = {split: _class_folders(place, empty=undivided) for split, place in places.items()}
    classes = sorted(folders["train"])
    if len(classes) == 1 and not undivided:
        raise DataError(
            f"{places['train']} must contain at least two class folders (found only {classes[0]!r})",
            hint=LAYOUT,
        )
    for split, place in places.items():
        strange = sorted(folders[split].keys() ^ folders["train"].keys())
        if strange:
            only = place if strange[0] in folders[split] else places["train"]
            raise DataError(
                f"{place} and {places['train']} have different classes: only {only} has {strange[0]!r}",
                hint="every split must contain images of every class",
            )
    images = {
        split: [ImageFile(path, label) for label, name in enumerate(classes) for path in folders[split][name]]
        for split in places
    }
    if len(places) == 1:
        images = draw(images["train"], shares, seed)
    return classes, {split: images.get(split, []) for split in SPLITS}


def existing(root: str, layout: str) -> Path:
    """Return the user's folder. Raises DataError with the layout as a hint if the folder is missing."""
    if not root:
        raise DataError("root must name a folder (got an empty string)", hint=layout)
    try:
        home = Path(root).expanduser()
        exists = home.is_dir()
    except (OSError, RuntimeError) as error:  # too long, or an unknown home
        raise DataError(f"{root!r} is not a valid folder name: {error}") from None
    if not exists:
        raise DataError(f"there is no folder {root!r}", hint=layout)
    return home


def _split_folders(home: Path) -> dict[Split, Path]:
    """Return the folder of each split; empty if there is no `train` folder with folders inside."""
    inside, _ = _inside(home)
    if not any(folder.name.lower() == "train" and _inside(folder)[0] for folder in inside):
        return {}
    places: dict[Split, Path] = {}
    for folder in inside:
        split = SPLIT_NAMES.get(folder.name.lower())
        if split is None:
            raise DataError(f"{folder} must be named train, val or test, like the other folders in {home}")
        if split in places:
            raise DataError(f"{places[split]} and {folder} both contain the {split} split")
        places[split] = folder
    return places


def _class_folders(place: Path, *, empty: bool) -> dict[str, list[Path]]:
    """Return the images of each class by folder name; with `empty`, skip empty folders.

    During a check of the data, the images that cannot be read are left out, and classes may be empty.
    """
    folders, _ = _inside(place)
    if not folders:
        raise DataError(f"{place} contains no class folders", hint=LAYOUT)
    classes: dict[str, list[Path]] = {}
    for folder in folders:
        deeper, files = _inside(folder)
        if deeper:
            raise DataError(f"class folders cannot contain subfolders (found {deeper[0]})", hint=LAYOUT)
        if images := [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]:
            classes[folder.name] = readable(images)
        elif not empty or (folder == folders[-1] and not classes):
            error = DataError(
                f"the class folder {folder} contains no images",
                hint=f"image files end in {', '.join(IMAGE_SUFFIXES)}",
            )
            if (faults := collected_faults()) is None:
                raise error
            faults[folder], classes[folder.name] = error, []
    if not any(classes.values()):
        raise DataError(f"{place} contains no images that can be read")
    return classes


def _inside(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the visible folders and the visible files in a folder, both sorted by name."""
    try:
        with os.scandir(folder) as entries:  # which know what is a folder: for 100,000 files, seconds
            visible = sorted((one.name, one.is_dir()) for one in entries if not one.name.startswith("."))
        folders, files = (
            [folder / name for name, is_dir in visible if is_dir is kind] for kind in (True, False)
        )
        return folders, files
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None


def draw(images: list[ImageFile], shares: Mapping[Split, float], seed: int) -> dict[Split, list[ImageFile]]:
    """Draw the shares from the images of every class, in an order given by a hash of seed and name.

    Each split keeps the order of the images.
    """
    drawn: dict[Split, list[int]] = {"train": [], **{split: [] for split in shares}}
    for _, group in itertools.groupby(range(len(images)), lambda place: images[place].label):
        left = sorted(group, key=lambda place: seed_for(seed, "folder", images[place].name))
        count, folder = len(left), images[left[0]].path.parent
        for split, share in shares.items():
            taken = int(share * count + 0.5)
            drawn[split] += left[:taken]
            left = left[taken:]
        if not left:
            given = " and ".join(f"{split}_share={share}" for split, share in shares.items())
            raise DataError(f"{given} leave none of the {count} images in {folder} for training")
        drawn["train"] += left
    return {split: [images[place] for place in sorted(places)] for split, places in drawn.items()}
