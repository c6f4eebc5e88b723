"""The contract kit on timm's classifiers, which were not written for it: which pass, which fail and why.

    pip install ./examples/zoo-timm
    python benchmarks/third_party.py [FAMILY ...] [--each 2] [--largest 12e6]

Of each family, a module of timm, the models with the fewest parameters are checked; docs/reference/plugins.md
explains the known failures.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import torch

from zoo.errors import SpecError
from zoo.models.building import build_model, model_arguments, on_meta
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec
from zoo.testing import run_checks


def main() -> None:
    parser = argparse.ArgumentParser(description="Check timm's classifiers.")
    parser.add_argument("--each", type=int, default=2, help="Number of models of each family.")
    parser.add_argument("--largest", type=float, default=12e6, help="Most parameters of a model.")
    parser.add_argument("families", nargs="*", help="Check only these.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.discover()
    passed: dict[str, list[str]] = defaultdict(list)
    failed: list[str] = []
    for family, entries in by_family(registry).items():
        if arguments.families and family not in arguments.families:
            continue
        for size, entry in smallest(registry, entries, arguments.each, int(arguments.largest)):
            start = time.perf_counter()
            outcomes = run_checks(registry, entry.name)
            failures = [outcome for outcome in outcomes if outcome.outcome == "failed"]
            taken = time.perf_counter() - start
            print(
                f"{'failed' if failures else 'passed'}  {entry.name}  {size:,} parameters  {taken:.0f} s",
                flush=True,
            )
            for outcome in failures:
                print(f"        {outcome.check}: {outcome.reason}", flush=True)
            if failures:
                failed.append(entry.name)
            else:
                passed[family].append(entry.name)
    total = sum(map(len, passed.values()))
    print(f"{total} models of {len(passed)} families pass; {len(failed)} fail: {', '.join(failed)}")


def by_family(registry: Registry) -> dict[str, list[Entry[ArchitectureSpec]]]:
    """Return timm's architectures by family, which each summary ends with: `from the vgg family`."""
    families: dict[str, list[Entry[ArchitectureSpec]]] = defaultdict(list)
    for name in [entry.name for entry in registry.entries("architecture", "timm/*")]:
        entry = registry.architecture(name)
        families[entry.spec.summary.split()[-2]].append(entry)
    return families


def smallest(
    registry: Registry, entries: list[Entry[ArchitectureSpec]], count: int, largest: int
) -> list[tuple[int, Entry[ArchitectureSpec]]]:
    """Return the entries with the fewest parameters, counted on the meta device."""
    task = registry.task("classification")
    sized: list[tuple[int, Entry[ArchitectureSpec]]] = []
    for entry in entries:
        try:
            with on_meta():
                model = build_model(entry, model_arguments(entry, task, task.dims, {}))
        except SpecError as error:
            print(f"skipped  {entry.name}: {error}", flush=True)
            continue
        size = sum(parameter.numel() for parameter in model.parameters())
        if size <= largest:
            sized.append((size, entry))
    return sorted(sized, key=lambda pair: (pair[0], pair[1].name))[:count]


if __name__ == "__main__":
    main()
