"""Format metrics for display: with units, in percent, or over several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.registry.specs import TaskSpec


def over_seeds(by_seed: Mapping[str, float], task: TaskSpec) -> str:
    """Format the mean and standard deviation of the primary metric; return an empty string for one seed.

    For example, `77.30 ± 0.26% accuracy over 3 seeds`.
    """
    if len(by_seed) < 2:
        return ""
    from statistics import mean, stdev  # slow to import

    average, deviation = mean(by_seed.values()), stdev(by_seed.values())
    unit, count = task.units.get(task.primary_metric, ""), f"over {len(by_seed)} seeds"
    if unit == "%":
        return f"{100 * average:.2f} ± {100 * deviation:.2f}% {task.primary_metric} {count}"
    return f"{task.primary_metric} {average:.4f} ± {deviation:.4f} {unit}".strip() + f" {count}"


def figure(value: float, unit: str = "") -> str:
    """Format a metric with its unit.

    >>> figure(0.9129, "%")
    '91.29%'
    """
    if unit == "%":
        return f"{100 * value:.2f}%"
    return f"{cell(value)} {unit}" if unit else f"{value:.4g}"


def cell(value: float, unit: str = "") -> str:
    """Format a metric for a table column, as a percentage or as a number with four decimal places."""
    if unit == "%":
        return figure(value, unit)
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.4g}"


def interval(bounds: Sequence[float] | None, unit: str = "") -> str:
    """Format a confidence interval; return an empty string for None.

    >>> interval((0.9074, 0.9185), "%")
    '(90.74 to 91.85)'
    """
    shown = [(cell(bound, unit) if unit else figure(bound)).removesuffix("%") for bound in bounds or ()]
    return f"({' to '.join(shown)})" if shown else ""


def figures(
    metrics: Mapping[str, float], units: Mapping[str, str], intervals: Mapping[str, Sequence[float]] = {}
) -> str:
    """Format all metrics with their units, in the order of `units`; see `TaskSpec.units`.

    A metric named after its unit, such as `bits_per_char`, is printed only once. Confidence intervals follow
    in parentheses.

    >>> units = {"accuracy": "%", "loss": "nats", "bits_per_char": "bits per character"}
    >>> figures({"loss": 0.2677, "bits_per_char": 0.3862, "accuracy": 0.9129}, units)
    'accuracy 91.29%, loss 0.2677 nats, 0.3862 bits per character'
    """
    order = {name: place for place, name in enumerate(units)}
    parts: list[str] = []
    for name in sorted(metrics, key=lambda name: order.get(name, len(order))):
        unit = units.get(name, "")
        label = "" if unit and name.startswith(f"{unit.split()[0]}_") else f"{name.replace('_', ' ')} "
        parts.append(f"{label}{figure(metrics[name], unit)} {interval(intervals.get(name), unit)}".rstrip())
    return ", ".join(parts)


def primary_metrics(
    metrics: Mapping[str, Mapping[str, float]], task: TaskSpec, further: Mapping[str, str] = {}
) -> list[str]:
    """Format the task's primary metric on each split, such as `test accuracy 91.85%`.

    Args:
        further: the units of further metrics, by name; those that were measured are shown.
    """
    units = {**task.units, **further}
    names = {task.primary_metric, *further}
    shown = {split: {name: of[name] for name in of.keys() & names} for split, of in metrics.items()}
    return [f"{split} {figures(values, units)}" for split, values in shown.items()]
