"""The entries of zoo-segmentation."""

from zoo import AnalyzerSpec, ArchitectureSpec, DatasetSpec, Recipe, TaskSpec, WeightsSpec, hookimpl

api = 1


@hookimpl
def zoo_tasks() -> list[TaskSpec]:
    """Return the task."""
    return [
        TaskSpec(
            name="segmentation",
            target="zoo_segmentation.segmentation:Segmentation",
            summary="The class of every pixel",
            dims={"in_channels": 3, "image_size": 48, "num_classes": 5},  # shapes-masks
            primary_metric="iou",
            higher_is_better=("iou", "pixel_accuracy"),
            units={"iou": "%", "pixel_accuracy": "%", "loss": "nats"},
            labels=("num_classes", "classes"),
            groups=("images",),
            processor="zoo_segmentation.processor:MaskProcessor",
            tiny="zoo_segmentation.tiny:TinyMasks",
            templates="zoo_segmentation/templates",
            source="Long et al. 2015, Fully Convolutional Networks, arXiv 1411.4038",
        )
    ]


@hookimpl
def zoo_architectures() -> list[ArchitectureSpec]:
    """Return the architecture."""
    return [
        ArchitectureSpec(
            name="unet",
            target="zoo_segmentation.unet:UNet",
            task="segmentation",
            summary="U-Net: an encoder and a decoder with skip connections",
            training={
                "epochs": 8,
                "batch_size": 32,
                "lr": 0.01,
                "schedule": "one-cycle",
                "augment": ["flip"],
            },
            landmarks={"features": "ups.0", "head": "head"},
            source="Ronneberger et al. 2015, U-Net, arXiv 1505.04597",
        )
    ]


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    """Return the dataset."""
    return [
        DatasetSpec(
            name="shapes-masks",
            target="zoo_segmentation.shapes_masks:ShapesMasks",
            task="segmentation",
            summary="Synthetic overlapping shapes, with the class of every pixel; no download",
            license="MIT",
        )
    ]


@hookimpl
def zoo_analyzers() -> list[AnalyzerSpec]:
    """Return the analyzer."""
    return [
        AnalyzerSpec(
            name="masks",
            target="zoo_segmentation.masks:Masks",
            tasks=("segmentation",),
            summary="Predicted masks over their images, and the IoU of each class",
        )
    ]


@hookimpl
def zoo_recipes() -> dict[str, Recipe]:
    """Return the recipe."""
    return {
        "shapes-masks-unet": Recipe(
            summary="U-Net with half the channels on synthetic shapes; two minutes on one thread",
            architecture="unet",
            dataset="shapes-masks",
            model={"width": 8, "depth": 3},
            train={
                "epochs": 12,
                "batch_size": 32,
                "lr": 0.01,
                "schedule": "one-cycle",
                "augment": ["flip"],
                "precision": "fp32",
            },
        )
    }


@hookimpl
def zoo_weights() -> dict[str, WeightsSpec]:
    """Return the weights trained with the recipe."""
    return {
        "shapes-masks-unet": WeightsSpec(
            recipe="shapes-masks-unet",
            file="weights/shapes-masks-unet.safetensors",
            sha256="660f05efbade6bf546385112b034ac278f23bbc97eaecf1c75e65b5b7fc9f76e",
            bytes=501_436,
            params=122_501,
            metrics={"test": {"iou": 0.9452, "pixel_accuracy": 0.9885, "loss": 0.0422}},
            license="MIT",
        )
    }
