"""The entries of zoo-example."""

from zoo import ArchitectureSpec, DatasetSpec, hookimpl


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
