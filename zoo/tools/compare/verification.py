"""Measure published metrics again, and compare them with the values in the card and the registry."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zoo.api.model import Model
from zoo.config.arguments import checked
from zoo.console.progress import Bar
from zoo.errors import DataError, Interrupted, OptionError, ZooError, warn
from zoo.files.cards import Environment
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry, default_registry
from zoo.registry.remotes import with_zoos
from zoo.registry.weights_files import published_spec
from zoo.tools.compare import attestations
from zoo.tools.compare.attestations import require_attestable
from zoo.tools.compare.claims import Claim, metric_claims, mismatches
from zoo.tools.compare.tolerance import Machine, disagreement, interval_disagreement

if TYPE_CHECKING:
    from zoo.interfaces import Split

Row = dict[str, Any]


@checked
def verify(
    *weights: str | Path,
    data: Mapping[str, Any] | None = None,
    attest: str | Path | None = None,
    out: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
) -> list[dict[str, Any]]:
    """Measure the published metrics of weights again, and compare them with their cards and the registry.

    ::

        zoo.verify("cifar10-mlp")
        zoo.verify(*zoo.list_weights())

    If the processor, the device and the torch version are the same as in the card, a metric that counts
    items, such as accuracy, must be exactly equal; any other metric may differ only by rounding, by at most
    1e-5 of its value. Otherwise, the 95% confidence interval of the new measurement must contain the
    published metric; for a task without intervals, the two metrics may differ by at most 0.1%. zoo assumes
    that values that the card does not record are the same. A metric that was published with four decimals may
    differ by half a unit in the last decimal place.

    Args:
        weights: published ids, files or run directories.
        data: dataset options that the cards cannot set, such as `root`.
        attest: SSH key to sign an attestation of the outcome with, for each of the weights: a private key
            file, or a public one whose private key is in the SSH agent.
        out: folder for the attestations; by default, `attestations`.
        device: device, such as `cpu` or `cuda`; by default, the CPU for weights that were trained on a CPU,
            and a GPU, if there is one, for others.
        progress: show progress on stderr or in the notebook.
        registry: registry to use; by default, the installed plugins and registry.toml.

    Returns:
        A row for each metric: `{weights, split, metric, published, measured, interval, ok, reason}`. If data
        or the file is missing or damaged, `measured` is None and `ok` is False. `ok` is None if there is
        nothing to verify. The result also contains a row for each value in which the file, its card and the
        registry disagree; in this row, `split` is empty, and `metric` is the name of the value. With
        `attest`, each row also has the path of the `attestation`, or None for weights that could not be
        measured.

    Raises:
        OptionError: no weights are given.
        WeightsError: weights do not exist, or belong to an exported file.
    """
    registry = default_registry() if registry is None else registry
    require_attestable(attest, out)
    if not weights:
        raise OptionError("no weights to verify", hint="zoo.list_weights() lists the published weights")
    registry = with_zoos(registry, *weights)
    how = _How(data=data, device=device, progress=progress, registry=registry)
    listed = {name: published_spec(registry, name) for name in weights}
    for name, spec in listed.items():
        if spec is None:  # an error about the user's own files comes before the work
            _ = how.load(name).module
    rows: list[Row] = []
    for name, spec in listed.items():
        if progress:
            with Bar(f"verifying {name}"):  # its title; each split has a bar of its own
                pass
        found = [*_verified(name, spec, how)]
        if attest is not None:
            attestation = _attested(name, found, attest, out, how)
            found = [row | {"attestation": attestation} for row in found]
        rows += found
    return rows


def _attested(
    name: str | Path, rows: list[Row], key: str | Path, out: str | Path | None, how: _How
) -> str | None:
    """Sign a statement of the outcome, and return its path; None if a metric could not be measured."""
    if unmeasured := [row["reason"] for row in rows if row["measured"] is None]:
        warn(f"{name} is not attested: {unmeasured[0]}")
        return None
    from zoo.data.opening import local_options, open_fed
    from zoo.interfaces import make_task
    from zoo.runs.environment import versions_of

    model = how.load(name)
    card, registry = model.card, how.registry
    data = local_options(registry.dataset(card.dataset.name), model.own) | dict(how.data or {})
    _, fed = open_fed(card, make_task(registry, card.task), registry, data=data)
    path = attestations.attest(
        model,
        key,
        out,
        command="verify",
        data_sha256=fed.fingerprint,
        environment=_environment(model.device),
        versions=versions_of(registry.architecture(card.architecture).plugin),
        tests={f"{row['split']} {row['metric']}".strip(): row["ok"] for row in rows},
    )
    return str(path)


@dataclass(frozen=True, kw_only=True)
class _How:
    """How to load and measure weights: the arguments of `verify`."""

    data: Mapping[str, Any] | None
    device: str | None
    progress: bool
    registry: Registry

    def load(self, name: str | Path) -> Model:
        """Load weights on the chosen device, or on the kind of device that they were trained on."""
        from zoo.api.load_weights import load

        device = self.device or "cpu"
        model = load(name, device=device, progress=self.progress, registry=self.registry)
        if self.device or model.card.environment.device in ("", "cpu"):
            return model
        return load(name, progress=self.progress, registry=self.registry)

    def measure(self, model: Model, split: str) -> tuple[Mapping[str, Any], str]:
        """Return the result of an evaluation, or an empty one and the reason why there is none."""
        try:
            result = model.evaluate(cast("Split", split), data=self.data, progress=self.progress)
        except Interrupted:
            raise
        except ZooError as error:
            return {}, f"{'no data' if isinstance(error, DataError) else 'not measured'}: {error}"
        return result, ""


def _verified(name: str | Path, spec: WeightsSpec | None, how: _How) -> Iterator[Row]:
    """Yield the rows of some weights."""
    try:
        model = how.load(name)
    except ZooError as error:
        if spec is None:
            raise
        yield _row(name, Claim("", "file"), reason=str(error))
        return
    for what, stated, found in mismatches(model, spec, how.registry):
        reason = f"{stated} is published, but the file has {found}"
        yield _row(name, Claim("", what, stated), measured=found, reason=reason)
    claims = [*metric_claims(model.card, spec)]
    if not claims:
        yield _row(name, Claim("", ""), reason="nothing to verify: no metrics are published") | {"ok": None}
    for split in dict.fromkeys(claim.split for claim in claims):
        result, reason = how.measure(model, split)
        for claim in claims:
            if claim.split == split:
                yield _compared(name, model, claim, result) if result else _row(name, claim, reason=reason)


def _compared(name: str | Path, model: Model, claim: Claim, result: Mapping[str, Any]) -> Row:
    """Return the row of a metric whose split was measured."""
    metrics = result["metrics"]
    measured, interval = metrics.get(claim.metric), result.get("intervals", {}).get(claim.metric)
    if measured is None:
        return _row(name, claim, reason=f"the metric is not among those measured: {', '.join(metrics)}")
    elsewhere = _machine(model.device).differing(model.card)
    reason = disagreement(claim.value, measured, count=result["count"], same=not elsewhere, interval=interval)
    if reason and elsewhere:
        reason = f"{reason} (published with {', '.join(elsewhere)})"
    stated = model.card.intervals.get(claim.split, {}).get(claim.metric)
    wrong = interval_disagreement(stated, interval) if stated and interval else ""
    reason = "; ".join(filter(None, [reason, wrong]))
    return _row(name, claim, measured=measured, interval=interval and [*interval], reason=reason)


def _row(
    weights: str | Path, claim: Claim, *, reason: str, measured: object = None, interval: object = None
) -> Row:
    reason = "; ".join(filter(None, [claim.problem, reason]))
    return {
        "weights": str(weights),
        "split": claim.split,
        "metric": claim.metric,
        "published": claim.value,
        "measured": measured,
        "interval": interval,
        "ok": not reason,
        "reason": reason,
    }


@functools.cache
def _environment(device: str) -> Environment:
    import torch

    from zoo.runs.environment import environment_of

    return environment_of(torch.nn.Identity(), device=device, seconds=0)


def _machine(device: str) -> Machine:
    """Return what this machine measures with."""
    import torch

    here = _environment(device)
    return Machine(here.processor, here.device, torch.__version__.partition("+")[0])
