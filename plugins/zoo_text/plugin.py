"""The datasets, the task and the training options that zoo_text provides."""

from zoo import DatasetSpec, FieldsSpec, MetricSpec, TaskSpec, hookimpl
from zoo_text.fields import TextFields

LANGUAGE_MODELING = TaskSpec(
    name="language-modeling",
    target="zoo_text.language_modeling:LanguageModeling",
    summary="Each token of a text, predicted from the preceding tokens",
    dims={"vocab_size": 56},  # Nietzsche
    units={
        "loss": "nats",
        "carried_loss": "nats",
        "bits_per_char": "bits per character",
        "bits_per_token": "bits per token",
        "nats_per_char": "nats per character",
        "perplexity": "",  # it has no unit, but its name is taken
    },
    labels=("vocab_size", "vocabulary"),
    groups=("text",),
    processor="zoo_text.processor:TextProcessor",
    tiny="zoo_text.tiny:TinyText",
    in_memory="zoo_text.given_texts:given_texts",
    templates="zoo_text/templates/language-modeling",
)

# What `Reading` checks by itself: three percentages, and a list of tokens
READING = ("splits", "vocabulary")


@hookimpl
def zoo_tasks() -> list[TaskSpec]:
    """Return the task."""
    return [LANGUAGE_MODELING]


@hookimpl
def zoo_training_options() -> list[FieldsSpec]:
    """Return the group of training options."""
    return [FieldsSpec(name="text", summary="How text is split into batches", fields=TextFields)]


@hookimpl
def zoo_metrics() -> list[MetricSpec]:
    """Return the metrics."""
    return [
        MetricSpec(
            name="token-accuracy",
            target="zoo_text.token_accuracy:TokenAccuracy",
            summary="How often the most likely next token is the correct one",
            tasks=("language-modeling",),
            higher_is_better=True,
            unit="%",
        )
    ]


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    """Return the datasets."""
    return [
        DatasetSpec(
            name="nietzsche",
            target="zoo_text.corpora:nietzsche",
            task="language-modeling",
            card_options=READING,
            summary="Books by Nietzsche in lowercase, 600 thousand characters",
            config={"lower": True, "min_freq": 3},
            download_bytes=600_901,
            license="public domain",
            source="https://s3.amazonaws.com/text-datasets/nietzsche.txt",
        ),
        DatasetSpec(
            name="tinyshakespeare",
            target="zoo_text.corpora:tinyshakespeare",
            task="language-modeling",
            card_options=READING,
            summary="Shakespeare's plays, 1.1 million characters",
            download_bytes=1_115_394,
            license="public domain",
            source="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
            "input.txt",
        ),
        DatasetSpec(
            name="stdlib",
            target="zoo_text.corpora:stdlib",
            task="language-modeling",
            card_options=READING,
            summary="Source code of the running Python's standard library; no download",
            config={"min_freq": 20},
            license="PSF-2.0",
            source="https://www.python.org",
        ),
        DatasetSpec(
            name="files",
            target="zoo_text.corpora:files",
            task="language-modeling",
            card_options=READING,
            path_options=("paths", "val", "test"),
            required=("paths",),
            undivided={"splits": [100, 0, 0], "fold": None, "train_share": 1},
            summary="Your own text files or folders: --data paths=a.txt,folder",
        ),
    ]
