"""The entries of zoo-regression."""

from zoo import ArchitectureSpec, DatasetSpec, TaskSpec, hookimpl

api = 1


@hookimpl
def zoo_tasks():
    """Return the task."""
    yield TaskSpec(
        name="regression",
        target="zoo.plugin:RegressionTask",
        summary="Numbers for each row of a table",
        dims={"num_features": 2, "num_targets": 1},
        primary_metric="rmse",
        processor="zoo_regression.rows:Rows",
        tiny="zoo_regression.pendulums:Pendulums",
    )


@hookimpl
def zoo_datasets():
    """Return the dataset."""
    yield DatasetSpec(
        name="pendulums",
        target="zoo_regression.pendulums:Pendulums",
        task="regression",
        summary="Periods of pendulums, measured with a stopwatch; synthetic",
    )


@hookimpl
def zoo_architectures():
    """Return the architecture."""
    yield ArchitectureSpec(
        name="row-mlp",
        target="zoo_regression.row_mlp:RowMLP",
        task="regression",
        summary="Two hidden layers",
        training={"epochs": 20, "batch_size": 32, "lr": 0.01},
        landmarks={"features": "features", "head": "head"},
    )
