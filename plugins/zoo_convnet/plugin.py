"""What zoo_convnet provides."""

from zoo import ArchitectureSpec, Recipe, hookimpl


@hookimpl
def zoo_architectures() -> list[ArchitectureSpec]:
    return [
        ArchitectureSpec(
            name="resnet-lite",
            target="zoo_convnet.resnet_lite:ResNetLite",
            task="classification",
            summary="Residual layers of one convolution each, five widths, max pooling",
            recipe=Recipe(
                epochs=6,
                batch_size=256,
                optimizer="sgd",
                lr=0.2,
                momentum=0.9,
                weight_decay=5e-4,
                schedule="one-cycle",
                augment=("crop", "flip"),
            ),
            landmarks={"features": "stages", "head": "out"},
            source="fast.ai deep learning course, lesson 7 (Resnet, Resnet2)",
        )
    ]
