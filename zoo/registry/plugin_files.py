"""One-file plugins, which users specify with `--plugin FILE` or `$ZOO_PLUGIN_FILES`. Torch-free.

Loading such a file runs its code, so a registry.toml, which may be in any folder, cannot specify one.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

import msgspec

from zoo.errors import PluginError
from zoo.files.regular import read_regular

# Files, separated as in $PATH. The processes of a training inherit it.
VARIABLE = "ZOO_PLUGIN_FILES"
# The most bytes of a file: it is code, not data
_MOST_BYTES = 1 << 18


class PluginFile(msgspec.Struct, frozen=True):
    """A one-file plugin: its path, absolute and without links, and its content, the code to run."""

    path: Path
    source: bytes

    @classmethod
    def read(cls, path: str | Path) -> PluginFile:
        """Read a file. Raises PluginError if it cannot be read, or its suffix is not `.py`."""
        hint = "--plugin and $ZOO_PLUGIN_FILES require Python files"
        real = Path(os.path.realpath(path))
        if real.suffix != ".py":
            raise PluginError(f"the plugin {path} is not a .py file", hint=hint)
        try:
            return cls(real, read_regular(real, most=_MOST_BYTES))
        except FileNotFoundError:
            raise PluginError(f"no such plugin file: {path}", hint=hint) from None
        except OSError as error:
            raise PluginError(f"the plugin {path} cannot be read: {error.strerror}", hint=hint) from None

    @property
    def name(self) -> str:
        """The plugin's name: the file name without its suffix, with dashes in place of underscores."""
        return self.path.stem.replace("_", "-")

    @property
    def sha256(self) -> str:
        """The sha256 of its content."""
        import hashlib  # not needed without plugin files

        return hashlib.sha256(self.source).hexdigest()


def named_files() -> list[PluginFile]:
    """Return the files in `$ZOO_PLUGIN_FILES`, without duplicates. Raises PluginError."""
    names = os.environ.get(VARIABLE, "").split(os.pathsep)
    return [PluginFile.read(name) for name in dict.fromkeys(map(os.path.realpath, filter(None, names)))]


def plugin_flags(files: Iterable[str | Path]) -> str:
    """Return the `--plugin` options for some files, as users type them."""
    return " ".join(f"--plugin {shlex.quote(str(file))}" for file in files)
