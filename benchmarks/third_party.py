"""The contract kit on timm's classifiers, which were not written for it: what passes, what fails and why.

Of each family (a module of timm) the models with the fewest parameters are checked; docs/plugins.md explains
what is known to fail. `pip install ./examples/zoo-timm` first.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import torch

from zoo.errors import SpecError
from zoo.models.building import build_model, model_arguments
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import DIMS, ArchitectureSpec
from zoo.testing import run_checks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=2, help="models of each family")
    parser.add_argument("--largest", type=float, default=12e6, help="parameters, at most")
    parser.add_argument("families", nargs="*", help="all if none are named")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.discover()
    passed: dict[str, list[str]] = defaultdict(list)
    failed: list[str] = []
    for family, entries in by_family(registry).items():
        if arguments.families and family not in arguments.families:
            continue
        for size, entry in smallest(entries, arguments.each, int(arguments.largest)):
            start = time.perf_counter()
            outcomes = run_checks(registry, entry.name)
            wrong = [o for o in outcomes if o.outcome == "failed"]
            taken = time.perf_counter() - start
            print(
                f"{'failed' if wrong else 'passed'}  {entry.name}  {size:,} parameters  {taken:.0f} s",
                flush=True,
            )
            for outcome in wrong:
                print(f"        {outcome.name.rpartition('-')[2]}: {outcome.reason}", flush=True)
            if wrong:
                failed.append(entry.name)
            else:
                passed[family].append(entry.name)
    total = sum(map(len, passed.values()))
    print(f"{total} models of {len(passed)} families pass; {len(failed)} do not: {', '.join(failed)}")


def by_family(registry: Registry) -> dict[str, list[Entry[ArchitectureSpec]]]:
    families: dict[str, list[Entry[ArchitectureSpec]]] = defaultdict(list)
    for entry in registry.entries("architecture", "timm/*"):
        families[entry.spec.summary.rpartition(" ")[2]].append(entry)
    return families


def smallest(
    entries: list[Entry[ArchitectureSpec]], count: int, largest: int
) -> list[tuple[int, Entry[ArchitectureSpec]]]:
    """Return the entries with the fewest parameters, counted where tensors have no values."""
    sized: list[tuple[int, Entry[ArchitectureSpec]]] = []
    for entry in entries:
        try:
            with torch.device("meta"):
                model = build_model(entry, model_arguments(entry, DIMS["classification"], {}))
        except SpecError as error:
            print(f"left out  {entry.name}: {error}", flush=True)
            continue
        size = sum(parameter.numel() for parameter in model.parameters())
        if size <= largest:
            sized.append((size, entry))
    return sorted(sized, key=lambda pair: (pair[0], pair[1].name))[:count]


if __name__ == "__main__":
    main()
