"""MNIST and Fashion-MNIST: gray images of 28×28 pixels in four idx files each.

Sources: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998;
Xiao, Rasul and Vollgraf, "Fashion-MNIST", arXiv:1708.07747. The hashes are those of TensorFlow Datasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta
from torch.nn import functional as F

from zoo.files.downloads import data_file
from zoo_images.idx import read_pair
from zoo_images.image_set import ImageSet, ImageSplit, split_off_val

ValSize = Annotated[int, Meta(ge=0, le=59_999)]
Size = Annotated[int, Meta(ge=28, le=64)]
Channels = Literal[1, 3]

TRAIN = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Four files, known by their sha256, and the names of the classes."""

    folder: str
    url: str
    hashes: Mapping[str, str]
    classes: tuple[str, ...]

    def read(
        self, *, root: str | None = None, val_size: ValSize = 5_000, size: Size = 28, channels: Channels = 1
    ) -> ImageSet:
        """Read the training and the test images.

        Args:
            root: folder that contains `mnist` or `fashion-mnist`, a folder of the four `.gz` files.
            val_size: number of training images, the last ones, for the val split.
            size: height and width in pixels; black is padded around the image, such as to 32 for a CIFAR
                network.
            channels: 3 repeats the gray channel, for a model that reads colors.

        Raises:
            DataError: a file is missing, damaged or has the wrong sha256.
        """
        train, test = (self._split(names, root, size, channels) for names in (TRAIN, TEST))
        source = (sorted(self.hashes.values()), val_size, size, channels)
        return split_off_val(train, test, val_size, classes=self.classes, source=source)

    def _split(self, names: tuple[str, str], root: str | None, size: int, channels: int) -> ImageSplit:
        images, labels = (
            data_file(f"{self.folder}/{name}", url=f"{self.url}/{name}", sha256=self.hashes[name], root=root)
            for name in names
        )
        pixels, numbers = read_pair(images, labels, classes=len(self.classes))  # (N, 28, 28), (N,)
        left = (size - pixels.shape[-1]) // 2
        right = size - pixels.shape[-1] - left
        pixels = F.pad(pixels, (left, right, left, right))
        return ImageSplit(pixels[:, None].expand(-1, channels, -1, -1), numbers)


MNIST = Release(
    folder="mnist",
    url="https://ossci-datasets.s3.amazonaws.com/mnist",
    hashes={
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    classes=tuple("0123456789"),
)
FASHION = Release(
    folder="fashion-mnist",
    url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    hashes={
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
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
