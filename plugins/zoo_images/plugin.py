"""The datasets that zoo_images provides."""

from zoo import DatasetSpec, hookimpl


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    """Return the datasets."""
    return [
        DatasetSpec(
            name="cifar10",
            target="zoo_images.cifar:cifar10",
            task="classification",
            summary="60,000 color photos in 10 classes, 32×32",
            download_bytes=170_052_171,
            license="unknown; published for research",
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        DatasetSpec(
            name="cifar100",
            target="zoo_images.cifar:cifar100",
            task="classification",
            summary="60,000 color photos in 100 classes, or 20 groups of classes, 32×32",
            download_bytes=168_513_733,
            license="unknown; published for research",
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        DatasetSpec(
            name="fashion-mnist",
            target="zoo_images.mnist:fashion_mnist",
            task="classification",
            summary="70,000 gray pictures of 10 kinds of clothes, 28×28",
            download_bytes=30_878_645,
            license="MIT",
            source="https://github.com/zalandoresearch/fashion-mnist",
        ),
        DatasetSpec(
            name="folder",
            target="zoo_images.folder:folder",
            task="classification",
            summary="Your own pictures, one folder per class: --data root=FOLDER",
        ),
        DatasetSpec(
            name="mnist",
            target="zoo_images.mnist:mnist",
            task="classification",
            summary="70,000 gray handwritten digits, 28×28",
            download_bytes=11_594_722,
            license="CC BY-SA 3.0",
            source="https://yann.lecun.com/exdb/mnist/",
        ),
        DatasetSpec(
            name="shapes",
            target="zoo_images.shapes:shapes",
            task="classification",
            summary="Drawn shapes over clutter, with bounding boxes; no download",
            license="MIT",
        ),
    ]
