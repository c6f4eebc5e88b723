"""`Model`: a trained model that is ready to use."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config.arguments import checked
from zoo.config.declarations import Count, Limit, Probability
from zoo.config.synonyms import refuse_attribute
from zoo.config.train_config import PrecisionName, Split
from zoo.console.figures import primary_metrics
from zoo.console.progress import Bar, quiet
from zoo.data.vocabulary import Vocabulary, WritesText
from zoo.errors import WeightsError, printable, warn
from zoo.files.cards import Card
from zoo.registry.advice import advising
from zoo.registry.registry import Registry
from zoo.registry.specs import AnalyzerSpec

if TYPE_CHECKING:
    from torch import nn

    from zoo.analysis.findings import Findings
    from zoo.api.results import Features, Given, Predictions, Texts
    from zoo.models.runners import Runner
    from zoo.processors import Processor


class Model:
    """A trained model and its card, as returned by `zoo.load`. Models are thread-safe.

    Args:
        runner: object that runs the `nn.Module`, or the program in an exported file.

    Attributes:
        card: the metadata of the weights file.
        path: the weights file.
        device: the device that the model runs on.
        exported: whether the model was loaded from an exported file, which supports only `predict`,
            `features`, `sample` and `evaluate`.
        name: the id, file or run directory that the model was loaded from.
        own: dataset options used in training, including paths, if this user trained the model.
        registry: the registry that the model was loaded with.
    """

    def __init__(
        self,
        runner: Runner,
        card: Card,
        *,
        path: Path,
        registry: Registry,
        name: str = "",
        own: Mapping[str, Any] | None = None,
    ) -> None:
        self._runner = runner
        self.card = card
        self.path = path
        self.device = runner.device
        self.exported = runner.exported
        self.name = name or str(path)
        self.own = own or {}
        self.registry = registry

    def __repr__(self) -> str:
        card = self.card
        size = "exported" if self.exported else f"{self.num_parameters:,} parameters"
        parts = [
            f"{card.architecture}, {size}",
            f"trained on {card.dataset.name}",
            *primary_metrics(card.metrics, self._processor.spec),
        ]
        return printable(f"<Model {self.name}: {', '.join(parts)}>")

    def __call__(self, *inputs: Any) -> Any:
        """Call the module with normalized images (B, C, H, W), or tokens (T, B) and a state (or None)."""
        return self.module(*inputs)

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            refuse_attribute(self, name)

    @property
    def module(self) -> nn.Module:
        """The `nn.Module` in evaluation mode. Raises WeightsError for an exported file."""
        return self._runner.module

    @cached_property
    def num_parameters(self) -> int:
        """The number of parameters of the module."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in order; empty for a language model."""
        return [str(name) for name in self.card.preprocess.get("classes", ())]

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary. Raises WeightsError if the model is not a language model."""
        if not isinstance(self._processor, WritesText):
            hint = f"use `zoo predict {shlex.quote(self.name)} INPUT` or model.predict(INPUT)"
            raise WeightsError(f"{self.name} is not a language model (task: {self.card.task})", hint=hint)
        return self._processor.vocabulary(self.card.preprocess)

    @checked
    def evaluate(
        self,
        split: Split | None = None,
        *,
        dataset: str | None = None,
        data: Mapping[str, Any] | None = None,
        tta: bool = False,
        tta_below: Probability = 1.0,
        context: Limit | None = None,
        metrics: Sequence[str] = (),
        metrics_options: Mapping[str, Any] | None = None,
        progress: bool = True,
    ) -> dict[str, Any]:
        """Evaluate the model in fp32 on all items of a split.

        Args:
            split: split to evaluate on; by default, `test`, or `val` if there is no test split, or all data
                if the dataset has no splits.
            dataset: dataset to evaluate on, such as `folder`, instead of the training dataset; classes are
                matched by name.
            data: dataset options, in addition to those used in training.
            tta: average the predictions for several views of each image (test-time augmentation); not for an
                exported file.
            tta_below: with tta, use the other views only of images for which the model's highest probability
                is lower than this.
            context: number of tokens that a language model bases each prediction on, or 0 to carry its hidden
                state through the whole text; by default, as in training.
            metrics: additional metric to measure, such as `macro-f1`; `zoo list metrics` shows all metrics.
            metrics_options: options for these metrics, such as `near-misses.top=3`.
            progress: show progress on stderr or in the notebook.

        Returns:
            `{weights, dataset, split, count, counts, unit, tta, metrics, intervals, units, baseline,
            better_than_baseline}`. `context` is added if predictions are based on a limited number of tokens;
            the metric `carried_loss` is then the loss with the hidden state carried over. `intervals`
            contains the 95% confidence interval of each metric, `units` contains the units of the metrics,
            and `baseline` contains the metrics of a random baseline. `split` is `all` for data without
            splits, and `counts` contains totals such as the number of `unknown` tokens. For a classifier, the
            result also contains `classes`, `missing_classes` (classes without images) and
            `confusion[label][predicted]`.

        Raises:
            OptionError: the model or the dataset does not support an option.
            DataError, SpecError, UnknownName: the data does not exist or is not compatible with the model.
            Diverged: a metric is not finite.
        """
        from zoo.evaluation.evaluate import measure_split, with_recorded

        advice = advising(self.registry, self.card.architecture, dataset or self.card.dataset.name)
        with Bar() if progress else quiet() as bar, advice:
            found = measure_split(
                self._runner,
                self.card,
                self.registry,
                split=split,
                dataset=dataset,
                data=self._data(dataset, data),
                tta=tta,
                tta_below=tta_below,
                context=context,
                metrics=with_recorded(self.card, self.registry, metrics),
                metrics_options=metrics_options,
                report=bar,
            )
            return {"weights": str(self.path), **found.to_dict()}

    @checked
    def predict(
        self,
        inputs: object,
        *,
        top: Count | None = None,
        min_confidence: Probability | None = None,
        batch_size: Count = 64,
        threads: Count | None = None,
        progress: bool = True,
    ) -> Predictions:
        """Predict outputs for your own inputs. The rows of the result are computed lazily.

        Args:
            inputs: one input or an iterable of inputs: paths, folders, patterns such as `*.png`, tables of
                paths (.csv or .parquet), whose columns are kept, bytes of image files, Pillow images, uint8
                numpy arrays (H, W[, C]) or uint8 torch tensors ([C,] H, W). For a language model, a string is
                the text itself, and a `Path` names a text file.
            top: number of predictions per input, most likely first; by default, 1 for a classifier, or all
                classes with a probability of at least 0.5 for a multi-label model.
            min_confidence: minimum probability of the predicted class, from 0 to 1; inputs with a lower
                probability are reported as `unsure`.
            batch_size: number of inputs per batch.
            threads: number of threads that read and decode files; by default, one per core, up to 8.
            progress: show progress on stderr or in the notebook.

        Returns:
            A list of lazily computed rows `{"input", "predictions", "error"}`; `write(path)` writes them to a
            file.

        Raises:
            DataError: a path does not exist or names a file of the wrong type, a pattern has no matches, or a
                folder contains no inputs.
            OptionError: an option is out of range, or the model does not support it.
            WeightsError: the task does not implement prediction.
        """
        from zoo.api.results import Predictions
        from zoo.inference.predicting import predictor

        predict = predictor(
            self._runner,
            self.card,
            self._processor,
            top=top,
            min_confidence=min_confidence,
            batch_size=batch_size,
            threads=threads,
        )
        return Predictions(
            self._given(inputs, progress, {"top": top, "min_confidence": min_confidence}), predict
        )

    @checked
    def features(
        self,
        inputs: object,
        *,
        layer: str = "features",
        pool: bool = True,
        batch_size: Count = 64,
        threads: Count | None = None,
        progress: bool = True,
    ) -> Features:
        """Compute features of your own inputs: one vector per input, taken before the model's head.

        Similar inputs have similar features. The features can be used for search, clustering, or training a
        small classifier.

        Args:
            inputs: as in `predict`.
            layer: layer that provides the features (a landmark or a module path); by default, the last layer
                before the head.
            pool: average over image positions or text tokens; if disabled, return feature maps or the
                features of each token.
            batch_size: number of inputs per batch.
            threads: number of threads that read and decode files; by default, one per core, up to 8.
            progress: show progress on stderr or in the notebook.

        Returns:
            A list of lazily computed rows `{"input", "features", "error"}`. `numpy.asarray` stacks the
            features into one array, and `write(path)` writes them to a file.

        Raises:
            OptionError: the model does not have this layer, or an option is out of range.
            DataError: as for `predict`.
            WeightsError: models for this task cannot read inputs one at a time.
        """
        from zoo.api.results import Features
        from zoo.inference.embedding import embedder

        embed = embedder(
            self._runner,
            self.card,
            self._processor,
            layer=layer,
            pool=pool,
            batch_size=batch_size,
            threads=threads,
        )
        return Features(self._given(inputs, progress, {"layer": layer, "pool": pool}), embed)

    def _given(self, inputs: object, progress: bool, options: Mapping[str, Any]) -> Given:
        """Return the inputs of a result, with the options that its output file depends on."""
        from zoo.api.results import Given
        from zoo.processors import ReadsInputs

        assert isinstance(self._processor, ReadsInputs)
        return Given(
            inputs=inputs,
            reader=self._processor.input_reader(self.card),
            weights=str(self.path),
            made_with={"weights_sha256": self.card.sha256, **options},
            in_lines=self._processor.spec.in_lines,
            progress=progress,
        )

    @checked
    def sample(
        self,
        prompt: str = "",
        *,
        samples: int = 1,
        max_new_tokens: int = 400,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: str = "",
        seed: int = 0,
        progress: bool = True,
    ) -> Texts:
        """Generate texts that continue `prompt`. Sampling starts when the result is read for the first time.

        The texts do not include the prompt. If the model reads text backward, it generates the text before
        the prompt, and `sample` issues a warning. `sample` also warns if the prompt contains tokens that are
        not in the vocabulary.

        Args:
            prompt: text to continue; by default, no prompt is used.
            samples: number of texts to generate in parallel.
            max_new_tokens: number of tokens to generate.
            temperature: divisor of the logits; lower values make sampling more conservative, and 0 makes it
                greedy.
            top_k: number of most likely tokens to sample from; 0 disables the limit.
            top_p: total probability of the most likely tokens to sample from; 1 disables the limit.
            stop: stop generating at this text; the result does not include the text.
            seed: random seed for sampling.
            progress: show progress on stderr or in the notebook.

        Returns:
            A list of texts. `str` joins them with newlines, as `print` does, and `stream()` yields the
            first text token by token.

        Raises:
            OptionError: a value is out of range.
            WeightsError: the model is not a language model.
        """
        from zoo.api.results import Texts
        from zoo.inference.sampling import Sampling

        preprocess = self._prompted(prompt)
        sampling = Sampling(
            samples=samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop=stop,
            seed=seed,
        )
        unit = self._unit
        return Texts(self._runner, preprocess, prompt, sampling, unit=unit, progress=progress)

    @property
    def analyzers(self) -> list[str]:
        """The names of the analyzers that `analyze` accepts for this model; empty for an exported file."""
        if self.exported:
            return []
        from zoo.models.landmarks import with_landmarks

        architecture = with_landmarks(self.registry.architecture(self.card.architecture).spec, self.module)
        entries = self.registry.entries_of(AnalyzerSpec)
        return [entry.spec.name for entry in entries if entry.spec.fits(architecture, self.card.task)]

    @checked
    def analyze(
        self,
        analyzer: str,
        inputs: object = None,
        *,
        split: Split | None = None,
        indices: Sequence[int] | None = None,
        dataset: str | None = None,
        data: Mapping[str, Any] | None = None,
        classes: Sequence[str] = (),
        layer: str | None = None,
        options: Mapping[str, Any] | None = None,
        score: bool = False,
        precision: PrecisionName = "fp32",
        progress: bool = True,
    ) -> Findings:
        """Run an analyzer, such as `grad-cam`, on the model.

        Args:
            inputs: as in `predict`, except that multiple texts are joined into one; by default, a split of
                the data.
            split: split to analyze; by default, `test`, or `val` if there is no test split.
            indices: indices of the items to analyze, starting at 0; by default, all items.
            dataset: dataset to analyze instead of the training dataset.
            data: dataset options, in addition to those used in training.
            classes: class to explain: a name, a number, `predicted` (the default) or `true` (the label).
            layer: layer to analyze: a landmark or a module path.
            options: analyzer options.
            score: also measure how faithful the heat maps are.
            precision: precision of the forward and backward passes; `auto` selects bf16 where it is fast.
            progress: show progress on stderr or in the notebook.

        Returns the findings; a notebook displays them as an image, and `write(folder)` saves them.

        Raises ZooError: see `zoo.errors` for its subclasses.
        """
        from zoo.analysis.analyzer_run import analyze
        from zoo.analysis.faithfulness import faithfulness
        from zoo.analysis.request import Request

        request = Request(
            inputs=inputs,
            split=split,
            indices=indices,
            dataset=dataset,
            data=self._data(dataset, data, own_inputs_of=None if inputs is None else analyzer) or {},
            classes=classes,
            layer=layer,
            options=options or {},
            precision=precision,
        )
        advice = advising(self.registry, analyzer, self.card.architecture)
        with Bar() if progress else quiet() as bar, advice:
            findings = analyze(
                analyzer,
                self.module,
                self.card,
                self.registry,
                request,
                weights=str(self.path),
                device=self.device,
                report=lambda done, total: bar("analyzing", done, total, self._unit),
            )
            if score:
                findings = replace(findings, scores=findings.scores | faithfulness(findings, self.module))
        return findings

    @checked
    def export(
        self,
        out: str | Path | None = None,
        *,
        to: str | None = None,
        options: Mapping[str, Any] | None = None,
        split: Split | None = None,
        data: Mapping[str, Any] | None = None,
        synthetic: bool = False,
        progress: bool = True,
    ) -> dict[str, Any]:
        """Export the model to a different format, and verify that its predictions stay the same.

        zoo runs the exported program on up to 2,000 items of a split, with various batch sizes and text
        lengths. Its predictions must match the model's predictions, except for ties. Two classes or tokens
        are tied if the gap between their logits is smaller than the largest difference between the logits of
        the program and the logits of the model.

        Args:
            out: file to write; by default, the file is named after the model.
            to: format, such as `onnx` or `pt2`; by default, derived from the file suffix, or `onnx` if no
                file is given.
            options: exporter options, such as `opset`.
            split: split to verify on; by default, `test`, or `val` if there is no test split.
            data: dataset options, in addition to those used in training.
            synthetic: verify on random inputs, which does not require the model's data.
            progress: show progress on stderr or in the notebook.

        Returns:
            `{file, format, options, bytes, split, items, total, unit, disagreements, largest_difference}`,
            where `items` is the number of items compared, `total` is the number of items in the split, and
            `disagreements` is the number of items whose predictions differ because of a tie.

        Raises:
            WeightsError: the model cannot be exported, or the program's predictions differ; no file is
                written.
            OutputError: the file exists, or cannot be written.
            SpecError, PluginError: the exporter is not installed, or its plugin is not loaded.
            DataError, OptionError, UnknownName: the data does not exist or is not compatible with the model.
        """
        from zoo.tools.export.export_weights import export

        data = None if synthetic and not data else self._data(None, data)
        with Bar() if progress else quiet() as bar, advising(self.registry, self.card.architecture):
            result = export(
                self,
                self.registry,
                out=out,
                to=to,
                options=options,
                split=split,
                data=data,
                synthetic=synthetic,
                report=bar,
            )
        return {"weights": str(self.path), **result}

    def _data(
        self, dataset: str | None, data: Mapping[str, Any] | None, *, own_inputs_of: str | None = None
    ) -> Mapping[str, Any] | None:
        """Return the options for opening the data: the given ones, and the location of the model's own data.

        Args:
            own_inputs_of: an analyzer that runs on the user's own inputs but can also read the data.
        """
        from zoo.data.opening import local_options

        if dataset or (own_inputs_of and not self.registry.analyzer(own_inputs_of).spec.reference):
            return data
        if not self.own:
            return data
        return local_options(self.registry.dataset(self.card.dataset.name), self.own) | dict(data or {})

    @cached_property
    def _unit(self) -> str:
        """The unit in which inputs are counted, such as `images`."""
        return self._processor.unit(self.card.preprocess)

    @cached_property
    def _processor(self) -> Processor:
        from zoo.processors import make_processor

        return make_processor(self.registry, self.card.task)

    def _prompted(self, prompt: str) -> Mapping[str, Any]:
        """Return the preprocessing for sampling, and warn if the prompt is read in an unexpected way."""
        vocabulary = self.vocabulary
        if vocabulary.backwards:
            warn("the model reads backward, so it generates the text that precedes its prompt")
        _, unknown = vocabulary.encode(prompt)
        if unknown:
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            listed = " ".join(map(repr, unknown[:10])) + more
            warn(f"tokens that are not in the model's vocabulary are read as <unk>: {listed}")
        return self.card.preprocess
