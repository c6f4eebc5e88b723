"""Train weights again from their card alone, and compare every bit. Torch-free until it trains."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, cast

from zoo.api.model import Model
from zoo.api.training import train
from zoo.config.arguments import checked
from zoo.config.declarations import Count
from zoo.errors import RunError, WeightsError, ZooWarning
from zoo.files.cards import Card
from zoo.registry.extras import needing_extra
from zoo.registry.registry import Registry, default_registry
from zoo.tools.compare import attestations
from zoo.tools.compare.attestations import require_attestable
from zoo.tools.compare.card_differences import differences
from zoo.tools.compare.card_recipe import base_of, recipe_of
from zoo.tools.compare.claims import primary_claim

if TYPE_CHECKING:
    from zoo.interfaces import Split


@checked
def reproduce(
    weights: str | Path,
    *,
    run: str | Path | None = None,
    data: Mapping[str, Any] | None = None,
    from_weights: str | Path | None = None,
    threads: Count | None = None,
    attest: str | Path | None = None,
    out: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
) -> dict[str, Any]:
    """Retrain weights from their card, and compare the new tensors and metrics with the file.

    ::

        zoo.reproduce("nietzsche-rnn")["bit_equal"]

    Only the card is needed, not a recipe or a registry entry. Repeat the call to continue after an
    interruption. If the file stores matrices as bf16, the new matrices are rounded in the same way before
    they are compared and evaluated.

    Args:
        weights: a published id, a file or a run directory.
        run: run directory; by default, `runs/NAME-reproduced`.
        data: dataset options that the card cannot set, such as `root`.
        from_weights: the weights that fine-tuning started from; by default, the published weights that the
            card names.
        threads: number of CPU threads, instead of the number in the card of the weights; a different number
            can change results slightly because of rounding.
        attest: SSH key to sign an attestation of the outcome with: a private key file, or a public one whose
            private key is in the SSH agent.
        out: folder for the attestation; by default, `attestations`.
        device: device, such as `cpu` or `cuda`; by default, the CPU for weights that were trained on a CPU,
            and a GPU, if there is one, for others.
        progress: show progress on stderr or in the notebook.
        registry: registry to use; by default, the installed plugins and registry.toml.

    Returns:
        `{weights, run, task, bit_equal, differs, unknown, tensors, metrics, published, primary,
        attestation}`. `differs` contains the differences from the card, as `{name: [in the card, here]}`, and
        `unknown` lists the values that the card does not record, such as `processor`. `tensors` is `{total,
        different, largest_difference}`. `metrics` and `published` are grouped by split. `primary` is `{split,
        metric, published, measured, interval, of, ok}`: if the tensors differ and the card contains the
        results of multiple seeds, `interval` is the 95% prediction interval for a new seed, and `of` is
        `seeds`; otherwise, `interval` is the 95% confidence interval of the measured metric, and `of` is
        `items`.
        `attestation` is the path of the statement, or None.

    Raises:
        WeightsError: the file is damaged, was calibrated, or belongs to an unfinished run, or zoo cannot find
            the weights from which its training started.
        RunError: the run directory contains another run.
        SpecError: the interval of the seeds requires SciPy, which is not installed. The run is finished.
        Interrupted: a signal stopped the training. The run is saved.
        ZooError: the data is missing, or the training failed; see `zoo.errors` for its subclasses.
    """
    require_attestable(attest, out)
    registry = default_registry() if registry is None else registry
    from zoo.api.load_weights import load

    published = load(weights, device="cpu", progress=progress, registry=registry)
    card, _ = published.card, published.module  # an exported file has none, and raises its error
    if card.calibration:
        hint = "reproduce the uncalibrated weights"
        raise WeightsError(f"{weights} cannot be reproduced: it was calibrated after training", hint=hint)
    if "file" in card.base_model:
        raise WeightsError(f"{weights} was imported, so its card does not record how it was trained")
    _require_finished(published)
    directory = Path(run) if run is not None else Path("runs") / f"{_name(published)}-reproduced"
    _require_elsewhere(directory, published)
    own = {name: value for name, value in published.own.items() if name not in card.dataset.options}
    given = own | dict(data or {})
    _warn_of_other_data(card, registry, given)
    base = base_of(card, registry, from_weights, progress=progress)
    if device is None and card.environment.device in ("", "cpu"):
        device = "cpu"
    try:
        train(
            recipe_of(card, registry, data=given, base=base),
            run=directory,
            resume=True,
            threads=threads,
            device=device,
            progress=progress,
            registry=registry,
        )
    except RunError as error:
        if "--accept-changes" not in (error.hint or ""):
            raise
        raise RunError(str(error), hint="choose a different --run folder") from None
    ours = _counterpart(directory, card, device, registry)
    tensors = _rounded_and_compared(published, ours)
    differing, unknown = differences(card, ours.card, registry)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the result on", ZooWarning)  # the training warned of it
        results = {
            split: ours.evaluate(cast("Split", split), data=data, progress=progress) for split in card.metrics
        }
    bit_equal = not tensors["different"]
    primary = _primary(card, results, registry, bit_equal=bit_equal)
    attestation = None
    if attest is not None:
        tests = {f"{primary['split']} {primary['metric']}": primary["ok"]} if primary else {"tensors": False}
        attestation = attestations.attest(
            published,
            attest,
            out,
            command="reproduce",
            data_sha256=ours.card.dataset.fingerprint,
            environment=ours.card.environment,
            versions=ours.card.versions,
            tests=None if bit_equal else tests,
        )
    return {
        "weights": str(weights),
        "run": str(directory),
        "task": card.task,
        "bit_equal": bit_equal,
        "differs": differing,
        "unknown": unknown,
        "tensors": tensors,
        "metrics": {split: result["metrics"] for split, result in results.items()},
        "published": card.metrics,
        "primary": primary,
        "attestation": attestation and str(attestation),
    }


def prediction_interval(values: Sequence[float]) -> list[float]:
    """Return the interval that contains the result of another seed with a probability of 95%.

    The results are assumed to be normally distributed; the interval uses Student's t distribution (Hahn &
    Meeker 1991, section 4.2), and is wide for few seeds. `values` are the results of at least two seeds.
    """
    from scipy import stats

    count = len(values)
    quantile = float(stats.t.ppf(0.975, count - 1))
    half = quantile * stdev(values) * (1 + 1 / count) ** 0.5
    return [fmean(values) - half, fmean(values) + half]


def _require_finished(published: Model) -> None:
    """Raise WeightsError for the weights of a run that has not ended."""
    if published.path.name.startswith("checkpoint"):
        hint = f"`zoo resume {shlex.quote(str(published.path.parent))}` continues the run"
        raise WeightsError(f"{published.name} belongs to an unfinished run", hint=hint)


def _require_elsewhere(directory: Path, published: Model) -> None:
    """Raise RunError if weights would be compared with themselves."""
    if directory.resolve() == published.path.parent.resolve():
        message = f"{directory} contains the weights to reproduce"
        raise RunError(message, hint="choose a different --run folder for the new weights")


def _warn_of_other_data(card: Card, registry: Registry, data: Mapping[str, Any]) -> None:
    """Open the data, so that its errors come before the training, and warn if it is not the card's."""
    from zoo.data.opening import open_fed
    from zoo.interfaces import make_task

    open_fed(card, make_task(registry, card.task), registry, data=data)


def _name(published: Model) -> str:
    """Return a name for a run directory: the id, or the name of the file or of its run."""
    path = published.path
    return path.parent.name if path.stem in ("best", "model") else path.stem


def _counterpart(directory: Path, card: Card, device: str | None, registry: Registry) -> Model:
    """Return the new weights of the epoch that the card names, or the last ones."""
    saved = [path for name in ("best", "model") if (path := directory / f"{name}.safetensors").exists()]
    from zoo.api.load_weights import load

    models = [load(path, device=device, progress=False, registry=registry) for path in saved]
    return next((model for model in models if model.card.progress == card.progress), models[-1])


def _rounded_and_compared(published: Model, ours: Model) -> dict[str, Any]:
    """Round new weights as the published file stores them, and compare every bit.

    Returns `{total, different, largest_difference}`: numbers of tensors, and the largest difference of two
    floating-point values.
    """
    import torch
    from safetensors.torch import load_file

    from zoo.models.weights import bit_equal

    stored, loaded, state = load_file(published.path), published.module.state_dict(), ours.module.state_dict()
    different, largest = 0, 0.0
    with torch.no_grad():
        for name, old in stored.items():
            new = state[name].cpu().to(old.dtype)
            state[name].copy_(new)
            if not bit_equal(new, old):
                different += 1
                if old.is_floating_point() or old.is_complex():
                    largest = max(largest, float((state[name].cpu() - loaded[name].cpu()).abs().max()))
    return {"total": len(stored), "different": different, "largest_difference": largest}


def _primary(
    card: Card, results: Mapping[str, Mapping[str, Any]], registry: Registry, *, bit_equal: bool
) -> dict[str, Any] | None:
    """Return the primary metric that was published and the new one, and the interval that it should lie in.

    None for a card without metrics. Without several seeds, and for a task without intervals, the interval is
    None, and only equal metrics are ok.
    """
    claim = primary_claim(card, registry)
    if claim is None:
        return None
    split, metric, published, _ = claim
    measured = results[split]["metrics"][metric]
    interval, of, value = results[split].get("intervals", {}).get(metric), "items", published
    if len(card.by_seed) > 1 and not bit_equal:
        with needing_extra("stats", "the interval of the seeds"):
            interval, of, value = prediction_interval([*card.by_seed.values()]), "seeds", measured
    ok = published == measured or (interval is not None and interval[0] <= value <= interval[1])
    return {
        "split": split,
        "metric": metric,
        "published": published,
        "measured": measured,
        "interval": interval,
        "of": of if interval else None,
        "ok": ok,
    }
