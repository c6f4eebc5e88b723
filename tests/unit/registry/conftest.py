"""Commands beside made-up distributions, in this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.shell import zoo


@pytest.fixture(scope="session")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command as `zoo` of `tests.shell` does, by default in an empty folder.

    `path` is folders to put in front of the module search path. What is imported from them, or from the
    folder, is forgotten afterwards.
    """
    empty, home = tmp_path_factory.mktemp("empty"), str(tmp_path_factory.getbasetemp())

    def run(
        *arguments: str | Path, path: Sequence[Path] = (), cwd: Path | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        before = {*sys.modules}
        with pytest.MonkeyPatch.context() as patch:
            for place in reversed(path):
                patch.syspath_prepend(str(place))
            done = zoo(*arguments, cwd=cwd or empty, **options)
        for name in {*sys.modules} - before:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(home):
                del sys.modules[name]
        return done

    return run
