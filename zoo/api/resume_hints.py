"""How to continue a run of a class or data of a Python session; torch-free, since it surrounds every run."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from zoo.config.recipe import Recipe
from zoo.errors import Interrupted, UnknownName
from zoo.registry.plugins import LOCAL


@contextmanager
def resumed_in_python(recipe: Recipe, run: str | Path, architecture: object = None) -> Generator[None]:
    """Hint at `zoo.resume` if a run of a class or data of the session stops, or is continued without them."""
    own = {"architecture": getattr(architecture, "__name__", "Net"), "dataset": "data"}
    given = [f"{kind}={word}" for kind, word in own.items() if getattr(recipe, kind).startswith(f"{LOCAL}/")]
    hint = f"in Python, zoo.resume({str(run)!r}, {', '.join(given)}) continues the run"
    try:
        yield
    except Interrupted as error:
        if not given:
            raise
        raise Interrupted(str(error), signal=error.exit_code - 128, hint=hint) from None
    except UnknownName as error:
        if not given or f"{LOCAL}/" not in str(error):
            raise
        raise UnknownName(str(error), hint=hint) from None
