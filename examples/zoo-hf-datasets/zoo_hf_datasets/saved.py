"""Images that `datasets` saved to disk as Arrow files; only requested rows are read into memory."""

import hashlib
from pathlib import Path
from typing import Annotated

import torch
from datasets import ClassLabel, Dataset, DatasetDict, Image, load_from_disk
from msgspec import Meta
from pyarrow import ArrowInvalid

from zoo import DataError, interfaces
from zoo.plugin import as_image, cause, hashes_of

Size = Annotated[int, Meta(ge=8, le=1_024)]


class Images:
    """A split whose images are decoded on request."""

    def __init__(self, rows: Dataset, image: str, label: str, size: int) -> None:
        self.rows, self.image, self.label, self.size = rows, image, label, size

    def __len__(self):
        return len(self.rows)

    def read_batch(self, indices, /):
        """Return the images (B, C, H, W), uint8, and the labels (B,)."""
        rows = self.rows[list(indices)]
        images = [as_image(each, size=self.size, channels=3) for each in rows[self.image]]
        return torch.stack([torch.from_numpy(each) for each in images]), torch.tensor(rows[self.label])

    def __getitem__(self, index):
        images, labels = self.read_batch([range(len(self))[index]])
        return images[0], int(labels[0])


class Saved(interfaces.Dataset):
    """The splits `train`, `validation` and `test` in a folder that `save_to_disk` wrote.

    To use a streamed dataset, convert it with `Dataset.from_generator` and save it: a stream has no random
    access, so a resumed run would have to read it from the start.

    Args:
        path: the folder.
        image: name of the image column.
        label: name of the label column, which must have the type ClassLabel.
        size: height and width in pixels to which the central square of each image is resized.
    """

    def __init__(self, *, path: str, image: str = "image", label: str = "label", size: Size = 64) -> None:
        try:
            found = load_from_disk(path)
        except FileNotFoundError as error:
            hint = "write one with save_to_disk; convert a streamed dataset with Dataset.from_generator first"
            raise DataError(f"{path} is not a dataset saved by save_to_disk", hint=hint) from error
        except (OSError, ArrowInvalid) as error:
            raise DataError(f"{path} cannot be read; it may be damaged: {cause(error)}") from error
        self.splits = {**found} if isinstance(found, DatasetDict) else {"train": found}
        if "train" not in self.splits:
            raise DataError(f"{path} has no split 'train', only {', '.join(map(str, self.splits))}")
        kinds = self.splits["train"].features
        for column, kind in ((image, Image), (label, ClassLabel)):
            if not isinstance(kinds.get(column), kind):
                columns = ", ".join(kinds)
                raise DataError(
                    f"column {column!r} of {path} must be a {kind.__name__}; the columns are {columns}"
                )
        self.columns, self.size, self.classes = (image, label), size, list(kinds[label].names)
        files = sorted(Path(path).rglob("*.arrow"))
        content = hashes_of(files), self.columns, size
        self.hashed = hashlib.sha256(repr(content).encode()).hexdigest()
        train = self.split("train")
        some = train.read_batch(range(0, len(train), -(-len(train) // 1_000)))[0] / 255
        self.mean = [round(each, 4) for each in some.mean((0, 2, 3)).tolist()]
        self.std = [round(each, 4) for each in some.std((0, 2, 3)).clamp(min=0.01).tolist()]

    @property
    def dims(self):
        """Return the channels, size and classes of the images."""
        return {"in_channels": 3, "image_size": self.size, "num_classes": len(self.classes)}

    @property
    def preprocess(self):
        """Return the mean and standard deviation of up to 1,000 images, and the names of the classes."""
        return {"size": self.size, "mean": self.mean, "std": self.std, "classes": self.classes}

    @property
    def fingerprint(self):
        """Return the sha256 of the files and the reading options."""
        return self.hashed

    def split(self, name):
        """Return the images of a split; a missing split is empty."""
        name = {"val": "validation"}.get(name, name)
        rows = self.splits[name] if name in self.splits else self.splits["train"].select([])
        return Images(rows, *self.columns, self.size)
