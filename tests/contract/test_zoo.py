"""The contract of zoo's own entries. Formats and trackers whose library is not installed are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.testing import contract

# Warnings of the libraries are not ours
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the libraries store everything in a folder of the test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


@contract("zoo", thorough=True)
def test_contract(check):
    check()
