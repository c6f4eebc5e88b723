"""Language models in three styles: none is accused of anything, and what authors get wrong is found."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import NamedTuple

import pytest

from zoo.registry import plugins
from zoo.registry.registry import Registry
from zoo.testing import check, shortfall
from zoo.testing._suite import Suite
from zoo.testing._targets import with_ours

TELLING = (
    "every_parameter_gets_a_gradient",
    "first_loss_near_uniform",
    "overfits_one_batch",
    "carries_state",
    "state_can_be_saved",
    "refuses_bad_options",
)


class Bug(NamedTuple):
    """Part of a model's source text, what a hurried author writes instead, and the check that finds it."""

    module: str
    right: str
    wrong: str
    check: str


BUGS = {
    "a convolution that forgets the tokens before": Bug(
        "mamba", "cache.conv_state.to(x.dtype)", "torch.zeros_like(cache.conv_state)", "carries_state"
    ),
    "logits of a padded vocabulary": Bug("mamba", "[..., : self.args.vocab_size]", "", "output_shape"),
    "torch's own initial weights under tied ones": Bug(
        "mamba", "nn.init.normal_(self.embedding.weight, std=0.02)", "pass", "first_loss_near_uniform"
    ),
    "a shift that starts again": Bug(
        "rwkv", "self.ln2(x), state[0]", "self.ln2(x), torch.zeros_like(state[0])", "carries_state"
    ),
    "a state changed in place": Bug(
        "rwkv", "rows.append(row)", "state[5 * i : 5 * i + 5] = row; rows.append(row)", "state_detaches"
    ),
    "a state kept on the module": Bug(
        "rwkv",
        "if state is None:\n            state = self.init_state(x)",
        "if not hasattr(self, 's'):\n            self.s = self.init_state(x)\n        state = self.s",
        "output_shape",
    ),
    "a convolution that looks ahead by one": Bug(
        "tcn", ": -self.chomp_size]", "1 : x.shape[2] + 1 - self.chomp_size]", "causal"
    ),
    "a norm over time": Bug(
        "tcn", "Chomp1d(padding), nn.ReLU()", "Chomp1d(padding), nn.GroupNorm(1, n_outputs)", "causal"
    ),
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    where = "languages.plugin"
    loaded = plugins.load("languages", EntryPoint("languages", where, plugins.GROUP).load, where=where)
    return Registry(with_ours(loaded))


@pytest.mark.slow
def test_what_tells_most_of_a_language_model_passes(registry: Registry) -> None:
    suite = Suite(registry, "languages/tcn", thorough=True)
    outcomes = [suite.outcome(f"tcn-{check}") for check in TELLING]
    unusual = [one for one in outcomes if one.outcome not in ("passed", "inapplicable")]
    assert [(one.check, one.reason) for one in unusual] == []


def test_the_whole_kit_passes(registry: Registry) -> None:
    outcomes = check("languages", registry=registry, thorough=True, progress=False)
    unusual = [one for one in outcomes if one.outcome not in ("passed", "inapplicable")]
    odd = [one for one in unusual if one.name != "tcn-exports"]  # `zoo export` has no form for a window
    assert [(one.name, one.outcome, one.reason) for one in odd] == []
    assert {one.outcome for one in unusual} <= {"skipped"}
    assert not shortfall(outcomes)


# One of each check
FIRST = {bug.check: name for name, bug in reversed(BUGS.items())}.values()


@pytest.mark.parametrize(
    "bug",
    [pytest.param(bug, id=name, marks=[pytest.mark.slow] * (name in FIRST)) for name, bug in BUGS.items()],
)
def test_a_bug_is_found_by_the_check_of_what_it_breaks(bug: Bug, registry: Registry) -> None:
    module = import_module(f"languages.{bug.module}")
    assert module.__file__
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert source.count(bug.right) == 1
    sound = dict(vars(module))
    try:
        exec(compile(source.replace(bug.right, bug.wrong), module.__file__, "exec"), vars(module))
        found = Suite(registry, f"languages/{bug.module}", thorough=True).outcome(f"{bug.module}-{bug.check}")
    finally:
        vars(module).update(sound)
    assert found.outcome == "failed", found.reason
    assert found.reason.startswith("expected "), found.reason
