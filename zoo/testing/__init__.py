"""The contract kit: checks that a plugin keeps its promises.

The complete test file of a plugin::

    from zoo.testing import contract

    @contract("charrnn")
    def test_contract(check):
        check()

`zoo check charrnn` runs the same checks without pytest, and so does `zoo.testing.check("charrnn")`.
Importing this package does not import torch; checks import it when they run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zoo.errors import warn
from zoo.registry.registry import Registry
from zoo.testing._case import Inapplicable, Skip, Warned
from zoo.testing._outcomes import Outcome, shortfall
from zoo.testing._suite import Suite, suites_of
from zoo.testing._table import CHECKS
from zoo.testing.checking import check

if "pytest" in sys.modules:
    import pytest

    pytest.register_assert_rewrite(*{f"zoo.testing.{check.module}" for check in CHECKS})

if TYPE_CHECKING:
    import pytest

__all__ = ["Outcome", "check", "contract", "shortfall"]


def contract(
    target: str,
    expected_failures: Mapping[str, str] | None = None,
    *,
    thorough: bool = False,
    registry: Registry | None = None,
) -> pytest.MarkDecorator:
    """Parametrize the `check` argument of a test with a plugin's checks, such as `lstm-carries_state`.

    Args:
        target: what to check, as in `check`.
        expected_failures: maps check names to reasons, such as `{"lstm-carries_state": "issue 12"}`, in
            addition to the failures that specs declare. Each is a strict xfail; remove it once the check
            passes.
        thorough: whether to also run the slow checks, as in `check`.
        registry: the registry that contains the plugin; the default is the same as in `check`.

    Raises:
        UnknownName: there is no such plugin, distribution, entry or file, or an expected failure names an
            unknown check.
        PluginError: the plugin is disabled.
        OptionError: an expected failure has no reason.
    """
    import pytest

    parameters = [
        pytest.param(_as_function(suite, name), id=name, marks=_marks(suite, name))
        for suite in suites_of(target, registry, expected_failures, thorough=thorough)
        for name in suite.items
    ]
    return pytest.mark.parametrize("check", parameters)


def _as_function(suite: Suite, name: str) -> Callable[[], None]:
    import pytest

    def check() -> None:
        error = suite.run(name)
        if isinstance(error, Skip):
            pytest.skip(str(error))
        if isinstance(error, Inapplicable):
            pytest.skip(f"it does not apply: {error}")
        if isinstance(error, Warned):
            warn(f"{name}: {error}")
        elif error is not None:
            raise error

    return check


def _marks(suite: Suite, name: str) -> list[pytest.MarkDecorator]:
    import pytest

    if name not in suite.expected:
        return []
    return [pytest.mark.xfail(reason=suite.expected[name], strict=True)]
