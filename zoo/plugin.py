"""Helpers for plugin authors, in addition to `zoo`, `zoo.interfaces` and `zoo.testing`.

They are in one flat module, so that zoo's other modules are not part of the plugin API. Commands can also use
`zoo.cli.kit`. Each name is imported when it is first used, so that a processor, which runs without torch, can
use this module.
"""

from __future__ import annotations

from zoo._lazy import imported, names_in_stub

_MODULES = names_in_stub(__file__)
__all__ = sorted(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'zoo.plugin' has no attribute {name!r}")
    return imported(_MODULES[name], name)


def __dir__() -> list[str]:
    return __all__
