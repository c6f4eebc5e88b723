"""Checks of a group of training options, and of a task that declares it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from zoo.config import options
from zoo.config.declarations import Option
from zoo.config.train_config import TrainConfig, fields_of
from zoo.errors import OptionError, cause
from zoo.testing._case import Case, Inapplicable, message
from zoo.testing._models import drawing_from, model_for
from zoo.testing._values import other_values

# Batches to train on by epoch: where most fields show, and where one may that acts late or seldom
_SOON: Mapping[int, int] = {0: 2}
_LATE: Mapping[int, int] = {0: 8, 1: 2, 2: 2, 50: 2}
_EPOCHS = 64
# What begins the account of a training that fails
_REFUSED = "refused: "


def fields_are_described(case: Case) -> None:
    """Each field has help text, which `zoo train --help` shows."""
    silent = [name for name, field in fields_of(case.spec.fields).items() if not field.help]
    assert not silent, message(
        expected='help text for each field: `name: type = option(default, "help")`',
        got=f"none for {', '.join(silent)}",
        usually="a field that was added later",
    )


def fields_can_be_typed(case: Case) -> None:
    """The value of a field is accepted in the form in which zoo prints it: `--name VALUE`."""
    for name, field in fields_of(case.spec.fields).items():
        typed = options.Typed(options.text(field.default))
        try:
            read, wanted = (options.convert(value, field.type, what=name) for value in (typed, field.default))
            problem = "" if read == wanted else f"{read!r} from {str(typed)!r}"
        except OptionError as error:
            problem = str(error)
        assert not problem, message(
            expected=f"{name} to be a number, a switch, a choice, a string, or a list of these",
            got=problem,
            usually="a type that cannot be written on the command line or in TOML",
        )


def uses_its_fields(case: Case) -> None:
    """Each training option of the task's groups changes the batches, loss or gradient, or is rejected.

    Several values are tried, in early and late epochs, with usual and unusual values of the other options,
    since some options matter only then. Strings and other values that cannot be generated are not tried.
    """
    usual = case.registry.default_config(case.spec.name).replace({"batch_size": 4, "epochs": _EPOCHS})
    fields = [field for name in case.spec.groups for field in fields_of(case.registry.groups[name]).values()]
    if not fields:
        raise Inapplicable("its spec lists no `groups` of training options")
    values = {field.name: _other_values(usual, field) for field in fields}
    for field in fields:
        if field.names:
            values[field.name] = [(name,) for kind, name in case.registry.methods if kind == field.names]
    account = _trained(case, usual, _SOON)
    assert not account.startswith(_REFUSED), message(
        expected="batches and steps with the usual training options",
        got=account.removeprefix(_REFUSED),
        usually="a step() that was tested only without its `config`",
    )
    other: TrainConfig | None = None
    for field in fields:
        several = values[field.name]
        if not several or _matters(case, field, several, usual, _SOON):
            continue
        other = other or _with_other_values(case, usual, values)
        matters = any(_matters(case, field, several, base, _LATE) for base in (usual, other))
        assert matters, message(
            expected=f"a different {field.name} to change batches, loss or gradient, or to be rejected",
            got=f"the same with {options.text(several[0])} as with {options.text(field.default)}",
            usually="a step() that ignores its `config`, or "
            "an option of another plugin's group that does not apply; reject it with zoo.OptionError",
        )


def _other_values(config: TrainConfig, field: Option) -> list[Any]:
    """Return other values of a training option that a configuration accepts."""
    found: list[Any] = []
    for value in other_values(field):
        with contextlib.suppress(OptionError):
            config.replace({field.name: value})
            found.append(value)
    return found


def _with_other_values(case: Case, config: TrainConfig, values: Mapping[str, Sequence[Any]]) -> TrainConfig:
    """Return a configuration that changes as many options as possible without being rejected."""
    for name, several in values.items():
        for value in several:
            with contextlib.suppress(OptionError):
                changed = config.replace({name: value})
                if not _trained(case, changed, _SOON).startswith(_REFUSED):
                    config = changed
                    break
    return config


def _matters(
    case: Case, field: Option, values: Sequence[Any], base: TrainConfig, batches: Mapping[int, int]
) -> bool:
    """Return whether some value of an option changes the training."""
    trainings: list[str] = []
    for value in (field.default, *values):
        with contextlib.suppress(OptionError):  # it does not go with the other fields
            trainings.append(_trained(case, base.replace({field.name: value}), batches))
            if trainings[-1] != trainings[0]:
                return True
    return False


def _trained(case: Case, config: TrainConfig, batches: Mapping[int, int]) -> str:
    """Return a hash of some batches of the tiny dataset with losses and gradients, or the error."""
    task, data, digest = case.task, case.tiny(), sha256()
    model = model_for(case.registry, case.spec, data.dims).train()
    try:
        digest.update(str(task.within(config, 8)).encode())
        for epoch, count in batches.items():
            made = task.train_batches(data, config, seed=0, epoch=epoch)
            for batch in itertools.islice(made, count):
                digest.update(str((batch.total, batch.seed, batch.fresh)).encode())
                with drawing_from(0):
                    step = task.step(model, batch, config=config)
                model.zero_grad()
                step.loss.backward()
                gradients = [p.grad for p in model.parameters() if p.grad is not None]
                for part in (batch.inputs, batch.targets, step.loss, *step.sums.values(), *gradients):
                    digest.update(_bytes(part))
    except Exception as error:
        return f"{_REFUSED}{cause(error)}"
    return digest.hexdigest()


def _bytes(part: Tensor) -> bytes:
    return part.detach().to_dense().flatten().contiguous().view(torch.uint8).numpy().tobytes()
