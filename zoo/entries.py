"""zoo's own entries, which no setting disables: what defaults name, and the formats and trackers of tools.

They are registered by the same hooks as those of plugins. Torch-free.
"""

from zoo.registry.hookspecs import hookimpl
from zoo.registry.specs import ExporterSpec, OptimizerSpec, ScheduleSpec, TrackerSpec


@hookimpl
def zoo_optimizers() -> list[OptimizerSpec]:
    """Return the usual optimizers."""
    return [
        OptimizerSpec(
            name="sgd",
            target="zoo.training.sgd:sgd",
            summary="Stochastic gradient descent with Nesterov momentum",
            training={"lr": 0.1, "momentum": 0.9},
            source="Sutskever et al. 2013, On the importance of initialization and momentum",
        ),
        OptimizerSpec(
            name="adam",
            target="zoo.training.adam:adam",
            summary="Adam with weight decay added to the gradient",
            training={"lr": 1e-3},
            source="Kingma & Ba 2015, arXiv 1412.6980",
        ),
        OptimizerSpec(
            name="adamw",
            target="zoo.training.adam:adamw",
            summary="Adam with decoupled weight decay",
            training={"lr": 1e-3},
            source="Loshchilov & Hutter 2019, arXiv 1711.05101",
        ),
    ]


@hookimpl
def zoo_schedules() -> list[ScheduleSpec]:
    """Return the usual schedules."""
    return [
        ScheduleSpec(
            name="constant",
            target="zoo.training.schedules:constant",
            summary="Constant learning rate after a linear warmup",
        ),
        ScheduleSpec(
            name="cosine",
            target="zoo.training.schedules:cosine",
            summary="Half-cosine decay to 0 after a linear warmup",
            source="Loshchilov & Hutter 2017, arXiv 1608.03983",
        ),
        ScheduleSpec(
            name="one-cycle",
            target="zoo.training.schedules:one_cycle",
            summary="Half-cosine rise from 1/25, then half-cosine decay to 0",
            source="Smith 2018, arXiv 1803.09820",
        ),
    ]


@hookimpl
def zoo_exporters() -> list[ExporterSpec]:
    """Return the formats."""
    return [
        ExporterSpec(
            name="onnx",
            target="zoo.tools.export.onnx_writer:OnnxExporter",
            reader="zoo.tools.export.onnx_reader:read",
            suffix=".onnx",
            summary="ONNX, for ONNX Runtime and other inference engines that do not use torch",
            extra="export",
        ),
        ExporterSpec(
            name="pt2",
            target="zoo.tools.export.pt2_writer:Pt2Exporter",
            suffix=".pt2",
            summary="A torch.export program, which torch.export.load can read",
        ),
    ]


@hookimpl
def zoo_trackers() -> list[TrackerSpec]:
    """Return the trackers. The extra of each has the name of the module that it needs."""
    return [
        TrackerSpec(
            name="tensorboard",
            target="zoo.tools.track.to_tensorboard:TensorBoard",
            summary="Event files in the run directory, for `tensorboard --logdir runs`",
            extra="tensorboard",
        ),
        TrackerSpec(
            name="mlflow",
            target="zoo.tools.track.to_mlflow:MLflow",
            summary="MLflow, on a server or in a local SQLite database",
            extra="mlflow",
        ),
        TrackerSpec(
            name="trackio",
            target="zoo.tools.track.to_trackio:Trackio",
            summary="Trackio, on this machine or in a Hugging Face Space",
            extra="trackio",
        ),
        TrackerSpec(
            name="wandb",
            target="zoo.tools.track.to_wandb:WeightsAndBiases",
            summary="Weights & Biases, online or offline",
            extra="wandb",
        ),
    ]
