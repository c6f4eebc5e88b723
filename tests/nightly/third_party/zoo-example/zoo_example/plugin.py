"""The entries of zoo-example."""

from zoo import ArchitectureSpec, CommandSpec, DatasetSpec, Recipe, WeightsSpec, hookimpl


@hookimpl
def zoo_architectures() -> list[ArchitectureSpec]:
    return [
        ArchitectureSpec(
            name="linear",
            target="zoo_example.linear:Linear",
            task="classification",
            summary="One matrix",
            training={"batch_size": 32, "lr": 0.02},
        )
    ]


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="stripes",
            target="zoo_example.stripes:Stripes",
            task="classification",
            summary="Vertical or horizontal stripes, one pixel wide",
        )
    ]


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="histogram",
            target="zoo_example.histogram:command",
            summary="Show how the values of weights are distributed.",
        )
    ]


@hookimpl
def zoo_recipes() -> dict[str, Recipe]:
    return {
        "stripes-linear": Recipe(
            summary="One matrix on stripes, two epochs",
            architecture="linear",
            dataset="stripes",
            train={"epochs": 2, "batch_size": 32, "lr": 0.005, "precision": "fp32"},
        )
    }


@hookimpl
def zoo_weights() -> dict[str, WeightsSpec]:
    """Return what `zoo train stripes-linear --threads 1` left in runs/stripes-linear/model.safetensors."""
    return {
        "stripes-linear": WeightsSpec(
            recipe="stripes-linear",
            file="weights/stripes-linear.safetensors",
            sha256="7d40623ab6effcdf81d257b53d8492dec3bbafe12583abd8c631f12f1eea8330",
            bytes=2_088,
            params=130,
            metrics={"test": {"accuracy": 1.0, "loss": 0.26345}},
            license="MIT",
        )
    }
