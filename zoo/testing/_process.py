"""The process-wide state that a plugin can change, to compare before and after."""

from __future__ import annotations

import builtins
import contextlib
import copy
import functools
import hashlib
import io
import json
import locale
import logging
import math
import os
import pathlib
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from types import FunctionType
from typing import Any, NamedTuple

import numpy
import torch
from torch import nn, optim
from torch.backends import cudnn
from torch.optim import lr_scheduler
from torch.utils import data

from zoo.testing._case import Case

_MODULES = (
    *(builtins, copy, io, json, logging, math, os, os.path, pathlib, random, threading, time, warnings),
    *(numpy, numpy.random, torch, torch.linalg, nn, nn.functional, nn.init, optim, lr_scheduler, data),
)
# Audit events of Python by which a process is started
_STARTING = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty")
# The lists that collect such events, at any moment one at most
_collecting: list[list[str]] = []
_TORCH = str(pathlib.Path(torch.__file__).parent)


class Function(NamedTuple):
    """A function or a class, and the module or class that contains it under a name."""

    owner: Any
    name: str
    value: object


def _set_deterministic(mode: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(mode[0], warn_only=mode[1])


def _set_cudnn(mode: tuple[bool, bool]) -> None:
    cudnn.benchmark, cudnn.deterministic = mode


# By name, how to read a setting of torch, and how to set it
_SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's deterministic algorithms": (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        _set_deterministic,
    ),
    "torch's choice of cuDNN algorithms": (lambda: (cudnn.benchmark, cudnn.deterministic), _set_cudnn),
    "torch's float32 matmul precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
}


def settings() -> dict[str, Any]:
    """Return the settings of torch, by name."""
    return {name: read() for name, (read, _) in _SETTINGS.items()}


@contextlib.contextmanager
def settings_kept() -> Generator[None]:
    """Restore the settings of torch."""
    before = settings()
    try:
        yield
    finally:
        for name, (read, write) in _SETTINGS.items():
            if read() != before[name]:
                write(before[name])


def random_states() -> dict[str, str]:
    """Return hashes of the states of the global generators, by name."""
    return {
        "the state of `random`": _digest(random.getstate()),
        "the state of numpy.random": _digest(numpy.random.get_state()),
        "torch's random state": _digest(torch.get_rng_state().tolist()),
    }


def snapshot() -> dict[str, Any]:
    """Return the state of the process, by name."""
    return {
        **random_states(),
        **settings(),
        "torch's number of interop threads": torch.get_num_interop_threads(),
        "torch's inference mode": torch.is_inference_mode_enabled(),
        "the working directory": os.getcwd(),  # noqa: PTH109
        "the environment": dict(os.environ),
        "the root logger": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "the warning filters": [item for item in warnings.filters if item[3] is None],
        "how warnings are shown": warnings.showwarning,
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "sys.excepthook": sys.excepthook,
        "sys.path": list(sys.path),
        "the locale": locale.setlocale(locale.LC_ALL),
        "running threads": sorted(thread.name for thread in threading.enumerate()),
    }


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of differing parts, with the variables if the environment differs."""
    changed = [name for name in before if before[name] != after[name]]
    if "the environment" not in changed:
        return changed
    variables = sorted(key for key, _ in before["the environment"].items() ^ after["the environment"].items())
    environment = f"the environment ({', '.join(dict.fromkeys(variables))})"
    return [environment if name == "the environment" else name for name in changed]


@contextlib.contextmanager
def starting_nothing() -> Generator[list[str]]:
    """Collect Python's audit events for processes started in the `with` block; there should be none."""
    _audit()
    _collecting.append([])
    try:
        yield _collecting[0]
    finally:
        _collecting.clear()


@functools.cache  # a hook stays for good
def _audit() -> None:
    sys.addaudithook(_collect)


def _collect(event: str, _: object) -> None:
    if _collecting and event in _STARTING:
        _collecting[0].append(event)


def functions() -> dict[str, Function]:
    """Return the public functions and methods of Python, NumPy, torch and the loaded parts of zoo."""
    ours = [module for name, module in sorted(sys.modules.items()) if name.split(".")[0] == "zoo"]
    found: dict[str, Function] = {}
    for module in (*_MODULES, *ours):
        for name, value in _callables(vars(module)):
            found[f"{module.__name__}.{name}"] = Function(module, name, value)
            if isinstance(value, type) and value.__module__.split(".")[0] == module.__name__.split(".")[0]:
                for inner, method in _callables(_members(value)):
                    found[f"{module.__name__}.{name}.{inner}"] = Function(value, inner, method)
    return found


def replaced(before: Mapping[str, Function]) -> list[str]:
    """Return the names of functions that were replaced, each under one name."""
    names: dict[int, str] = {}
    for name, was, now in _changed(before):
        if id(now) not in names or was.name in vars(was.owner):
            names[id(now)] = name
    return list(names.values())


def handlers() -> dict[signal.Signals, Any]:
    """Return the process's handlers of Ctrl-C and SIGTERM."""
    return {sent: signal.getsignal(sent) for sent in (signal.SIGINT, signal.SIGTERM)}


def as_found(case: Case) -> tuple[dict[str, Function], dict[signal.Signals, Any]]:
    """Return functions and signal handlers as they were at the first call."""
    return case.kept("as found", lambda: (functions(), handlers()), of="the process")


def put_back(before: Mapping[str, Function], handled: Mapping[signal.Signals, Any]) -> None:
    """Restore the functions that `replaced` finds, and the signal handlers."""
    for _, was, _ in list(_changed(before)):
        setattr(*was)
    for sent, handler in handled.items():
        if signal.getsignal(sent) != handler:
            signal.signal(sent, handler)


def _changed(before: Mapping[str, Function]) -> Iterator[tuple[str, Function, object]]:
    """Yield the name of each replaced function, the original, and the replacement."""
    members: dict[int, Mapping[str, object]] = {}
    for name, was in before.items():
        if id(was.owner) not in members:
            members[id(was.owner)] = _members(was.owner)
        now = members[id(was.owner)].get(was.name)
        if now is not was.value and (now := _unhooked(now)) is not _unhooked(was.value):
            yield name, was, now


def _members(owner: Any) -> Mapping[str, object]:
    """Return the attribute of a module or a class, including inherited ones."""
    bases = reversed(owner.__mro__[:-1]) if isinstance(owner, type) else [owner]  # without object
    members: dict[str, object] = {}
    for base in bases:
        members.update(vars(base))
    return members


def _callables(members: Mapping[str, object]) -> list[tuple[str, object]]:
    return [
        (name, value)
        for name, value in members.items()
        if callable(value) and (name[0] != "_" or name[:2] == "__" != name)
    ]


def _unhooked(value: object) -> object:
    """Return a function without torch's own wrappers, such as those of an optimizer's step."""
    while isinstance(value, FunctionType) and value.__code__.co_filename.startswith(_TORCH):
        if "__wrapped__" not in vars(value):
            break
        value = vars(value)["__wrapped__"]
    return value


def _digest(state: object) -> str:
    return hashlib.sha256(str(state).encode()).hexdigest()
