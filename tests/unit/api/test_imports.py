"""Heavy libraries are imported by the code that uses them, and by no other."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"torchvision", "PIL", "matplotlib", "torchtext", "requests", "torch._dynamo", "torch.export", "rich"}


CODE = """
import sys
for modules in sys.argv[1:]:
    exec(f"import {modules}")
    print(*sys.modules)
"""


def imported_by(*modules: str) -> list[set[str]]:
    """Return the heavy modules that are loaded after each of several imports, in a new process."""
    command = [sys.executable, "-c", CODE, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [HEAVY & set(line.split()) for line in done.stdout.splitlines()]


def test_using_a_model_imports_nothing_heavy_beyond_torch_itself() -> None:
    uses = "zoo.analysis.subject, zoo.evaluation.evaluate, zoo.inference.sampling, zoo.models.weights"
    torch, model, analysis = imported_by("torch", uses, "zoo.analysis.analyzer_run")
    assert model <= torch
    assert not (analysis - torch) & {"torchvision", "matplotlib"}, "only to score, and to draw"


def test_an_exported_file_is_run_and_sampled_without_torch() -> None:
    modules = "zoo.models.runners, zoo.inference.sampling, zoo.tools.export.onnx_reader"
    code = f"import {modules}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()
