"""A command of an extra that is not installed."""

import no_such_package  # noqa: F401  # pyright: ignore[reportMissingImports]

command = None
