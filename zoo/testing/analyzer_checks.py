"""Checks of an analyzer, on small models of the kit's own."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import torch
from torch import Tensor, nn

from zoo.interfaces import Analysis
from zoo.testing._options import require_types
from zoo.testing._subjects import Classes, Shown, analyze, shown
from zoo.testing._suite import Case, first_line, told

__all__ = [
    "answers_what_was_asked",
    "can_be_written",
    "declares_its_needs",
    "deterministic",
    "figures_draw",
    "finite",
    "finite_on_constant_input",
    "leaves_model_untouched",
    "looks_by_typed_options",
    "refuses_what_it_lacks",
    "sensitive_to_class",
    "sensitive_to_weights",
    "untouched_after_an_error",
]


def looks_by_typed_options(case: Case) -> None:
    """Every option has a type that `--option` can be checked by, and its default is of that type."""
    require_types(case)


def finite(case: Case) -> None:
    """`analyze` returns an Analysis with something in it, all of it finite."""
    for each in shown(case):
        found = analyze(case, each)
        assert isinstance(found, Analysis), told(
            expected="an Analysis", got=type(found).__name__, usually="a bare tensor or dict returned"
        )
        assert found.maps is not None or found.scores or found.tables or found.text, told(
            expected="maps, a score, a table or a text",
            got="an empty Analysis",
            usually="a hook that never fired: hook the submodules that `landmarks` names",
        )
        broken = _broken(found)
        assert not broken, told(
            expected="finite maps and scores",
            got=f"inf or nan in {', '.join(broken)}",
            usually="a map divided by its largest value, which can be 0",
        )


def can_be_written(case: Case) -> None:
    """Scores, tables and details are JSON data, since that is how `zoo analyze` writes them."""
    for each in shown(case):
        found = analyze(case, each)
        for name, held in (("scores", found.scores), ("tables", found.tables), ("details", found.details)):
            try:
                json.dumps(held)
            except (TypeError, ValueError) as error:
                raise AssertionError(
                    told(
                        expected=f"{name} that JSON can hold",
                        got=first_line(error),
                        usually="a tensor or an array where float(), int() or tolist() should be",
                    )
                ) from error


def finite_on_constant_input(case: Case) -> None:
    """What is found in an image of one colour, or a text of one token, is finite too."""
    for each, value in itertools.product(shown(case), (0.0, 1.0)):
        broken = _broken(analyze(case, each, batches=each.batches(constant=value)))
        assert not broken, told(
            expected=f"finite maps and scores where every input is {value:g}",
            got=f"inf or nan in {', '.join(broken)}",
            usually="a division by a deviation or a range, which is 0 where all is the same",
        )


def answers_what_was_asked(case: Case) -> None:
    """Maps are (N, K, h, w) for N images and the K classes asked about, in that order; logits the model's."""
    for each in shown(case):
        questions: list[Classes] = [(1, 4), ("predicted",), ("true", 4)]
        for asked in questions:
            found = analyze(case, each, classes=asked)
            if found.maps is None:
                continue
            logits = _logits(each)
            guesses = logits.argmax(1)
            labels = torch.tensor([3, int(guesses[1]), 5])
            columns = {"predicted": guesses, "true": labels, 1: torch.full((3,), 1), 4: torch.full((3,), 4)}
            wanted = torch.stack([columns[one] for one in asked], 1)
            same = found.classes is not None and torch.equal(found.classes.cpu().long(), wanted)
            assert same, told(
                expected=f"maps of the classes {wanted.tolist()}, since {asked} were asked about",
                got="no `classes`" if found.classes is None else str(found.classes.tolist()),
                usually="always the predicted class; ask `subject.target_classes(logits, labels)`",
            )
            shape = tuple(found.maps.shape)
            fits = len(shape) == 4 and shape[:2] == tuple(wanted.shape)
            assert fits, told(
                expected=f"maps ({wanted.shape[0]}, {wanted.shape[1]}, h, w)",
                got=str(shape),
                usually="the axis of classes left out, or only the last batch kept",
            )
            if found.logits is not None:
                near = found.logits.shape == logits.shape and torch.allclose(found.logits, logits, atol=1e-4)
                assert near, told(
                    expected="the model's logits in eval mode",
                    got=f"others, {tuple(found.logits.shape)}",
                    usually="probabilities, or the logits of a changed image",
                )


def deterministic(case: Case) -> None:
    """The same model and input give the same analysis, whatever the random state."""
    for each in shown(case):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            one = analyze(case, each)
            torch.manual_seed(1)
            other = analyze(case, each)
        differing = _differing(one, other)
        assert not differing, told(
            expected="the same analysis twice",
            got=f"other values in {', '.join(differing)}",
            usually="the model left in training mode, or noise without a seed of its own",
        )


def sensitive_to_class(case: Case) -> None:
    """Asked about another class, maps are others; unless the spec says that it `ignores` the class."""
    ignores = "class" in case.spec.ignores
    for each in shown(case):
        one, other = (analyze(case, each, classes=(number,)).maps for number in (1, 4))
        if one is None:
            continue
        assert ignores or not torch.equal(one, other), told(
            expected="another map for another class",
            got="the same",
            usually='one map for all classes; if that is meant, `ignores=("class",)` in the spec says so',
        )
        assert not ignores or torch.allclose(one, other), told(
            expected="the same map for every class, since the spec says that it ignores the class",
            got="another",
            usually="`ignores` copied from another spec",
        )


def sensitive_to_weights(case: Case) -> None:
    """Other weights give another analysis; unless the spec says that it `ignores` weights."""
    ignores = "weights" in case.spec.ignores
    for each in shown(case):
        one, other = analyze(case, each), analyze(case, each, each.make(1))
        differing = _differing(one, other)
        assert ignores or differing, told(
            expected="another analysis of other weights",
            got="the same",
            usually="a look at the input alone, as an edge detector does (Adebayo et al. 2018)",
        )
        assert not ignores or not differing, told(
            expected="the same analysis of any weights, since the spec says that it ignores them",
            got=f"other values in {', '.join(differing)}",
            usually="`ignores` copied from another spec",
        )


def declares_its_needs(case: Case) -> None:
    """The landmarks that the spec `needs` are enough; where it says `a|b`, each of them is."""
    for each in shown(case):
        for chosen in itertools.product(*(need.split("|") for need in case.spec.needs)):
            if not each.landmarks.keys() >= {*chosen}:
                continue
            names = {*chosen, "features"} if "mean_head" in chosen else {*chosen}  # which is a head of those
            try:
                analyze(case, each, landmarks={name: each.landmarks[name] for name in names})
            except Exception as error:
                raise AssertionError(
                    told(
                        expected=f"an analysis of a model with {', '.join(chosen) or 'no landmarks'}",
                        got=f"{type(error).__name__}: {error}",
                        usually="a landmark that is used, and is not among the spec's `needs`",
                    )
                ) from error


def refuses_what_it_lacks(case: Case) -> None:
    """Of a model without the landmarks it needs there is an error, not an answer about something else."""
    for each in shown(case) if case.spec.needs else ():
        try:
            analyze(case, each, landmarks={})
        except Exception:
            continue
        raise AssertionError(
            told(
                expected=f"an error for a model without {' and '.join(case.spec.needs)}",
                got="an analysis",
                usually="`landmarks.get()` with a guess in place of `landmarks[...]`, or a need too many",
            )
        )


def figures_draw(case: Case) -> None:
    """Every figure draws something."""
    for each in shown(case):
        for name, draw in analyze(case, each).figures.items():
            made: object = draw()
            drawn = isinstance(made, bytes) and len(made) > 0
            assert drawn, told(
                expected=f"the bytes of {name}",
                got="no bytes" if isinstance(made, bytes) else f"a {type(made).__name__}",
                usually="a figure returned or saved by itself; hand back what is to be written",
            )


def leaves_model_untouched(case: Case) -> None:
    """Weights, buffers, gradients, modes, requires_grad, hooks and the random state are as they were."""
    for each in shown(case):
        changed = _altered(case, each, broken=False)
        assert not changed, told(
            expected="a model, and a random state, as they were",
            got=f"a change in {', '.join(changed[:3])}",
            usually="eval() or hooks not undone, or backward() where autograd.grad() would do; "
            "zoo.models.hooks has `untouched`",
        )


def untouched_after_an_error(case: Case) -> None:
    """They are so too when the model fails on a batch, as it does on images of other channels."""
    for each in shown(case):
        changed = _altered(case, each, broken=True)
        assert not changed, told(
            expected="a model, and a random state, as they were after an error",
            got=f"a change in {', '.join(changed[:3])}",
            usually="eval() or hooks undone at the end, not in a `finally`; zoo.models.hooks has `untouched`",
        )


def _altered(case: Case, each: Shown, *, broken: bool) -> list[str]:
    """Return what is not as it was after a look at a model that was in no usual state."""
    changed: list[str] = []
    for training in (True, False):
        model = each.make(0).train(training)
        [*model.modules()][-1].train(not training)
        first, *_, last = model.parameters()
        first.grad = torch.ones_like(first)
        last.requires_grad_(False)
        before = _everything(model)
        try:
            analyze(case, each, model, batches=each.batches(broken=broken))
        except Exception:
            if not broken:
                raise
        after = _everything(model)
        changed += [name for name in before if not _same(before[name], after.get(name))]
        changed += [name for name in after if name not in before]
    return list(dict.fromkeys(changed))


@torch.no_grad()
def _logits(each: Shown) -> Tensor:
    model = each.make(0)
    return torch.cat([model(batch.inputs) for batch in each.batches()])


def _broken(found: Analysis) -> list[str]:
    """Return what is not finite."""
    broken = ["maps"] if found.maps is not None and not found.maps.isfinite().all() else []
    broken += [name for name, score in found.scores.items() if not math.isfinite(score)]
    return broken + [
        f"{name}: {column}"
        for name, rows in found.tables.items()
        for column in {key: None for row in rows for key in row}
        if any(isinstance(row.get(column), float) and not math.isfinite(row[column]) for row in rows)
    ]


def _differing(one: Analysis, other: Analysis) -> list[str]:
    differing = [] if _same(one.maps, other.maps) else ["maps"]
    differing += [name for name in one.scores if one.scores[name] != other.scores.get(name)]
    differing += [name for name in one.tables if one.tables[name] != other.tables.get(name)]
    return differing + (["the text"] if one.text != other.text else [])


def _everything(model: nn.Module) -> dict[str, Any]:
    state: dict[str, Any] = {f"weight {name}": tensor.clone() for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        state[f"requires_grad of {name}"] = parameter.requires_grad
        state[f"gradient of {name}"] = None if parameter.grad is None else parameter.grad.clone()
    for name, module in model.named_modules():
        state[f"mode of {name or 'the model'}"] = module.training
        for attribute, held in vars(module).items():
            if attribute.endswith("_hooks"):
                state[f"{attribute.strip('_')} of {name or 'the model'}"] = list(held)
    state["random state"] = torch.get_rng_state()
    return state


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.shape == other.shape and torch.equal(one, other)
    return one == other
