"""Helpers for plugin authors, in addition to `zoo`, `zoo.interfaces` and `zoo.testing`.

They are in one flat module, so that zoo's other modules are not part of the plugin API. Commands can also use
`zoo.cli.kit`. Each name is imported when it is first used, so that a processor, which runs without torch, can
use this module.
"""

from __future__ import annotations

from zoo._lazy import lazy

__getattr__, __dir__ = lazy(__name__, __file__)
__all__ = __dir__()  # pyright: ignore[reportUnsupportedDunderAll]
