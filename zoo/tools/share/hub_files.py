"""The files of a model on the Hugging Face Hub besides its weights: README.md, its card, and config.json."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zoo.data.vocabulary import WritesText
from zoo.files.canonical import readable_json
from zoo.files.cards import Card
from zoo.processors import ReadsInputs, make_processor
from zoo.registry.hub_weights import LIBRARY, WEIGHTS
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry
from zoo.tools.share.model_card import ModelCard

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

# The last line of a README.md, with the sha256 of the lines before
_MARK = "<!-- written by `zoo push`, which replaces this file unless it was edited: {} -->\n"


def about(card: Card, spec: WeightsSpec) -> bytes:
    """Return config.json, whose downloads the Hub counts, and by which `hf:` recognizes a model of zoo."""
    facts = {"library_name": LIBRARY, "architecture": card.architecture, "task": card.task}
    facts |= {"license": spec.license} if spec.license else {}
    return f"{readable_json(facts | {'weights': WEIGHTS, 'sha256': spec.sha256})}\n".encode()


def readme(name: str, described: ModelCard, card: Card, spec: WeightsSpec, registry: Registry) -> bytes:
    """Return README.md: the model card, with the metadata and the results that the Hub reads from its head.

    Args:
        name: such as `hf:owner/name`.
    """
    from huggingface_hub import ModelCardData

    task, inputs = _task(card, registry)
    described.fields["python"] = _use(name, inputs)
    head = ModelCardData(
        model_name=name.rpartition("/")[2],
        library_name=LIBRARY,
        license=spec.license.lower() or None,
        pipeline_tag=task or None,
        datasets=[_short(card.dataset.name)],
        tags=[LIBRARY, _short(card.architecture), card.task],
        eval_results=[*_results(task or card.task, card, spec)],
        ignore_metadata_errors=False,
    )
    text = f"---\n{head.to_yaml()}\n---\n\n{described.markdown()}\n"
    return f"{text}{_MARK.format(_sha256(text))}".encode()


def is_unedited(text: str) -> bool:
    """Return whether a README.md is as `zoo push` wrote it."""
    lines = text[: text.rfind("<!--")]
    return text == lines + _MARK.format(_sha256(lines))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _task(card: Card, registry: Registry) -> tuple[str, str]:
    """Return the Hub's name of a task and what `predict` gets in Python; each can be empty."""
    processor = make_processor(registry, card.task)
    if isinstance(processor, WritesText):
        return "text-generation", ""
    if not isinstance(processor, ReadsInputs):
        return "", ""
    reader = processor.input_reader(card)
    if reader.picture is None:
        return "", "INPUT"
    labels = registry.task(card.task).labels
    return "image-classification" if labels else "", "image.png"


def _use(name: str, inputs: str) -> str:
    """Return three lines of Python that use the model."""
    does = f'model.predict("{inputs}")' if inputs else "model.sample()"
    return f'import zoo  # with its extra "hub"\nmodel = zoo.load("{name}")\nprint({does})'


def _results(task: str, card: Card, spec: WeightsSpec) -> Iterator[EvalResult]:
    """Yield the metrics for the list of results that the Hub shows."""
    from huggingface_hub import EvalResult

    for split, metrics in spec.metrics.items():
        for metric, value in metrics.items():
            data = _short(card.dataset.name)
            yield EvalResult(
                task_type=task,
                dataset_type=data,
                dataset_name=data,
                dataset_split=split,
                metric_type=metric,
                metric_name=metric.replace("_", " "),
                metric_value=value,
            )


def _short(name: str) -> str:
    return name.rpartition("/")[2]
