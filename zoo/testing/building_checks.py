"""Checks that an architecture is built from dims and options, on any device, and reproducibly."""

from __future__ import annotations

from typing import Any

import torch

from zoo.config.declarations import declared
from zoo.errors import OptionError, SpecError, ZooError, first_line
from zoo.models.building import build_model, model_arguments
from zoo.testing._case import Case, failing, is_json, message, require_equal
from zoo.testing._models import (
    arguments,
    build,
    forward,
    larger_images,
    random_inputs,
    step,
    train_batch,
)
from zoo.testing._process import as_found, put_back


def builds(case: Case) -> None:
    """The preset can be built from the task's dims and the spec's config, with JSON keyword arguments."""
    dims = ", ".join(case.registry.task(case.spec.task).dims)
    with failing(
        OptionError,
        expected=f"a constructor that accepts {dims}, and has a default for every other argument",
        usually="a misspelled dim, or an option without a default, which `config` may set",
    ):
        built_with = arguments(case)
    # for use_changes_nothing, which must not blame one model for another
    put_back(*as_found(case))
    unnamed = built_with.keys() - declared(case.entry.load()).keys()
    assert not unnamed, message(
        expected=f"a constructor with a keyword argument for each of {', '.join(built_with)}",
        got=f"none for {', '.join(sorted(unnamed))}",
        usually="**kwargs passed on to a base class; options are read from the signature",
    )
    assert is_json(built_with), message(
        expected="arguments that are JSON data",
        got=str(built_with),
        usually="a class, a tensor or a function as an option; accept its name and look it up",
    )
    with failing(
        SpecError,
        expected="a model from the task's dims and the spec's config alone",
        usually=lambda _: (
            larger_images(case)
            or "an option without a default that `config` does not set, or sets to an invalid value"
        ),
    ):
        build(case)


def refuses_bad_options(case: Case) -> None:
    """An invalid option value is rejected with a message when the model is built, not when it runs.

    Every number is set to -1 and every string to an unknown word. A model that works with these values also
    passes.
    """
    task, dims = case.registry.task(case.spec.task), case.tiny().dims
    for name, value in arguments(case).items():
        wrong = _wrong(value)
        if name in dims or wrong is None:
            continue
        try:
            model = build_model(case.entry, model_arguments(case.entry, task, dims, {name: wrong}), seed=0)
        except ZooError as error:
            refusal = error.__cause__ or error
            silent = not first_line(refusal)
            assert not silent, message(
                expected=f"the reason why {name}={wrong!r} is rejected",
                got=f"a {type(refusal).__name__} without a message",
                usually="a bare `raise` or `assert` in the constructor",
            )
            continue
        number = type(wrong[0] if isinstance(wrong, list) else wrong).__name__
        limits = "Literal[...]" if number == "str" else f"Annotated[{number}, Meta(ge=0)]"
        with failing(
            expected=f"{name}={wrong!r} to be rejected when the model is built, or to work",
            usually=f"a value that is first used in forward(); annotate its limits, `{limits}` "
            "(`from msgspec import Meta`), or check it in the constructor",
        ):
            outputs, _ = forward(case, model.eval(), random_inputs(case, 2))
            step(case, model.train(), train_batch(case)).loss.backward()
            if not outputs.isfinite().all():
                raise ValueError("the outputs are inf or nan")


def _wrong(value: Any) -> Any:
    """Return a value of the same type that few options allow; None if there is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return type(value)(-1)
    if isinstance(value, str):
        return "no-such-thing"
    if isinstance(value, list) and value:
        return [_wrong(value[0])]
    return None


def same_seed_same_weights(case: Case) -> None:
    """Built twice from the same seed, the model has the same weights and buffers."""
    require_equal(
        *(build(case, seed=1).state_dict() for _ in range(2)),
        expected="equal weights from equal seeds",
        usually="initial values from NumPy, `random` or a private generator; use torch's default",
    )


def builds_on_meta(case: Case) -> None:
    """The model can be built on torch's meta device, where tensors have no values."""
    reads_values = failing(
        SpecError,
        expected="a model on the meta device",
        usually="a constructor that reads values, with float(), item() or tolist(); compute in "
        "Python, or make those tensors under `with torch.device('cpu'):`",
    )
    made = arguments(case)  # a dataset may read the values of its tensors
    with reads_values, torch.device("meta"):
        model = build_model(case.entry, made, seed=0)
    real = [name for name, tensor in model.state_dict().items() if not tensor.is_meta]
    assert not real, message(
        expected="only meta tensors",
        got=f"tensors with values: {', '.join(real[:3])}",
        usually="a hard-coded device, or a tensor made from NumPy",
    )
