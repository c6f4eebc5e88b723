"""What zoo_images provides."""

from zoo import DatasetSpec, hookimpl


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="cifar10",
            target="zoo_images.cifar:cifar10",
            task="classification",
            summary="60,000 colour photos of 10 kinds of things, 32×32",
            download_bytes=170_052_171,
            license="unknown; published for research",
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        DatasetSpec(
            name="shapes",
            target="zoo_images.shapes:shapes",
            task="classification",
            summary="Drawn shapes on clutter, with the true box of each; no download",
            license="MIT",
        ),
    ]
