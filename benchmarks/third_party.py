"""The contract kit on classifiers that were not written for it: which pass, which fail and why.

    python benchmarks/third_party.py timm [FAMILY ...] [--each 2] [--largest 12e6]
    python benchmarks/third_party.py torchvision [FAMILY ...] [--each 100] [--largest 30e6]

Of each family, a module of the library, the models with the fewest parameters are checked;
docs/reference/plugins.md explains the known failures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from importlib.metadata import EntryPoint
from pathlib import Path

import torch

from zoo.errors import SpecError
from zoo.models.building import build_model, model_arguments, on_meta
from zoo.registry import plugins
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec
from zoo.testing import check
from zoo.testing._targets import with_ours

# How many models of each family, and of how many parameters at most, unless the user says
_USUAL = {"timm": (2, 12e6), "torchvision": (100, 30e6)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Check the classifiers of another library.")
    parser.add_argument("library", choices=_USUAL)
    parser.add_argument("--each", type=int, help="Number of models of each family.")
    parser.add_argument("--largest", type=float, help="Most parameters of a model.")
    parser.add_argument("families", nargs="*", help="Check only these.")
    arguments = parser.parse_args()
    each, largest = _USUAL[arguments.library]
    torch.set_num_threads(1)
    registry = registry_with(arguments.library)
    passed: dict[str, list[str]] = defaultdict(list)
    failed: dict[str, list[str]] = defaultdict(list)
    for family, entries in by_family(registry, arguments.library).items():
        if arguments.families and family not in arguments.families:
            continue
        chosen = smallest(registry, entries, arguments.each or each, int(arguments.largest or largest))
        for size, entry in chosen:
            start = time.perf_counter()
            outcomes = [one for one in check(entry.name, registry=registry, progress=False) if one.reason]
            failures = [outcome for outcome in outcomes if outcome.outcome == "failed"]
            taken = time.perf_counter() - start
            status = "failed" if failures else "passed"
            print(f"{status}  {entry.name}  {size:,} parameters  {taken:.0f} s", flush=True)
            for outcome in outcomes:
                if outcome.outcome in ("failed", "xfailed", "warned"):
                    print(f"        {outcome.outcome} {outcome.check}: {outcome.reason}", flush=True)
            for outcome in failures:
                failed[outcome.check].append(entry.spec.name)
            if not failures:
                passed[family].append(entry.spec.name)
    total = sum(map(len, passed.values()))
    fallen = {name for names in failed.values() for name in names}
    print(f"{total} models of {len(passed)} families pass, {len(fallen)} fail")
    for name, names in failed.items():
        print(f"{name}: {', '.join(names)}")


def registry_with(library: str) -> Registry:
    """Return the installed plugins, with torchvision's beside them, which is an example."""
    if library == "timm":
        return Registry.discover()
    where = "zoo_torchvision.plugin"
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "zoo-torchvision"))
    plugin = plugins.load(library, EntryPoint(library, where, plugins.GROUP).load, where=where)
    return Registry(with_ours(plugin))


def by_family(registry: Registry, library: str) -> dict[str, list[Entry[ArchitectureSpec]]]:
    """Return the architectures by family, which each summary ends with: `from the vgg family`."""
    families: dict[str, list[Entry[ArchitectureSpec]]] = defaultdict(list)
    for name in [entry.name for entry in registry.entries("architecture") if entry.plugin.name == library]:
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
        dims = {**task.dims, "image_size": max(task.dims["image_size"], entry.spec.smallest_image)}
        try:
            with on_meta():
                model = build_model(entry, model_arguments(entry, task, dims, {}))
        except SpecError as error:
            print(f"skipped  {entry.name}: {error}", flush=True)
            continue
        size = sum(parameter.numel() for parameter in model.parameters())
        if size <= largest:
            sized.append((size, entry))
    return sorted(sized, key=lambda pair: (pair[0], pair[1].name))[:count]


if __name__ == "__main__":
    main()
