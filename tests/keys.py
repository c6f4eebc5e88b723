"""SSH keys of two people, and what they sign; `ssh-keygen` makes them once for all tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Keys(NamedTuple):
    """The private keys of two people, and a file that allows only the first, `ada@example.org`."""

    ada: Path
    eve: Path
    signers: Path

    def line(self, *options: str, key: Path | None = None) -> str:
        """Return a line that allows a key, by default Ada's, with options such as `namespaces="git"`."""
        public = (key or self.ada).with_suffix(".pub").read_text(encoding="utf-8")
        return " ".join(["ada@example.org", *options, public])


def made(folder: Path) -> Keys:
    """Return new keys without a passphrase; skip the test if there is no `ssh-keygen`."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs ssh-keygen")
    keys = Keys(folder / "ada", folder / "eve", folder / "signers")
    for key in keys[:2]:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    keys.signers.write_text(keys.line(), encoding="utf-8")
    return keys
