"""MNIST and Fashion-MNIST: grayscale images of 28×28 pixels in four idx files each.

Sources: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998;
Xiao, Rasul and Vollgraf, "Fashion-MNIST", arXiv:1708.07747. The hashes of the `.gz` files come from
TensorFlow Datasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from zoo.plugin import data_file, data_home, hashes_of
from zoo_images.idx import tensors, unpacked
from zoo_images.image_set import ImageSet, ImageSplit, TrainSize, split_off_val
from zoo_images.kept_array import kept

ValSize = Annotated[int, Meta(ge=0, le=59_999)]
Size = Annotated[int, Meta(ge=28, le=64)]
Channels = Literal[1, 3]

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
# The version of the unpacking, raised whenever the same files become other bytes
_FORMAT = 1
# Where Debian's packages of datasets put their files
DEBIAN = Path("/usr/share/datasets")


class Sums(NamedTuple):
    """Two sha256 hashes of a file: the hash of the gzipped download, and the hash of its content."""

    packed: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MnistRelease:
    """Four files with their sha256, and the names of the classes.

    Attributes:
        folders: folders to search for the files, in order: zoo's and torchvision's.
        url: the folder from which they are downloaded, with `.gz` added to their names.
    """

    folders: tuple[str, ...]
    url: str
    hashes: Mapping[str, Sums]
    classes: tuple[str, ...]

    def read(
        self,
        *,
        root: str | None = None,
        train_size: TrainSize = 0,
        val_size: ValSize = 5_000,
        size: Size = 28,
        channels: Channels = 1,
    ) -> ImageSet:
        """Read the training and the test images.

        The four files may be gzipped; the hashes of their uncompressed content are checked.

        Args:
            root: folder that contains `mnist` or `fashion-mnist`, a folder with the four files; torchvision's
                names, `MNIST/raw` and `FashionMNIST/raw`, work too.
            train_size: number of training images to use, a random sample that is always the same; 0 uses all.
            val_size: number of training images to use as the val split, from the end.
            size: height and width in pixels; images are padded with black, for example to 32 for a CIFAR
                network.
            channels: 1, or 3 to repeat the gray channel for models that read color images.

        Raises:
            DataError: a file is missing, damaged or has the wrong sha256.
        """
        paths = {name: self._find(name, root) for name in (*TRAIN, *TEST)}
        packed = hashes_of([*paths.values()])
        hashes = {name: self.hashes[name].content for name in paths}

        def unpack() -> Tensor:
            parts = [unpacked(path, sha256=hashes[name]) for name, path in paths.items()]
            return torch.frombuffer(bytearray().join(parts), dtype=torch.uint8)

        found = kept(f"decoded/{self.folders[0]}", (_FORMAT, packed, hashes), unpack, what="the images")
        parts = tensors(found.content)  # (N, 28, 28), (N,), and the same of test
        train, test = (_split(parts[at], parts[at + 1], size, channels) for at in (0, 2))
        source = (sorted(hashes.values()), val_size, size, channels)
        made = split_off_val(train, test, val_size, classes=self.classes, source=source, found=found)
        return made.limited(train_size)

    def _find(self, name: str, root: str | None) -> Path:
        """Return the path of a file, gzipped or not, downloading it if it is not found."""
        for home in [*data_home(root), *([] if root else [DEBIAN])]:
            for folder in self.folders:
                for path in (home / folder / name, home / folder / f"{name}.gz"):
                    if path.is_file():
                        return path
        packed = f"{name}.gz"
        return data_file(
            f"{self.folders[0]}/{packed}",
            url=f"{self.url}/{packed}",
            sha256=self.hashes[name].packed,
            root=root,
        )


def _split(pixels: Tensor, numbers: Tensor, size: int, channels: int) -> ImageSplit:
    left = (size - pixels.shape[-1]) // 2
    right = size - pixels.shape[-1] - left
    if left or right:
        pixels = F.pad(pixels, (left, right, left, right))
    return ImageSplit(pixels[:, None].expand(-1, channels, -1, -1), numbers.long())


MNIST = MnistRelease(
    folders=("mnist", "MNIST/raw"),
    url="https://ossci-datasets.s3.amazonaws.com/mnist",
    hashes={
        "train-images-idx3-ubyte": Sums(
            packed="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            content="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        "train-labels-idx1-ubyte": Sums(
            packed="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            content="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        "t10k-images-idx3-ubyte": Sums(
            packed="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            content="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        "t10k-labels-idx1-ubyte": Sums(
            packed="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            content="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    },
    classes=tuple("0123456789"),
)
FASHION = MnistRelease(
    folders=("fashion-mnist", "FashionMNIST/raw"),
    url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    hashes={
        "train-images-idx3-ubyte": Sums(
            packed="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            content="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        "train-labels-idx1-ubyte": Sums(
            packed="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            content="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        "t10k-images-idx3-ubyte": Sums(
            packed="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            content="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        "t10k-labels-idx1-ubyte": Sums(
            packed="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            content="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    },
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
)

mnist = MNIST.read
fashion_mnist = FASHION.read
