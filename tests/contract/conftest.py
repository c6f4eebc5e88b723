"""Which checks wait for `make test-all` and `.ci/run`."""

from __future__ import annotations

import pytest

# Of their code, smaller networks are checked each time; resnet34-cam has 21 million parameters
LARGE = ("resnet32", "resnet44", "resnet56", "resnet34-cam", "resnet-lite-wide")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and any(f"[{name}-" in item.name for name in LARGE):
            item.add_marker(pytest.mark.slow)
