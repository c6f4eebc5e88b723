"""Requests that schemathesis makes from the description of the API, valid ones and others."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import zoo
from zoo.registry.registry import Registry

schemathesis = pytest.importorskip("schemathesis", reason="it makes the requests")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    response_schema_conformance,
    status_code_conformance,
)

from zoo.tools.serve.access import Access  # noqa: E402
from zoo.tools.serve.app import create_app  # noqa: E402
from zoo.tools.serve.request_limits import RequestLimits  # noqa: E402
from zoo.tools.serve.served_models import named  # noqa: E402

pytestmark = pytest.mark.timeout(600)

# Requests of each kind; some take a tenth of a second
EXAMPLES = 200
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


@pytest.fixture(scope="module", params=["cifar10-convnet", "nietzsche-rnn"])
def schema(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return the description that a server of one model gives of itself."""
    (served,) = named([(request.param, zoo.load(request.param, progress=False))], Registry.discover())
    app = create_app([served], limits=RequestLimits(seconds=5), access=Access(hosts=["testserver"]))
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    served.worker.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/predict"),
        ("POST", "/sample"),
        ("POST", "/analyze"),
        ("GET", "/models"),
        ("GET", "/metrics"),
    ],
)
def test_no_request_breaks_the_server(schema: Any, method: str, path: str, mode: GenerationMode) -> None:
    seen = Counter[int]()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW, derandomize=True)
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call_and_validate(checks=CHECKS)
        seen[response.status_code] += 1

    with contextlib.suppress(Unsatisfiable):  # a GET without parameters cannot be wrong
        ask()
        assert seen
