"""Checks of an analyzer, on the kit's own small models."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zoo.interfaces import Analysis, Batch, CarriesState
from zoo.testing._case import Case, Failure, Inapplicable, failing, message, require_instance
from zoo.testing._models import all_drawing_from, drawing_from
from zoo.testing._process import random_states, settings
from zoo.testing._subjects import Classes, Specimen, analyze, specimens

# A seed that no analyzer sets
_UNUSUAL = 20_381


def finite(case: Case) -> None:
    """`analyze` returns a nonempty Analysis with only finite numbers."""
    for specimen in specimens(case):
        with failing(
            expected=f"an analysis of a model for {specimen.task.name}",
            usually="inputs of another form, or batches of different sizes, that it does not expect",
        ):
            analysis = analyze(case, specimen)
        require_instance(analysis, Analysis, "an Analysis", usually="a bare tensor or dict instead")
        assert analysis.maps is not None or analysis.scores or analysis.tables or analysis.text, message(
            expected="maps, a score, a table or a text",
            got="an empty Analysis",
            usually="a hook that was never called; hook the submodules that `landmarks` names",
        )
        broken = _not_finite(analysis)
        assert not broken, message(
            expected="finite maps and scores",
            got=f"inf or nan in {', '.join(broken)}",
            usually="a map divided by its maximum, which can be 0",
        )


def can_be_written(case: Case) -> None:
    """Scores, tables and details are JSON data, which `zoo analyze` writes."""
    for specimen in specimens(case):
        analysis = analyze(case, specimen)
        for name in ("scores", "tables", "details"):
            with failing(
                expected=f"{name} that are JSON data",
                usually="a tensor or an array; convert it with float(), int() or tolist()",
            ):
                json.dumps(getattr(analysis, name))


def finite_on_constant_input(case: Case) -> None:
    """The analysis of a constant image, or of a text that repeats one token, is also finite."""
    for specimen, value in itertools.product(specimens(case), (0.0, 1.0)):
        broken = _not_finite(analyze(case, specimen, batches=specimen.batches(constant=value)))
        assert not broken, message(
            expected=f"finite maps and scores when every input is {value:g}",
            got=f"inf or nan in {', '.join(broken)}",
            usually="a division by a standard deviation or a range, which is 0 here",
        )


def answers_what_was_asked(case: Case) -> None:
    """Maps are (N, K, h, w) for N images and the K requested classes, in order; logits are the model's."""
    for specimen in _mapped(case):
        questions: list[Classes] = [(1, 4), ("predicted",), ("true", 4)]
        for targets in questions:
            _require_answer(specimen, targets, analyze(case, specimen, classes=targets))


def _require_answer(specimen: Specimen, targets: Classes, analysis: Any) -> None:
    """Raise AssertionError unless an analysis has a map for each of the target classes."""
    logits = _logits(specimen)
    assert logits.ndim == 2, message(
        expected="figures, scores or tables, since the model predicts every position of an input",
        got="maps, which explain one prediction per input",
        usually="an analyzer written for a different task",
    )
    predicted = logits.argmax(1)
    labels = torch.tensor([3, int(predicted[1]), 5])
    sizes = [len(batch.inputs) for batch in specimen.batches()]
    count = len(analysis.maps)
    assert count == sum(sizes), message(
        expected=f"maps of {sum(sizes)} images, in batches of {' and '.join(map(str, sizes))}",
        got=f"maps of {count}",
        usually={sizes[0]: "only the first batch analyzed", sizes[-1]: "only the last batch kept"}.get(
            count, "images left out, or batches analyzed twice"
        ),
    )
    columns = {"predicted": predicted, "true": labels, 1: torch.full((3,), 1), 4: torch.full((3,), 4)}
    wanted = torch.stack([columns[target] for target in targets], 1)  # (N, K)
    same = analysis.classes is not None and torch.equal(analysis.classes.cpu().long(), wanted)
    assert same, message(
        expected=f"maps of the classes {wanted.tolist()}, since {targets} were requested",
        got="no `classes`" if analysis.classes is None else str(analysis.classes.tolist()),
        usually="always the predicted class; call `subject.target_classes(logits, labels)`",
    )
    shape = tuple(analysis.maps.shape)
    fits = len(shape) == 4 and shape[:2] == tuple(wanted.shape)
    assert fits, message(
        expected=f"maps of shape ({wanted.shape[0]}, {wanted.shape[1]}, h, w)",
        got=str(shape),
        usually="a missing class axis, or images and classes in the wrong order",
    )
    if analysis.logits is not None:
        same = analysis.logits.shape == logits.shape and torch.allclose(analysis.logits, logits, atol=1e-4)
        assert same, message(
            expected="the model's logits in eval mode",
            got=f"different values of shape {tuple(analysis.logits.shape)}",
            usually="probabilities, or the logits of a changed image",
        )


def maps_are_of_their_images(case: Case) -> None:
    """An image's map resembles the map of the image alone, and does not depend on the rest of the batch.

    The map of the image alone need not be equal, since noise may be drawn for a whole batch: divided by its
    maximum, it must be closer to the map of this image in the batch than to the map of another image.
    """
    for specimen in _mapped(case):
        batches = specimen.batches()
        together = analyze(case, specimen, batches=batches).maps
        apart = analyze(case, specimen, batches=[one for batch in batches for one in _items(batch)]).maps
        ours, theirs = (
            maps / maps.abs().amax((1, 2, 3), True).clamp(min=1e-12) for maps in (together, apart)
        )
        distances = torch.cdist(ours.flatten(1), theirs.flatten(1))  # (N, N)
        own = distances.diag()
        nearest = (distances + torch.diag(torch.full_like(own, torch.inf))).amin(1)
        wrong = (own > 2 * nearest + 1e-6).nonzero().flatten().tolist()
        assert not wrong, message(
            expected="the map of each image to resemble the map of that image alone",
            got=f"the map of another image for image {wrong[0]} of {len(own)}",
            usually="maps sorted or reversed within a batch, or a reshape() that mixes images and classes",
        )
        for kept in (0, len(together) - 1):  # of several, one may have the maximum anyway
            beside_others = analyze(case, specimen, batches=_in_other_company(batches, kept)).maps
            distance, largest = (beside_others - together)[kept].abs().max(), together[kept].abs().max()
            assert distance <= 1e-3 * largest + 1e-9, message(
                expected="the same map for an image, regardless of the images analyzed with it",
                got=f"a difference of {float(distance / largest):.1%} of its maximum",
                usually="a division by the maximum of a batch or of all maps; divide by each image's maximum",
            )


def maps_are_upright(case: Case) -> None:
    """A change in the upper right quarter of an image changes its maps more there than in any other quarter.

    The check uses the kit's own models, in which each feature depends on only a few pixels.
    """
    local = [each for each in _mapped(case) if each.local and each.batches()[0].inputs.ndim == 4]
    if not local:
        raise Inapplicable("it needs landmarks that no model of the kit has")
    for specimen in local:
        plain = specimen.batches(constant=0.5)
        marked = [replace(batch, inputs=_marked(batch.inputs)) for batch in plain]
        before, after = (
            analyze(case, specimen, batches=batches, classes=(1, 4)).maps for batches in (plain, marked)
        )
        if before.shape != after.shape:
            continue
        change = after - before  # (N, K, h, w)
        change = (change - change.flatten(2).median(2).values[..., None, None]).abs().sum((0, 1))
        h, w = (max(1, size // 2) for size in change.shape)
        quarters = {
            "upper right": change[:h, -w:],
            "lower right": change[-h:, -w:],
            "upper left": change[:h, :w],
            "lower left": change[-h:, :w],
        }
        sums = {name: float(quarter.sum()) for name, quarter in quarters.items()}
        largest = max(sums, key=sums.__getitem__)
        assert sums[largest] <= 2 * sums["upper right"] + 1e-9, message(
            expected="the largest change of the map in the upper right, where the images were changed",
            got=f"the largest change in the {largest}",
            usually={
                "lower right": "maps upside down: a flip of rows, or an origin at the bottom",
                "upper left": "mirrored maps: a flip of columns",
            }.get(largest, "rows and columns swapped, (w, h) instead of (h, w)"),
        )


def _marked(images: Tensor) -> Tensor:
    """Return images (N, C, H, W) with noise in their upper right quarter."""
    h, w = images.shape[2] // 2, images.shape[3] // 2
    marked = images.clone()
    marked[:, :, :h, -w:].uniform_(generator=torch.Generator().manual_seed(0))
    return marked


def _in_other_company(batches: list[Batch], kept: int) -> list[Batch]:
    """Return batches of noise in which one item, indexed across batches, is unchanged."""
    draws, changed, first = torch.Generator().manual_seed(1), list[Batch](), 0
    for batch in batches:
        inputs = 2 * torch.rand(batch.inputs.shape, generator=draws)
        if 0 <= kept - first < len(inputs):
            inputs[kept - first] = batch.inputs[kept - first]
        first += len(inputs)
        changed.append(replace(batch, inputs=inputs))
    return changed


def _items(batch: Batch) -> list[Batch]:
    """Return a batch of each item."""
    pairs = zip(batch.inputs.split(1), batch.targets.split(1), strict=True)
    return [replace(batch, inputs=inputs, targets=targets) for inputs, targets in pairs]


def deterministic(case: Case) -> None:
    """The same model and input produce the same analysis, regardless of the random state."""
    for specimen in specimens(case):
        with drawing_from(0):
            one = analyze(case, specimen)
        with drawing_from(1):
            other = analyze(case, specimen)
        differing = _differing(one, other)
        assert not differing, message(
            expected="the same analysis twice",
            got=f"different values in {', '.join(differing)}",
            usually="a model left in training mode, or noise without a fixed seed",
        )


def sensitive_to_class(case: Case) -> None:
    """Maps of different classes differ, unless the spec's `ignores` lists `class`."""
    for specimen in _mapped(case):
        one, other = (analyze(case, specimen, classes=(number,)) for number in (1, 4))
        usual = 'one map for all classes; if this is intended, set `ignores=("class",)` in the spec'
        alike = torch.allclose if "class" in case.spec.ignores else torch.equal
        differing = [] if alike(one.maps, other.maps) else ["maps"]
        _require_sensitivity(case, "class", differing, usually=usual)


def _mapped(case: Case) -> list[Specimen]:
    """Return the models for which the analyzer returns maps. Raises Inapplicable if there are none."""
    with_maps = case.kept(
        "mapped", lambda: [each for each in specimens(case) if analyze(case, each).maps is not None]
    )
    if not with_maps:
        raise Inapplicable("it returns no maps")
    return with_maps


def sensitive_to_weights(case: Case) -> None:
    """Analyses of different weights differ, unless the spec's `ignores` lists `weights`."""
    for specimen in specimens(case):
        one, other = analyze(case, specimen), analyze(case, specimen, specimen.make(1))
        usual = "a method that depends on the input alone, like an edge detector (Adebayo et al. 2018)"
        _require_sensitivity(case, "weights", _differing(one, other), usually=usual)


def _require_sensitivity(case: Case, what: str, differing: list[str], *, usually: str) -> None:
    """Raise AssertionError unless analyses differ, or are alike if the spec's `ignores` lists `what`."""
    ignores = what in case.spec.ignores
    assert ignores or differing, message(
        expected=f"an analysis that depends on the {what}", got="the same analysis", usually=usually
    )
    assert not ignores or not differing, message(
        expected=f"the same analysis whatever the {what}, since the spec's `ignores` lists `{what}`",
        got=f"different values in {', '.join(differing)}",
        usually="`ignores` copied from another spec",
    )


def follows_its_reference(case: Case) -> None:
    """A different reference split changes the analysis, if the spec names a `reference`."""
    if not case.spec.reference:
        raise Inapplicable("its spec names no `reference`")
    for specimen in specimens(case):
        one, other = (analyze(case, specimen, reference=specimen.batches(seed=seed)) for seed in (1, 2))
        assert _differing(one, other), message(
            expected=f"a different analysis with a different {case.spec.reference} split as reference",
            got="the same analysis",
            usually="an unused `subject.reference`; use it, or leave `reference` out of the spec",
        )


def ignores_labels(case: Case) -> None:
    """Without labels, an analysis reports nothing that depends on them, unless the spec sets `labels`.

    The user's own inputs have no labels, so every label is -1. This applies to the predicted class, and not
    to text, whose targets are the next tokens.
    """
    if case.spec.labels:
        raise Inapplicable("its spec sets `labels`")
    without_text = [each for each in specimens(case) if not isinstance(each.task, CarriesState)]
    if not without_text:
        raise Inapplicable("it is only for text")
    for specimen in without_text:
        with failing(
            expected="an analysis of inputs without labels, since the spec does not set `labels=True`",
            usually="a label used as an index or compared with outputs; set `labels=True`",
        ):
            known, others, unknown = (
                analyze(case, specimen, batches=[replace(one, targets=targets) for one, targets in pairs])
                for pairs in _relabeled(specimen.batches())
            )
        found = {name: _columns(one) for name, one in (("known", known), ("other", others))}
        differing = [name for name, value in found["known"].items() if value != found["other"].get(name)]
        told = {name for name, value in _columns(unknown).items() if any(one is not None for one in value)}
        wrong = [] if _same(known.maps, others.maps) else ["maps"]
        wrong += [name for name in differing if name in told]
        assert not wrong, message(
            expected="only results that need no labels, since the spec does not set `labels=True`",
            got=f"{', '.join(wrong)}, which depend on labels",
            usually="an accuracy or an error; set `labels=True`, or leave it out where a label is -1",
        )


def _relabeled(batches: list[Batch]) -> Iterator[list[tuple[Batch, Tensor]]]:
    """Yield batches with their targets, with others, and with those of the user's own inputs."""
    yield [(batch, batch.targets) for batch in batches]
    yield [(batch, _other_labels(batch.targets)) for batch in batches]
    yield [(batch, _no_labels(batch)) for batch in batches]


def _other_labels(targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return 1 - targets
    return torch.where(targets >= 0, targets.max() - targets, targets)


def _no_labels(batch: Batch) -> Tensor:
    numbers = batch.targets.is_floating_point()
    return torch.full((len(batch.inputs),) if numbers else batch.targets.shape, -1)


def _columns(analysis: Analysis) -> dict[str, list[Any]]:
    """Return the values of each score, and of each column of a table."""
    found: dict[str, list[Any]] = {name: [value] for name, value in analysis.scores.items()}
    for name, rows in analysis.tables.items():
        for column in dict.fromkeys(key for row in rows for key in row):
            found[f"{name}: {column}"] = [row.get(column) for row in rows]
    return found


def declares_its_needs(case: Case) -> None:
    """The landmarks in the spec's `needs` suffice; for `a|b`, either landmark suffices."""
    for specimen in specimens(case):
        for chosen in itertools.product(*(need.split("|") for need in case.spec.needs)):
            if not specimen.landmarks.keys() >= {*chosen}:
                continue
            names = {*chosen, "features"} if "mean_head" in chosen else {*chosen}  # the head of features
            with failing(
                expected=f"an analysis of a model with {', '.join(chosen) or 'no landmarks'}",
                usually="a landmark that is used but missing from the spec's `needs`",
            ):
                analyze(case, specimen, landmarks={name: specimen.landmarks[name] for name in names})


def refuses_what_it_lacks(case: Case) -> None:
    """Analyzing a model without a needed landmark raises an error."""
    if not case.spec.needs:
        raise Inapplicable("its spec has no `needs`")
    for specimen in specimens(case):
        try:
            analyze(case, specimen, landmarks={})
        except Exception:
            continue
        raise Failure(
            expected=f"an error for a model without {' and '.join(case.spec.needs)}",
            got="an analysis",
            usually="`landmarks.get()` instead of `landmarks[...]`, or an unused landmark in `needs`",
        )


def figures_draw(case: Case) -> None:
    """Every function in `figures` returns the bytes of its file."""
    figures = [figure for each in specimens(case) for figure in analyze(case, each).figures.items()]
    if not figures:
        raise Inapplicable("it draws no figures")
    for name, draw in figures:
        drawn: object = draw()
        written = isinstance(drawn, bytes) and len(drawn) > 0
        assert written, message(
            expected=f"the bytes of {name}",
            got="no bytes" if isinstance(drawn, bytes) else f"a {type(drawn).__name__}",
            usually="a figure object, or a figure saved to a file; return the bytes of the file",
        )


def leaves_model_untouched(case: Case) -> None:
    """Weights, buffers, gradients, modes, hooks, attributes, settings and random states do not change."""
    usual = "eval(), a hook or manual_seed() that is not undone; use `zoo.plugin.untouched`"
    _require_untouched(case, broken=False, usually=usual)


def untouched_after_an_error(case: Case) -> None:
    """The model, settings and random states do not change even if the model fails on a batch."""
    usual = "eval() or hooks undone outside a `finally`; use `zoo.plugin.untouched`"
    _require_untouched(case, broken=True, usually=usual)


def _require_untouched(case: Case, *, broken: bool, usually: str) -> None:
    for specimen in specimens(case):
        changed = _changes(case, specimen, broken=broken)
        assert not changed, message(
            expected=f"an unchanged model, settings and random state{' after an error' * broken}",
            got=f"a change in {', '.join(changed[:3])}",
            usually=usually,
        )


def _changes(case: Case, specimen: Specimen, *, broken: bool) -> list[str]:
    """Return the changes that an analysis made to a model with unusual modes and gradients."""
    changed: list[str] = []
    for training in (True, False):
        model = specimen.make(0).train(training)
        [*model.modules()][-1].train(not training)
        first, *_, last = model.parameters()
        first.grad = torch.ones_like(first)
        last.requires_grad_(False)
        with all_drawing_from(_UNUSUAL):  # not what an earlier analysis may have set
            before = _everything(model)
            try:
                analyze(case, specimen, model, batches=specimen.batches(broken=broken))
            except Exception:
                if not broken:
                    raise
            after = _everything(model)
        changed += [name for name in before if not _same(before[name], after.get(name))]
        changed += [name for name in after if name not in before]
    return list(dict.fromkeys(changed))


@torch.no_grad()
def _logits(specimen: Specimen) -> Tensor:
    model = specimen.make(0)
    return torch.cat([model(batch.inputs) for batch in specimen.batches()])


def _not_finite(analysis: Analysis) -> list[str]:
    """Return the names of maps, scores and columns that hold inf or nan."""
    broken = ["maps"] if analysis.maps is not None and not analysis.maps.isfinite().all() else []
    broken += [name for name, score in analysis.scores.items() if not math.isfinite(score)]
    return broken + [
        f"{name}: {column}"
        for name, rows in analysis.tables.items()
        for column in {key: None for row in rows for key in row}
        if any(isinstance(row.get(column), float) and not math.isfinite(row[column]) for row in rows)
    ]


def _differing(one: Analysis, other: Analysis) -> list[str]:
    """Return the names of the parts in which two analyses differ."""
    differing = [] if _same(one.maps, other.maps) else ["maps"]
    differing += [name for name in one.scores if one.scores[name] != other.scores.get(name)]
    differing += [name for name in one.tables if one.tables[name] != other.tables.get(name)]
    return differing + (["the text"] if one.text != other.text else [])


def _everything(model: nn.Module) -> dict[str, Any]:
    """Return everything that an analyzer must leave unchanged, by name."""
    state: dict[str, Any] = settings()
    state |= {f"weight {name}": tensor.clone() for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        state[f"requires_grad of {name}"] = parameter.requires_grad
        state[f"gradient of {name}"] = None if parameter.grad is None else parameter.grad.clone()
    for name, module in model.named_modules():
        state[f"mode of {name or 'the model'}"] = module.training
        for attribute, hooks in vars(module).items():
            if attribute.endswith("_hooks"):
                state[f"{attribute.strip('_')} of {name or 'the model'}"] = list(hooks)
        state[f"the attributes of {name or 'the model'}"] = sorted(vars(module))
    return state | random_states()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.shape == other.shape and torch.equal(one, other)
    return one == other
