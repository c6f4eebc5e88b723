"""Heavy libraries are imported by the code that uses them, and by no other."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"torchvision", "PIL", "matplotlib", "torchtext", "requests", "torch._dynamo", "torch.export", "rich"}


def imported_by(*modules: str) -> set[str]:
    """Return the heavy modules that importing some modules loads in a new process."""
    code = f"import {', '.join(modules)}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(done.stdout.split())


def test_using_a_model_imports_nothing_heavy_beyond_torch_itself() -> None:
    modules = (
        "zoo.analysis.subject",
        "zoo.evaluation.evaluate",
        "zoo.inference.sampling",
        "zoo.models.weights",
    )
    assert imported_by(*modules) <= imported_by("torch")


def test_an_analysis_imports_torchvision_and_matplotlib_only_to_score_and_to_draw() -> None:
    assert imported_by("zoo.analysis.analyzing").isdisjoint({"torchvision", "matplotlib"})


def test_an_exported_file_is_run_and_sampled_without_torch() -> None:
    modules = "zoo.models.runners, zoo.inference.sampling, zoo_export.onnx_reader"
    code = f"import {modules}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()
