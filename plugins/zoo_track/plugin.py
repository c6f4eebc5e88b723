"""The trackers, the command and the option that zoo_track provides."""

from dataclasses import dataclass

from zoo import CommandSpec, OptionsSpec, TrackerSpec, hookimpl
from zoo.plugin import option


@dataclass(frozen=True)
class TrackOptions:
    """Options of `zoo train` and `zoo resume`."""

    track: str = option("", "send the metrics to this experiment tracker, from a separate process.")


@hookimpl
def zoo_trackers() -> list[TrackerSpec]:
    """Return the trackers."""
    return [
        TrackerSpec(
            name="tensorboard",
            target="zoo_track.to_tensorboard:TensorBoard",
            summary="Event files in the run directory, for `tensorboard --logdir runs`",
            extra="tensorboard",
        ),
        TrackerSpec(
            name="mlflow",
            target="zoo_track.to_mlflow:MLflow",
            summary="MLflow, on a server or in a local SQLite database",
            extra="mlflow",
        ),
        TrackerSpec(
            name="trackio",
            target="zoo_track.to_trackio:Trackio",
            summary="Trackio, on this machine or in a Hugging Face Space",
            extra="trackio",
        ),
        TrackerSpec(
            name="wandb",
            target="zoo_track.to_wandb:WeightsAndBiases",
            summary="Weights & Biases, online or offline",
            extra="wandb",
        ),
    ]


@hookimpl
def zoo_commands() -> list[CommandSpec | OptionsSpec]:
    """Return the command, and the option that starts it during training."""
    beside = "zoo_track.beside:track"
    summary = "Send the metrics of a run to an experiment tracker during training."
    return [
        OptionsSpec(name="train-track", command="train", fields=TrackOptions, target=beside, summary=summary),
        OptionsSpec(
            name="resume-track", command="resume", fields=TrackOptions, target=beside, summary=summary
        ),
        CommandSpec(
            name="track",
            target="zoo_track.command:command",
            summary="Send the metrics of a run to an experiment tracker, live or afterward.",
        ),
    ]
