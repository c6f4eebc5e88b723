"""The datasets, tasks and training options that zoo_images provides."""

from zoo import DatasetSpec, FieldsSpec, TaskSpec, hookimpl
from zoo_images.fields import ImageFields, LabelFields

CLASSIFICATION = TaskSpec(
    name="classification",
    target="zoo_images.classification:Classification",
    summary="One of K classes for each image",
    dims={"in_channels": 3, "image_size": 32, "num_classes": 10},  # CIFAR-10
    primary_metric="accuracy",
    higher_is_better=("accuracy", "top5_accuracy", "balanced_accuracy", "macro_f1"),
    units={
        "accuracy": "%",
        "loss": "nats",
        "top5_accuracy": "%",
        "balanced_accuracy": "%",
        "macro_f1": "%",
    },
    labels=("num_classes", "classes"),
    groups=("images", "labels"),
    processor="zoo_images.processors:ClassProcessor",
    tiny="zoo_images.tiny:TinyImages",
    templates="zoo_images/templates/classification",
)

MULTI_LABEL = TaskSpec(
    name="multi-label",
    target="zoo_images.multi_label:MultiLabel",
    summary="Any subset of K classes for each image",
    dims=CLASSIFICATION.dims,
    primary_metric="mAP",
    higher_is_better=("mAP", "f1"),
    units={"mAP": "%", "loss": "nats", "f1": "%"},
    labels=("num_classes", "classes"),
    exclusive=False,
    architectures_of="classification",
    groups=("images",),
    processor="zoo_images.processors:LabelProcessor",
    tiny="zoo_images.tiny:TinyTags",
    templates="zoo_images/templates/multi-label",
    source="mAP: Everingham et al. 2010, The Pascal Visual Object Classes Challenge, IJCV 88",
)

# No split is drawn from the user's own images: they are all one
UNDIVIDED = {"val_share": 0, "test_share": 0}


@hookimpl
def zoo_tasks() -> list[TaskSpec]:
    """Return the tasks."""
    return [CLASSIFICATION, MULTI_LABEL]


@hookimpl
def zoo_training_options() -> list[FieldsSpec]:
    """Return the groups of training options."""
    return [
        FieldsSpec(name="images", summary="Augmentation and mixup", fields=ImageFields),
        FieldsSpec(name="labels", summary="Label smoothing and class balance", fields=LabelFields),
    ]


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
            summary="60,000 color photos in 100 classes or 20 superclasses, 32×32",
            download_bytes=168_513_733,
            license="unknown; published for research",
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        DatasetSpec(
            name="fashion-mnist",
            target="zoo_images.mnist:fashion_mnist",
            task="classification",
            summary="70,000 grayscale images of 10 kinds of clothing, 28×28",
            download_bytes=30_878_645,
            license="MIT",
            source="https://github.com/zalandoresearch/fashion-mnist",
        ),
        DatasetSpec(
            name="folder",
            target="zoo_images.folder:folder",
            task="classification",
            summary="Your own images, one folder per class: --data root=FOLDER",
            required=("root",),
            undivided=UNDIVIDED,
        ),
        DatasetSpec(
            name="labeled",
            target="zoo_images.labeled:labeled",
            task="multi-label",
            summary="Your own images with labels in a CSV file: --data root=FOLDER",
            required=("root",),
            undivided=UNDIVIDED,
        ),
        DatasetSpec(
            name="mnist",
            target="zoo_images.mnist:mnist",
            task="classification",
            summary="70,000 grayscale handwritten digits, 28×28",
            download_bytes=11_594_722,
            license="CC BY-SA 3.0",
            source="https://yann.lecun.com/exdb/mnist/",
        ),
        DatasetSpec(
            name="scenes",
            target="zoo_images.scenes:scenes",
            task="multi-label",
            summary="Synthetic images with up to four shapes each, and their bounding boxes; no download",
            license="MIT",
        ),
        DatasetSpec(
            name="shapes",
            target="zoo_images.shapes:shapes",
            task="classification",
            summary="Synthetic shapes on a cluttered background, with bounding boxes; no download",
            license="MIT",
        ),
    ]
