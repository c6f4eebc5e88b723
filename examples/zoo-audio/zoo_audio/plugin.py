"""The entries of zoo-audio."""

from zoo import ArchitectureSpec, DatasetSpec, TaskSpec, hookimpl

api = 1


@hookimpl
def zoo_tasks():
    """Return the task."""
    yield TaskSpec(
        name="audio",
        target="zoo.plugin:ClassificationTask",
        summary="The class of a recording",
        dims={"num_samples": 2000, "num_classes": 4},
        primary_metric="accuracy",
        higher_is_better=("accuracy", "top5_accuracy"),
        units={"accuracy": "%", "top5_accuracy": "%", "loss": "nats"},
        labels=("num_classes", "classes"),
        processor="zoo_audio.wav:Recordings",
        tiny="zoo_audio.tones:Tones",
    )


@hookimpl
def zoo_datasets():
    """Return the dataset."""
    yield DatasetSpec(
        name="tones",
        target="zoo_audio.tones:Tones",
        task="audio",
        summary="Synthetic tones of four waveforms",
    )


@hookimpl
def zoo_architectures():
    """Return the architecture."""
    yield ArchitectureSpec(
        name="sound-net",
        target="zoo_audio.sound_net:SoundNet",
        task="audio",
        summary="Three convolutions over time, and a mean",
        training={"epochs": 12, "batch_size": 32, "lr": 0.003},
        landmarks={"head": "head"},
    )
