"""Every promise of docs/explanation/reliability.md, a few times; `make reliability` tests each in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nightly.reliability.full import PROMISES, Promise


@pytest.mark.slow  # a minute in all; `.ci/run` runs them
@pytest.mark.timeout(600)  # for slow cores that have other work to do as well
@pytest.mark.parametrize(
    "promise", [pytest.param(one, id=name) for name, one in PROMISES.items() if one.few is not None]
)
def test_a_promise_holds(promise: Promise, tmp_path: Path) -> None:
    figure = promise.test(tmp_path, **promise.few or {})
    assert figure.holds, figure.text
