"""Hooks that are always removed again, even after an exception."""

from __future__ import annotations

import gc
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.distributed
from torch import Tensor, nn

from zoo.models.device import pick_device
from zoo.models.hooks import receiving, untouched, watching
from zoo_cam.stored import stored

GPU = os.environ.get("ZOO_TEST_DEVICE") or pick_device(None)


class Net(nn.Module):
    """A convolution, an activation in place, and the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.drop(self.relu(self.conv(images))).mean((2, 3)))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def hooks(model: nn.Module) -> int:
    return sum(
        len(held)
        for module in model.modules()
        for name, held in vars(module).items()
        if name.endswith("_hooks")
    )


def test_the_stored_output_is_that_before_an_in_place_activation(net: Net) -> None:
    with torch.no_grad():
        expected = net.conv(IMAGES)
    with stored(net.conv) as kept:
        net.eval()(IMAGES)
    assert (expected < 0).any()
    torch.testing.assert_close(kept.output, expected)
    assert not kept.output.requires_grad
    assert hooks(net) == 0


@pytest.mark.parametrize("caller", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_gradients_are_available_in_any_gradient_mode_of_the_caller(net: Net, caller: Any) -> None:
    with caller():
        before = torch.is_grad_enabled()
        with stored(net.conv, differentiable=True) as kept:
            logits = net.eval()(IMAGES)
        assert torch.is_grad_enabled() == before
        found = kept.gradient(logits, torch.tensor([[0, 1], [0, 1]]))
    places = kept.output.shape[2] * kept.output.shape[3]
    expected = (kept.output > 0) * net.out.weight[1].detach().view(1, -1, 1, 1) / places
    torch.testing.assert_close(found, expected)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_graph_starts_at_the_layer(net: Net) -> None:
    with stored(net.conv, differentiable=True) as kept:
        logits = net.eval()(IMAGES)
    assert logits.requires_grad
    seen, waiting = set(), [logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [other for other, _ in node.next_functions]
    assert not any("Convolution" in type(node).__name__ for node in seen)
    assert kept.output.is_leaf


def test_hooks_are_removed_after_an_exception(net: Net) -> None:
    with pytest.raises(RuntimeError), stored(net.conv, differentiable=True):
        net(torch.zeros(1, 5, 8, 8))
    with pytest.raises(KeyError), watching({"conv": net.conv, "out": net.out}, lambda name, output: None):
        raise KeyError
    assert hooks(net) == 0
    assert torch.is_grad_enabled()


def test_receiving_calls_back_with_the_input_of_this_thread_s_passes_alone(net: Net) -> None:
    seen: list[tuple[str, object]] = []
    with receiving({"": net, "out": net.out}, lambda name, given: seen.append((name, given))):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(net, IMAGES).result()
        assert seen == []
        net(IMAGES)
    assert [name for name, _ in seen] == ["", "out"]
    assert seen[0][1] is IMAGES
    assert torch.as_tensor(seen[1][1]).shape == (2, 4)
    assert hooks(net) == 0


@pytest.mark.filterwarnings("ignore")  # of torch's own, in its compiler
@pytest.mark.parametrize("how", ["function", "method", "part"])
def test_hooks_work_on_a_compiled_model(net: Net, how: str) -> None:
    expected = net.eval()(IMAGES)
    model: Any = net
    if how == "function":
        model = torch.compile(net, backend="eager")
    elif how == "method":
        net.compile(backend="eager")
    else:
        model.relu = torch.compile(net.relu, backend="eager")
    torch.testing.assert_close(model(IMAGES), expected)
    with untouched(model) as inner, stored(inner.get_submodule("conv"), differentiable=True) as kept:
        logits = inner(IMAGES)
    assert kept.gradient(logits, torch.ones(2, 2)).any()
    torch.testing.assert_close(model(IMAGES), expected)


def test_hooks_work_on_a_distributed_model(net: Net, tmp_path: Any) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1
    )
    try:
        model = nn.parallel.DistributedDataParallel(net)
        with untouched(model) as inner, stored(inner.get_submodule("conv")) as kept:
            inner(IMAGES)
        assert kept.output.shape == (2, 4, 6, 6)
    finally:
        torch.distributed.destroy_process_group()


def test_nothing_is_kept_alive(net: Net) -> None:
    with stored(net.conv, differentiable=True) as kept:
        logits = net.eval()(IMAGES)
    kept.gradient(logits, torch.ones(2, 2))
    watched = weakref.ref(kept.output)
    del kept, logits
    gc.collect()
    assert watched() is None


@pytest.mark.gpu
@pytest.mark.skipif(GPU == "cpu", reason="there is no GPU")
def test_a_gradient_on_a_gpu(net: Net) -> None:
    net.to(GPU)
    with untouched(net) as inner, stored(inner.get_submodule("conv"), differentiable=True) as kept:
        logits = inner(IMAGES.to(GPU))
    assert kept.gradient(logits, torch.ones(2, 2)).device.type == torch.device(GPU).type
