"""A disk of a few pages for one process: a tmpfs in a mount namespace, which ends with the process."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from tests.nightly.reliability.processes import start

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
_PRIVATE = 0x4000 | 1 << 18  # MS_REC | MS_PRIVATE
PAGE = os.sysconf("SC_PAGE_SIZE")


def available(folder: Path) -> bool:
    """Return whether this system lets a process mount a small disk."""
    place = folder / "may-mount"
    place.mkdir()
    child = start(folder / "may-mount.log", _try, str(place))
    return child.wait() == 0


def _try(place: str) -> None:
    mount(Path(place), 16 * PAGE)


def mount(place: Path, size: int) -> None:
    """Mount a disk of `size` bytes over a folder, and copy the folder's files to it.

    Raises OSError if the system does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _NEW_MOUNTS | (_NEW_USER if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    _call("mount", b"none", b"/", None, _PRIVATE, None)
    held = {path.name: path.read_bytes() for path in place.iterdir()}
    _call("mount", b"tmpfs", os.fsencode(place), b"tmpfs", 0, f"size={size}".encode())
    for name, content in held.items():
        (place / name).write_bytes(content)


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
