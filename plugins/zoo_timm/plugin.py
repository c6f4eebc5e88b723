"""The architectures that zoo_timm provides: every model that the installed timm registers."""

from zoo import ArchitectureSpec, hookimpl
from zoo.plugin import options
from zoo_timm.names import registered
from zoo_timm.sizes import smallest_image

# For fine-tuning: weights from ImageNet need few epochs and a low rate, so that they are not forgotten
TRAINING = {
    "epochs": 10,
    "batch_size": 32,
    "optimizer": "adamw",
    "lr": 2e-4,
    "weight_decay": 0.05,
    "schedule": "one-cycle",
    "clip_grad_norm": 1.0,
    "augment": ["crop", "flip"],
    "label_smoothing": 0.1,
}


# Gradients of their three-dimensional convolutions are not finite in bf16 on CPUs
IN_FP32 = ("lambda_resnet", "lamhalobotnet")


@hookimpl
def zoo_architectures() -> list[ArchitectureSpec]:
    """Return an architecture for every timm model; none if timm is not installed."""
    template = ArchitectureSpec(
        name="template",
        target="zoo_timm.models:build",
        task="classification",
        summary="A timm model",
        training=TRAINING,
        pretrained_target="zoo_timm.pretrained:weights_of",
        pretrained_files=True,
        source="Wightman, PyTorch Image Models, github.com/huggingface/pytorch-image-models",
    )
    in_fp32 = {**template.training, "precision": "fp32"}
    return [
        options.with_checked(  # checking the same values a thousand times would slow down every command
            template,
            name=name,
            summary=f"timm's {name}, from the {family} family",
            target=f"zoo_timm.models:{name}",
            config={"name": name},
            training=in_fp32 if name.startswith(IN_FP32) else template.training,
            smallest_image=smallest_image(name),
        )
        for name, family in registered()
    ]
