"""The datasets, tasks and training options that zoo_images provides."""

from zoo import AugmentationSpec, DatasetSpec, FieldsSpec, MetricSpec, TaskSpec, hookimpl
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
    in_memory="zoo_images.given_images:given_images",
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
UNDIVIDED = {"val_share": 0, "test_share": 0, "fold": None, "train_share": 1}


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
def zoo_augmentations() -> list[AugmentationSpec]:
    """Return the augmentations."""
    return [
        AugmentationSpec(
            name="alternating-flip",
            target="zoo_images.augmentations:alternating_flip",
            summary="Flip half of the images in one epoch, and the other half in the next",
            changes="places",
            source="Jordan 2024, arXiv 2404.00498, section 3.6",
        ),
        AugmentationSpec(
            name="color-jitter",
            target="zoo_images.transforms:color_jitter",
            summary="Change brightness, contrast, saturation and hue",
            changes="colors",
            source="torchvision",
        ),
        AugmentationSpec(
            name="crop",
            target="zoo_images.augmentations:crop",
            summary="Pad with zeros, and crop at random",
            changes="places",
        ),
        AugmentationSpec(
            name="cutout",
            target="zoo_images.augmentations:cutout",
            summary="Set a random square to zero",
            changes="colors",
            source="DeVries & Taylor 2017, arXiv 1708.04552",
        ),
        AugmentationSpec(
            name="flip",
            target="zoo_images.augmentations:flip",
            summary="Flip half of the images horizontally",
            changes="places",
        ),
        AugmentationSpec(
            name="rand-augment",
            target="zoo_images.transforms:rand_augment",
            summary="Two random operations for each image (RandAugment)",
            source="torchvision; Cubuk et al. 2020, arXiv 1909.13719",
        ),
        AugmentationSpec(
            name="random-erasing",
            target="zoo_images.transforms:random_erasing",
            summary="Set a random rectangle to zero in half of the images",
            changes="colors",
            source="torchvision; Zhong et al. 2020, arXiv 1708.04896",
        ),
        AugmentationSpec(
            name="random-resized-crop",
            target="zoo_images.transforms:random_resized_crop",
            summary="Cut out a random rectangle, and resize it",
            changes="places",
            source="torchvision; Szegedy et al. 2015, arXiv 1409.4842",
        ),
        AugmentationSpec(
            name="translate",
            target="zoo_images.augmentations:translate",
            summary="Shift by up to a sixteenth, with reflected borders",
            changes="places",
        ),
        AugmentationSpec(
            name="trivial-augment",
            target="zoo_images.transforms:trivial_augment",
            summary="One random operation for each image (TrivialAugment)",
            source="torchvision; Müller & Hutter 2021, arXiv 2103.10158",
        ),
    ]


@hookimpl
def zoo_metrics() -> list[MetricSpec]:
    """Return the metrics, and a loss."""
    return [
        MetricSpec(
            name="focal-loss",
            target="zoo_images.metrics:FocalLoss",
            summary="Cross-entropy in which well-classified images count less; for --loss",
            tasks=("classification",),
            source="Lin et al. 2017, arXiv 1708.02002",
        ),
        MetricSpec(
            name="macro-f1",
            target="zoo_images.metrics:MacroF1",
            summary="Mean F1 score of all classes",
            tasks=("classification",),
            higher_is_better=True,
            unit="%",
        ),
        MetricSpec(
            name="mcc",
            target="zoo_images.metrics:MatthewsCorrelation",
            summary="Correlation of labels and predictions (Matthews)",
            tasks=("classification",),
            higher_is_better=True,
            source="Gorodkin 2004",
        ),
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
            summary="Your own images with one class each, in class folders or a table: --data root=FOLDER",
            required=("root",),
            card_options=("classes",),
            undivided=UNDIVIDED,
        ),
        DatasetSpec(
            name="labeled",
            target="zoo_images.labeled:labeled",
            task="multi-label",
            summary="Your own images with several labels each in a table: --data root=FOLDER",
            required=("root",),
            card_options=("classes",),
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
        DatasetSpec(
            name="shards",
            target="zoo_images.shards:shards",
            task="classification",
            summary="Your own images in tar (WebDataset) or Parquet files: --data train=imgs-{000..099}.tar",
            required=("train",),
            path_options=("train", "val", "test", "checksums"),
        ),
    ]
