"""The architectures that zoo_convnet provides."""

from typing import Any

from zoo import ArchitectureSpec, Pretrained, hookimpl

LESSON = "fast.ai deep learning course, lesson 7"
RESNET = "He et al. 2016, Deep Residual Learning for Image Recognition, arXiv 1512.03385, section 4.2"
# Parameters by depth
RESNETS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018}
USUAL = {
    "epochs": 6,
    "batch_size": 128,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "schedule": "one-cycle",
    "clip_grad_norm": 1.0,  # no single step undoes what a short training has learned
    "augment": ["translate", "flip"],
}


def _ladder(
    name: str, target: str, summary: str, *, lesson: str, parameters: int, **config: Any
) -> ArchitectureSpec:
    return ArchitectureSpec(
        name=name,
        target=f"zoo_convnet.{target}",
        task="classification",
        summary=summary,
        config=config,
        training=USUAL,
        landmarks={"features": "stages", "head": "out"},
        parameters=parameters,
        source=f"{LESSON} ({lesson})",
    )


def _resnet(depth: int, parameters: int) -> ArchitectureSpec:
    return ArchitectureSpec(
        name=f"resnet{depth}",
        target="zoo_convnet.resnet:ResNet",
        task="classification",
        summary=f"Residual network with {depth} layers for small images",
        config={"depth": depth},
        training={**USUAL, "epochs": 40, "augment": ["crop", "flip"]},
        landmarks={"features": "stages", "mean_head": "out", "head": "out"},
        parameters=parameters,
        source=RESNET,
    )


@hookimpl
def zoo_architectures() -> list[ArchitectureSpec]:
    """Return the architectures."""
    return [
        ArchitectureSpec(
            name="mlp",
            target="zoo_convnet.mlp:MLP",
            task="classification",
            summary="Fully connected layers on the flattened image",
            training=USUAL,
            landmarks={"head": "out"},
            parameters=123_330,
            source=f"{LESSON} (SimpleNet)",
        ),
        _ladder(
            "convnet",
            "convnet:ConvNet",
            "Stride-2 convolutions without normalization",
            lesson="ConvNet",
            parameters=37_490,
            stem="none",
            norm="none",
            widths=[20, 40, 80],
        ),
        _ladder(
            "convnet-bn",
            "convnet:ConvNet",
            "convnet with a stem, BatchNorm and one more stage",
            lesson="ConvBnNet",
            parameters=155_970,
        ),
        _ladder(
            "convnet-bn-deep",
            "convnet:ConvNet",
            "convnet-bn with two layers per stage",
            lesson="ConvBnNet2",
            parameters=462_570,
            extra=1,
        ),
        _ladder(
            "resnet-lite",
            "resnet_lite:ResNetLite",
            "Residual layers with one convolution each, and max pooling",
            lesson="Resnet",
            parameters=769_170,
        ),
        _ladder(
            "resnet-lite-wide",
            "resnet_lite:ResNetLite",
            "Wider resnet-lite with a 7×7 stem and dropout",
            lesson="Resnet2",
            parameters=1_966_234,
            stem="bn7",
            widths=[16, 32, 64, 128, 256],
            dropout=0.2,
        ),
        *(_resnet(depth, parameters) for depth, parameters in RESNETS.items()),
        ArchitectureSpec(
            name="airbench",
            target="zoo_convnet.airbench:Airbench",
            task="classification",
            summary="Convolutional network with wide early layers, designed for fast training on CIFAR-10",
            training={
                **USUAL,
                "epochs": 10,
                "batch_size": 512,
                "lr": 0.75,
                "momentum": 0.85,
                "weight_decay": 1.33e-3,
                "norm_bias_lr_scale": 64.0,
                "warmup_epochs": 2.3,
                "clip_grad_norm": 0.0,
                "augment": ["translate", "alternating-flip"],
                "label_smoothing": 0.2,
                "ema_decay": 0.98,
            },
            landmarks={"features": "groups", "head": "out"},
            parameters=1_972_792,
            source="Jordan 2024, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv 2404.00498",
        ),
        ArchitectureSpec(
            name="camnet",
            target="zoo_convnet.camnet:CAMNet",
            task="classification",
            summary="Residual network whose last convolution has one channel per class",
            training={**USUAL, "epochs": 10},
            landmarks={"features": "stages", "class_maps": "head", "head": "head"},
            parameters=289_706,
            source="Zhou et al. 2016, Learning Deep Features for Discriminative Localization",
        ),
        ArchitectureSpec(
            name="resnet34-cam",
            target="zoo_convnet.resnet34_cam:ResNet34CAM",
            task="classification",
            summary="torchvision's ResNet-34 with a final convolution that has one channel per class",
            training={**USUAL, "epochs": 4, "batch_size": 64, "optimizer": "adamw", "lr": 1e-3},
            landmarks={"features": "features", "class_maps": "head", "head": "head"},
            parameters=21_330_762,
            pretrained={
                "IMAGENET1K_V1": Pretrained(
                    mean=(0.485, 0.456, 0.406),
                    std=(0.229, 0.224, 0.225),
                    source="torchvision's ResNet34_Weights, BSD-3-Clause",
                )
            },
            source=f"{LESSON} (CAM)",
        ),
    ]
