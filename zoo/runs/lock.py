"""A lock on a run directory, released by the kernel when its owner exits. Does not import torch."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shlex
import socket
import stat
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import RunError
from zoo.files import run_files
from zoo.files.regular import open_regular

# What a run may have written before its first checkpoint
_BEFORE_A_CHECKPOINT = (run_files.CONFIG, run_files.METRICS, run_files.STEPS)
CONFIG_HEAD = b"# The recipe of this run. `ZOO_REGISTRY=config.toml zoo train NAME` trains it again.\n"
_PROCESS = threading.Lock()
_NAME = ".lock"
_OTHER = "delete it, or choose a different --run folder"


@contextmanager
def alone() -> Generator[None]:
    """Reject a second training run in this process: torch's generator and thread count are shared.

    Raises RunError.
    """
    if not _PROCESS.acquire(blocking=False):
        raise RunError("another training run is active in this process", hint="train in a separate process")
    try:
        yield
    finally:
        _PROCESS.release()


@dataclass(frozen=True, slots=True)
class Owned:
    """A folder whose lock this process holds, even if its path changes.

    Attributes:
        path: path of the folder when it was locked.
        descriptor: file descriptor of the open folder; files written through it stay in the folder.
        lock: file descriptor of the open lock file.
    """

    path: Path
    descriptor: int
    lock: int

    def check(self) -> None:
        """Raise RunError if the lock file was removed or replaced: another process may own the folder now."""
        with contextlib.suppress(OSError):
            there = os.stat(_NAME, dir_fd=self.descriptor, follow_symlinks=False)
            if os.path.samestat(there, os.fstat(self.lock)):
                return
        raise self._gone() or RunError(
            f"{self.path / _NAME} was deleted or replaced during the run; "
            "writing has stopped because another process may now own the directory",
            hint=f"continue from the last checkpoint: `zoo resume {shlex.quote(str(self.path))}`",
        )

    def check_place(self, *, saved: int) -> None:
        """Raise RunError if the path no longer leads to the folder.

        Args:
            saved: number of the last step saved in the folder.
        """
        with contextlib.suppress(OSError):
            if os.path.samestat(self.path.stat(), os.fstat(self.descriptor)):
                return
        if gone := self._gone():
            raise gone
        now = _path_of(self.descriptor)
        where = f"was moved to {now} during the run" if now else "no longer refers to the run directory"
        resume = shlex.quote(str(now or "DIRECTORY"))
        raise RunError(
            f"{self.path} {where}; the last saved step is {saved:,}",
            hint=f"continue from the last saved step: `zoo resume {resume}`",
        )

    def _gone(self) -> RunError | None:
        """Return an error if the folder was deleted; otherwise, None."""
        path = _path_of(self.descriptor)
        is_there = path is None or path.exists() or not path.name.endswith(" (deleted)")
        if os.fstat(self.descriptor).st_nlink and is_there:
            return None
        message = f"{self.path} and its checkpoints were deleted during the run"
        return RunError(
            message, hint="train again; if others use this directory, choose a different --run folder"
        )


@contextmanager
def claimed(path: Path, *, resume: bool) -> Generator[Owned]:
    """Create a run directory if necessary, and lock it.

    Raises RunError if the directory cannot be written to, is in use, contains a run that is not being
    resumed, or contains files that training would overwrite but no checkpoint.
    """
    with contextlib.ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            mine = stack.enter_context(owned(path))
        except FileExistsError:
            raise RunError(
                f"{path} is a file, not a folder", hint="choose a different --run folder"
            ) from None
        except OSError as error:
            raise RunError(f"{path} cannot be used as a run directory: {error.strerror}") from None
        _refuse_foreign_files(path, resume=resume)
        yield mine


def is_locked(folder: Path) -> bool:
    """Return whether a process owns a run directory."""
    try:
        with open_regular(folder / _NAME) as lock:
            # an attempt could keep a process that is just starting from its lock
            if _names_a_process(lock.read(300).decode(errors="replace")):
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _refuse_foreign_files(path: Path, *, resume: bool) -> None:
    if any((path / name).exists() for name in run_files.CHECKPOINTS):
        if not resume:
            finished = (path / run_files.LAST).is_file()
            does = "evaluate it with `zoo eval {}`" if finished else "continue it with `zoo resume {}`"
            hint = f"{does.format(shlex.quote(_place(path)))}, or choose a different --run folder"
            raise RunError(f"{path} already contains a {'finished ' * finished}run", hint=hint)
        return
    begun = False
    with contextlib.suppress(OSError), open_regular(path / run_files.CONFIG) as file:
        begun = file.read(len(CONFIG_HEAD)) == CONFIG_HEAD
    folders = {entry.name for entry in path.iterdir() if entry.is_dir()} - {*run_files.ALL}
    if folders and not begun:
        raise RunError(
            f"{path} is not a run directory: it contains {min(folders)}/", hint="choose a new folder"
        )
    for name in run_files.ALL:
        if os.path.lexists(path / name) and not (begun and name in _BEFORE_A_CHECKPOINT):
            if resume and begun and name in run_files.WEIGHTS:
                weights = shlex.quote(_place(path))
                hint = f"train in a different folder; add --from {weights} to start from its weights"
                message = f"{path} cannot be resumed: it has no checkpoint"
                raise RunError(f"{message} (`zoo runs prune` deletes checkpoints)", hint=hint)
            message = f"{path} has no checkpoint, but contains {name}, which training would overwrite"
            raise RunError(message, hint="choose a different --run folder, or move the file")


def _place(path: Path) -> str:
    """Return a directory as weights that a user types: a bare word would be an id."""
    return str(path) if path.parent != Path() else f"./{path}"


@contextmanager
def owned(folder: Path) -> Generator[Owned]:
    """Lock the file `.lock` in a folder and, if possible, the folder itself.

    Raises RunError if another process holds the lock, or if `.lock` is a link or was not written by zoo.
    """
    with contextlib.ExitStack() as stack:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, descriptor)
        lock = _open_lock(folder, descriptor)
        stack.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _lock_folder(descriptor)
        except BlockingIOError:
            hint = "wait for it to finish, or choose a different --run folder"
            raise RunError(f"{folder} is in use by {_owner(lock)}", hint=hint) from None
        if (text := os.pread(lock, 300, 0)) and not text.startswith(b"process "):
            raise RunError(f"{folder / _NAME} is not a zoo lock file", hint=_OTHER)
        os.ftruncate(lock, 0)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()} since {now}".encode(), 0)
        mine = Owned(folder, descriptor, lock)
        mine.check()
        yield mine


def _open_lock(folder: Path, descriptor: int) -> int:
    """Open the lock file. Raises RunError if it is a symbolic or hard link."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        lock = os.open(_NAME, flags, 0o666, dir_fd=descriptor)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RunError(f"{folder / _NAME} is a link, which zoo does not follow", hint=_OTHER) from None
        raise
    status = os.fstat(lock)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(lock)
        what = "a link to another file" if stat.S_ISREG(status.st_mode) else "not a regular file"
        raise RunError(f"{folder / _NAME} is {what}", hint=_OTHER)
    return lock


def _lock_folder(descriptor: int) -> None:
    """Lock a folder itself if its file system supports folder locks; NFS does not. Raises BlockingIOError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass


def _path_of(descriptor: int) -> Path | None:
    """Return the current path of an open folder, if the system provides it."""
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None


def _owner(lock: int) -> str:
    """Describe the owner of a lock; a process that has just acquired it may not have written its name yet."""
    for _ in range(100):
        text = os.pread(lock, 300, 0).decode(errors="replace")
        if _names_a_process(text):
            return text
        time.sleep(0.02)
    return "another process"


def _names_a_process(text: str) -> bool:
    """Return whether a lock's owner is alive; a process on another machine counts as alive."""
    import psutil  # not needed without a lock

    owner = re.match(r"process (\d{1,9}) on (.+) since ", text)
    return owner is not None and (owner[2] != socket.gethostname() or psutil.pid_exists(int(owner[1])))
