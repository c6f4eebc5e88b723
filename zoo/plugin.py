"""Helpers for authors of plugins: what they use besides `zoo`, `zoo.interfaces` and `zoo.testing`.

One flat module, so that no other module of zoo is a promise to them; commands use `zoo.cli.kit` as well. A
name is imported when it is first used, so that a processor, which runs where there is no torch, can use it.
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
