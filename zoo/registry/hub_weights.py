"""Weights on the Hugging Face Hub: `hf:owner/name` or `hf:owner/name@revision`, as `zoo push` writes them.

The client downloads two files of one commit into its cache: config.json, which says that the model is one of
zoo, and model.safetensors. It compares only the sizes of files, so zoo compares their hashes: with the names
that the client gave them in its cache, which are the Hub's checksums, and with config.json.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import DataError, WeightsError, warn
from zoo.files.downloads import is_offline
from zoo.files.regular import open_regular, read_regular
from zoo.files.work import report_work
from zoo.registry.hub_client import hub_client

HUB = "hf"
# The files of a model
WEIGHTS, ABOUT = "model.safetensors", "config.json"
LIBRARY = "zoo"
REVISION = re.compile(r"\w[\w./-]*", re.ASCII)
_NAME = re.compile(rf"{HUB}:([\w.-]+/[\w.-]+)(?:@({REVISION.pattern}))?", re.ASCII)


class HubName(NamedTuple):
    """A model on the Hub, and a branch, a tag or a commit; the newest commit of `main` without any."""

    repository: str
    revision: str = ""


def parsed(name: str) -> HubName | None:
    """Split `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`; return None for any other text, or an existing file.

    Raises WeightsError for a text that begins with `hf:` and has a different form.

    >>> parsed("hf:me/shapes@v1")
    HubName(repository='me/shapes', revision='v1')
    """
    if not name.startswith(f"{HUB}:"):
        return None
    if os.path.lexists(name):
        warn(f"{name} is a file in the current folder, which is used instead of a model on the Hub")
        return None
    found = _NAME.fullmatch(name)
    if found is None or ".." in name:  # the client stores a revision in a file of that name
        hint = "expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION, such as hf:me/shapes@v1"
        raise WeightsError(f"{name} cannot be a model on the Hugging Face Hub", hint=hint)
    return HubName(found[1], found[2] or "")


def find(name: str) -> tuple[Path, str] | None:
    """Return the file that a name such as `hf:owner/name` means, and its sha256; None for other names.

    The folder of the file is named after the commit.

    Raises:
        WeightsError: the name is invalid, or the model is not one of zoo.
        SpecError: huggingface_hub is not installed.
        DataError: a file cannot be downloaded, or is damaged.
    """
    split = parsed(name)
    if split is None:
        return None
    about, _ = downloaded(name, split, ABOUT)
    stated = _stated_sha256(name, about)
    path, sha256 = downloaded(name, HubName(split.repository, about.parent.name), WEIGHTS)
    if sha256 != stated:
        hint = "its owner can push it again"
        raise DataError(f"{name}: {WEIGHTS} does not have the sha256 that its {ABOUT} states", hint=hint)
    return path, sha256


def commit_of(name: str | Path, path: Path) -> str:
    """Return the commit of a file that `find` returned for a name; empty for other files."""
    return path.parent.name if str(name).startswith(f"{HUB}:") and path.is_symlink() else ""


def license_of(name: str | Path, path: Path) -> str:
    """Return the license that `zoo push` wrote beside a file that `find` returned; empty for other files."""
    if not commit_of(name, path):
        return ""
    return str(_about(path.with_name(ABOUT)).get("license", ""))


def downloaded(name: str, model: HubName, file: str) -> tuple[Path, str]:
    """Return a file of a model in the cache of the client, which downloads it if it is new, and its sha256.

    Raises the errors of `find`.

    Args:
        name: what is used, such as `hf:owner/name`, for messages.
    """
    report_work(f"downloading {name}", 0, 0, "bytes")
    with hub_client(name):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import RemoteEntryNotFoundError

        revision = model.revision or None
        try:
            path = Path(
                hf_hub_download(model.repository, file, revision=revision, local_files_only=is_offline())
            )
        except RemoteEntryNotFoundError:
            raise _foreign(name, f"it has no {file}") from None
    return path, _checked(name, path)


def _checked(name: str, path: Path) -> str:
    """Return the sha256 of a file that has the checksum which is its name in the cache.

    Raises DataError for a damaged file, which is removed.
    """
    stored = path.resolve()
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", stored.name):
        message = f"{name}: the server or the cache has no checksum of {path.name}, so it cannot be checked"
        raise DataError(message, hint=f"pass {path} itself to use it unchecked")
    sha256 = hashlib.sha256()  # the checksum of git-lfs and Xet; of git:
    sha1 = hashlib.sha1(b"blob %d\0" % stored.stat().st_size, usedforsecurity=False)
    with open_regular(stored) as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            sha1.update(block)
    if stored.name not in (sha256.hexdigest(), sha1.hexdigest()):
        with contextlib.suppress(OSError):
            stored.unlink()
        message = f"{name}: {path.name} is damaged: its checksum is not {stored.name}"
        raise DataError(message, hint="it was removed from the cache; try again to download it again")
    return sha256.hexdigest()


def _stated_sha256(name: str, about: Path) -> str:
    """Return the sha256 of the weights that a config.json states. Raises WeightsError if it is not of zoo."""
    stated = _about(about)
    if stated.get("library_name") != LIBRARY or "sha256" not in stated:
        raise _foreign(name, f"its {ABOUT} does not name the library {LIBRARY}")
    return str(stated["sha256"])


def _about(path: Path) -> dict[str, Any]:
    """Return what a config.json states; nothing if it is not JSON data of that form."""
    try:
        stated = json.loads(read_regular(path, most=1 << 20))
    except (OSError, ValueError, RecursionError):
        return {}
    return stated if isinstance(stated, dict) else {}


def _foreign(name: str, why: str) -> WeightsError:
    repository = name.partition(":")[2].partition("@")[0]
    hint = (
        f"for a model of another library, `hf download {repository}` downloads its files, and "
        "`zoo import FILE --architecture NAME` may convert one"
    )
    return WeightsError(f"{name} was not pushed by zoo: {why}", hint=hint)
