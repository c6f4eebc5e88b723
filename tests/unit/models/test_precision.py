"""What `auto` resolves to, and the precision of a forward pass."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from zoo.config.train_config import PrecisionName
from zoo.errors import OptionError
from zoo.models.device import pick_device
from zoo.models.precision import autocast, resolve


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(OptionError, match="precision fp16 requires a GPU"):
        resolve("fp16", "cpu")
    assert resolve("fp16", "cuda") == "fp16"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_named_precision_is_kept(precision: PrecisionName) -> None:
    assert resolve(precision, "cpu") == precision


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"bf16": True}, "bf16"),
        ({"avx2": True, "avx512_bf16": False}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_is_bf16_on_a_cpu_with_bf16_instructions(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve("auto", "cpu") == expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_is_bf16_on_gpus_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve("auto", "cuda:1") == expected


def test_auto_is_fp32_elsewhere() -> None:
    assert resolve("auto", "mps") == "fp32"


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_matrix_products_run_in_the_precision(precision: PrecisionName, dtype: torch.dtype) -> None:
    with autocast(resolve(precision, "cpu"), "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize("packed", [False, True])
def test_an_lstm_computes_in_fp32_on_a_processor_without_bf16(
    monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    """And everything else in bf16."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    lstm, x = nn.LSTM(3, 4, 2), torch.randn(5, 2, 3)
    given: Any = pack_padded_sequence(x, torch.tensor([5, 3])) if packed else x
    expected, (hidden, _) = lstm(given)
    with autocast("bf16", "cpu"):
        found, state = lstm(given)
        lstm(given, tuple(part.bfloat16() for part in state))  # of a run that went on in bf16
        assert (x[0] @ x[0].T).dtype == torch.bfloat16
    assert torch.equal(state[0], hidden)
    for one, other in zip(found, expected, strict=True):
        assert one is other or torch.equal(one, other)
    state[0].sum().backward()
    assert lstm.weight_ih_l0.grad is not None


@pytest.mark.parametrize("name", ["warp", "mps:99" if torch.cuda.is_available() else "cuda:99"])
def test_a_missing_device_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"device '{name}' is not available; available devices: cpu"):
        pick_device(name)
    assert pick_device("cpu") == "cpu"


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_gpu_is_chosen_where_there_is_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device(kind))
    monkeypatch.setattr(torch, "empty", lambda *_, device: device)
    assert pick_device(None) == kind
    assert pick_device("cpu") == "cpu"


def test_cublas_can_repeat_its_results_from_its_first_call_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda")
    )
    monkeypatch.setattr(torch, "empty", lambda *_, device: device)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # to be restored
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    pick_device("cpu")
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    pick_device("cuda:0")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    pick_device(None)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_another_accelerator_is_used_only_if_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("xpu"))
    monkeypatch.setattr(torch, "empty", lambda *_, device: device)
    assert (pick_device(None), pick_device("xpu")) == ("cpu", "xpu")
