"""Checks of how an architecture learns, on tiny synthetic data."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo.config.declarations import declared
from zoo.errors import DataError, SpecError, cause, first_line
from zoo.files.downloads import offline
from zoo.interfaces import Batch, CarriesState, Dataset, FitsInputs, LoadsPretrained
from zoo.models.precision import Precision
from zoo.testing._case import Case, Failure, Inapplicable, Skip, Warned, message, require_equal
from zoo.testing._data import no_network
from zoo.testing._loop import begin, train_one_step
from zoo.testing._models import (
    arguments,
    build,
    drawing_from,
    forward,
    mean_loss,
    outputs_of,
    random_inputs,
    require_unchanged,
    step,
    train_batch,
    train_briefly,
    training_steps,
)
from zoo.testing._process import (
    as_found,
    differences,
    handlers,
    put_back,
    replaced,
    settings,
    settings_kept,
    starting_nothing,
)

# Learning rates, one of which suits most models on a tiny batch
_RATES = (3e-3, 3e-4)
# How much smaller outputs in eval mode may be than in training mode, or the reverse
_LOWEST = 0.75


def same_shape_in_training(case: Case) -> None:
    """In training mode, the outputs are like those in eval mode; a language model may add a penalty.

    The inputs do not change.
    """
    inputs = random_inputs(case, 3)
    with torch.no_grad(), drawing_from(0):
        answer = build(case)(inputs)
    require_unchanged(case, inputs, "training")
    if isinstance(case.task, CarriesState):
        parts = len(answer) if isinstance(answer, tuple) else 1
        assert parts in (2, 3), message(
            expected="(logits, state) or (logits, state, penalty) in training mode",
            got=f"{parts} parts",
            usually="additional return values, such as diagnostics",
        )
        answer = answer[0]
    wanted = tuple(forward(case, build(case).eval(), inputs)[0].shape)
    got = tuple(answer.shape) if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
    assert got == wanted, message(
        expected=f"{outputs_of(case)} {wanted} in training mode, as in eval mode",
        got=str(got),
        usually="the outputs of auxiliary heads returned in training mode",
    )


def eval_agrees_with_training(case: Case) -> None:
    """The outputs in eval mode have about the scale of those in training mode, averaged over dropout masks.

    The running statistics of normalization layers are the same in both. A model that passes on the first
    outputs is not trained further; otherwise, its statistics get sixty more batches to settle.
    """
    model, inputs = train_briefly(case, build(case), steps=3), random_inputs(case, 8)
    scale = _scale_of_eval(model, inputs)
    if not _LOWEST < scale < 1 / _LOWEST:
        for _ in range(60):
            forward(case, model.train(), inputs)
        scale = _scale_of_eval(model, inputs)
    assert _LOWEST < scale < 1 / _LOWEST, message(
        expected="outputs in eval mode with the scale of those in training mode",
        got=f"{scale:.2g} times that scale",
        usually="dropout that does not divide by the probability to keep a value, or a softmax or a factor "
        "that only one of the modes has",
    )


def _scale_of_eval(model: nn.Module, inputs: Tensor) -> float:
    """Return the factor by which outputs in training mode best predict those in eval mode; 1 if constant."""

    def outputs(seed: int) -> Tensor:
        with torch.no_grad(), drawing_from(seed):
            answer: Any = model(inputs)
        logits = (answer[0] if isinstance(answer, tuple) else answer).detach().double()
        return logits - logits.mean()

    model.eval()
    evaluated = outputs(0)
    for module in model.train().modules():
        if hasattr(module, "running_mean"):
            module.eval()
    trained = outputs(0)
    if not torch.equal(trained, outputs(1)):  # otherwise, nothing in it is random
        trained = torch.stack([outputs(seed) for seed in range(16)]).mean(0)
    spread = float(trained.square().sum())
    return float((evaluated * trained).sum()) / spread if spread > 1e-20 else 1.0


def first_loss_near_uniform(case: Case) -> None:
    """The loss before training is within 50% of the random baseline, ln(classes).

    A model that starts at up to ten times that value, but beats the baseline within 60 steps, gets only a
    warning. Tasks that predict numbers are not checked.
    """
    guess = case.task.baseline(case.tiny().preprocess).get("loss")
    if guess is None or case.task.spec.labels is None:
        raise Inapplicable("its task has no random baseline of the loss, or predicts numbers")
    batch = train_batch(case, size=8)
    loss = mean_loss(step(case, build(case), batch))
    if 0.5 * guess <= loss <= 1.5 * guess:
        return
    text = message(
        expected=f"a first loss of about ln(classes) = {guess:.2f}",
        got=f"{loss:.2f}",
        usually="large initial weights in the last layer"
        if loss > guess
        else "an output other than logits, or targets that the model can see",
    )
    learns = loss < 10 * guess and any(
        min(_losses(case, batch, lr, until=0.9 * guess)) < 0.9 * guess for lr in _RATES
    )
    assert learns, text
    raise Warned(text)


def every_parameter_gets_a_gradient(case: Case) -> None:
    """Within three steps, every trainable parameter gets a gradient that is finite and not all zero.

    The first gradient may be zero before a layer that is initialized to zeros, such as the last layer of a
    residual block. Parameters without a gradient from small images are tried on 128×128 images, since
    attention over a single position learns nothing. If the model is `data_dependent`, a numbered part such as
    an expert may be idle, as long as another part of its kind is used.
    """
    waiting = _without_gradient(case, case.tiny())
    if waiting and "size" in declared(case.task.spec.load_tiny()):
        with contextlib.suppress(SpecError, RuntimeError):  # the model may accept one size only
            waiting &= _without_gradient(case, case.tiny(size=max(128, case.spec.smallest_image)))
    if waiting and case.spec.data_dependent:
        busy = {_unnumbered(name) for name, _ in build(case).named_parameters() if name not in waiting}
        waiting = {name for name in waiting if _unnumbered(name) not in busy}
    assert not waiting, message(
        expected="a gradient for every parameter",
        got=f"none for {', '.join(sorted(waiting)[:3])}",
        usually="a layer that forward() does not use, a detach(), or weights copied instead of shared",
    )


def _unnumbered(name: str) -> str:
    """Return the name of a parameter without numbers, such as `experts.*.weight`."""
    return re.sub(r"\d+", "*", name)


def _without_gradient(case: Case, dataset: Dataset) -> set[str]:
    """Return the trainable parameters that get no nonzero gradient within three steps."""
    model = build(case, dataset=dataset)
    batch = train_batch(case, dataset=dataset)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    waiting = set(trainable)
    for _ in training_steps(case, model, batch, torch.optim.SGD, lr=1e-2, steps=3):
        for name, parameter in trainable.items():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), message(
                    expected=f"a finite gradient for {name}",
                    got="inf or nan",
                    usually="a square root or a norm at 0",
                )
                if parameter.grad.any():
                    waiting.discard(name)
        # The gradients of deep networks can be large for tiny images, and would make the weights infinite
        nn.utils.clip_grad_norm_(trainable.values(), 1.0)
    return waiting


def fits_its_inputs(case: Case) -> None:
    """`fit_inputs`, if defined, sets finite weights that depend only on the inputs."""
    inputs = random_inputs(case, 16)
    fitted: list[dict[str, Tensor]] = []
    for seed in (0, 1):
        model = build(case)
        if not isinstance(model, FitsInputs):
            raise Inapplicable("it has no fit_inputs()")
        with torch.no_grad(), drawing_from(seed):
            model.fit_inputs(inputs.clone())
        fitted.append(model.state_dict())
    one, other = fitted
    odd = [name for name in one if not torch.equal(one[name], other[name])]
    odd += [name for name in one if not one[name].isfinite().all()]
    assert not odd, message(
        expected="finite weights that depend only on the inputs",
        got=f"different or infinite values in {', '.join(odd[:3])}",
        usually="a random choice of inputs, or a division by a variance of 0",
    )


def names_its_pretrained_weights(case: Case) -> None:
    """`load_pretrained`, if defined, returns None or a mapping of strings that describes the weights.

    It is called without network access, and the check is skipped if it needs the network.
    """
    model = build(case)
    if not isinstance(model, LoadsPretrained):
        raise Inapplicable("it has no load_pretrained()")
    try:
        with offline(), no_network():
            origin = cast("object", model.load_pretrained())
    except (DataError, OSError) as error:
        raise Skip(f"its pretrained weights cannot be loaded offline: {first_line(error)}") from None
    named = origin is None or (
        isinstance(origin, Mapping) and _all_strings(cast("Mapping[Any, Any]", origin))
    )
    assert named, message(
        expected="None, or a mapping of strings such as {'architecture', 'dataset', 'sha256'}",
        got=f"a {type(origin).__name__}: {origin!r:.80}",
        usually="the weights themselves, or the result of load_state_dict(); return the weights' origin",
    )


def _all_strings(mapping: Mapping[Any, Any]) -> bool:
    return all(isinstance(value, str) for pair in mapping.items() for value in pair)


def training_is_reproducible(case: Case) -> None:
    """Trained twice for three steps from the same seeds, the model has the same weights, bit for bit."""
    require_equal(
        *(train_briefly(case, build(case), steps=3).state_dict() for _ in range(2)),
        expected="equal weights after equal steps, so that a stopped run can resume bit for bit",
        usually="noise from NumPy, `random` or a private generator; use torch's default",
    )


def draws_from_the_seed(case: Case) -> None:
    """Built and run with two seeds, the model leaves torch's generator in two different states.

    Equal states mean that the model seeds the generator, so that random numbers do not depend on the run's
    seed or the step.
    """
    target, given, inputs = case.entry.load(), arguments(case), random_inputs(case, 2)
    states: list[tuple[Tensor, Tensor]] = []
    for seed in (0, 1):
        with torch.no_grad(), drawing_from(seed):
            model = target(**given)
            built = torch.get_rng_state()
            torch.default_generator.manual_seed(seed)
            model(inputs)
            states.append((built, torch.get_rng_state()))
    for place, one, other in zip(("the constructor", "forward()"), *states, strict=True):
        assert not torch.equal(one, other), message(
            expected=f"torch's generator to depend on the run's seed after {place}",
            got="the same state from two seeds",
            usually=f"torch.manual_seed() in {place}, which makes --seed meaningless and every dropout mask "
            "equal; use your own torch.Generator, or do not seed",
        )


def use_changes_nothing(case: Case) -> None:
    """Building and training the model for a step does not replace functions of Python, NumPy, torch or zoo.

    It also does not start a process, open a connection, or change a signal handler.
    """
    as_it_was, handled = as_found(case)  # since before the model was first built
    with (
        contextlib.suppress(Exception),  # other checks report that a step fails
        settings_kept(),
        no_network() as connected,
        starting_nothing() as started,
    ):
        train_one_step(case, begin(case))
    changed = [sent.name for sent, handler in handlers().items() if handler != handled[sent]]
    patched = replaced(as_it_was)
    put_back(as_it_was, handled)  # so that no other model is blamed for it
    for got, usually in (
        (started, "a program that the constructor runs; run it beforehand, or implement it in Python"),
        (connected, "a download in the constructor, which belongs in load_pretrained()"),
        (changed, "signal.signal() in a model; only the training program may handle signals"),
    ):
        assert not got, message(
            expected="a model that starts no process, opens no connection and handles no signal",
            got=got[0],
            usually=usually,
        )
    assert not patched, message(
        expected="a model that is built and trained without changing other code",
        got=f"replaced functions: {', '.join(patched[:5])}",
        usually="a patch in the constructor or in forward(); call your own function instead",
    )


def leaves_modes_and_settings(case: Case) -> None:
    """The constructor and forward() change neither a module's training mode nor a setting of torch.

    Settings are process-wide: the number of threads, the default dtype, whether gradients are computed,
    whether algorithms are deterministic.
    """
    inputs = random_inputs(case, 2)
    for training, mode in ((True, "training"), (False, "eval")):
        with drawing_from(0), torch.set_grad_enabled(training):
            before = settings()
            model = build(case).train(training)
            modes = {name: module.training for name, module in model.named_modules()}
            model(inputs)
            after = settings()
        modules = dict(model.named_modules())
        changed = [
            f"the mode of {name or 'the model'}"
            for name, was in modes.items()
            if name in modules and modules[name].training != was
        ]
        changed += differences(before, after)
        assert not changed, message(
            expected=f"unchanged modes and settings after forward() in {mode} mode",
            got=f"a change in {', '.join(changed[:3])}",
            usually="norm.eval() in forward() rather than in train(), or a torch setting that is not undone",
        )


def trains_in_bf16(case: Case) -> None:
    """Two training steps in bf16 have a finite loss, unless the spec sets a different training precision.

    `precision="auto"` chooses bf16 on hardware with fast bf16 arithmetic.
    """
    precision = case.registry.usual_config(case.entry).precision
    if precision not in ("auto", "bf16"):
        raise Inapplicable(f"its spec sets the precision {precision}")
    problem = _training_problem(case, "bf16")
    assert problem is None or _training_problem(case, "fp32") is not None, message(
        expected="two training steps under torch.autocast in bf16",
        got=cause(problem),
        usually="an assignment such as `y[mask] = layer(x)` to a float32 tensor; add `.to(y.dtype)`, or set "
        "precision='fp32' in the spec's training",
    )


def _training_problem(case: Case, precision: Precision) -> Exception | None:
    """Return the error of two training steps in a given precision."""
    state = begin(case, precision=precision)
    try:
        for _ in range(2):
            train_one_step(case, state)
    except Exception as error:
        return error
    return None


def overfits_one_batch(case: Case) -> None:
    """Training on one small batch at one of two rates reduces the loss below half of its initial value."""
    batch = train_batch(case)
    first = mean_loss(step(case, build(case), batch))
    lowest = first
    for lr in _RATES:
        lowest = min(_losses(case, batch, lr, until=0.5 * first))
        if lowest < 0.5 * first:
            return
    raise Failure(
        expected=f"less than half of the first loss, {first:.2f}, within 60 steps of Adam on one batch",
        got=f"{lowest:.2f} at best",
        usually=_unlearnable(case, batch, first - lowest),
    )


def _unlearnable(case: Case, batch: Batch, fell: float) -> str:
    """Return the most common cause of a loss that hardly falls."""
    logits = forward(case, build(case).eval(), batch.inputs)[0]
    if bool((logits >= 0).all()) and torch.allclose(logits.sum(-1), torch.ones(())):
        return "a softmax in the model; return logits, since the loss applies the softmax"
    if fell < 0.01:
        return "a gradient that vanishes or is cut off, for example by a detach() or a scaled-down output"
    return "items of a batch mixed up in the model, or a gradient that is too small"


def _losses(case: Case, batch: Batch, lr: float, *, until: float) -> list[float]:
    """Return the losses of at most 60 steps of Adam on one batch, up to the first loss below `until`."""
    losses: list[float] = []
    for made in training_steps(case, build(case), batch, torch.optim.Adam, lr=lr, steps=60):
        losses.append(mean_loss(made))
        if losses[-1] < until:
            break
    return losses
