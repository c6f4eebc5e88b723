"""Attestations: signed statements that somebody has trained weights again, or measured their metrics again.

An attestation is two files, a statement `NAME.json` and its signature `NAME.json.sig`. Anyone may add theirs
to the folder `attestations` of a zoo. Torch-free until something is attested.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import OptionError, OutputError, WeightsError, ZooError, warn
from zoo.files import signatures
from zoo.files.atomic import write_output
from zoo.files.hashes import sha256_of
from zoo.files.regular import read_regular
from zoo.tools.compare.card_recipe import recipe_of
from zoo.tools.compare.statements import Command, read_statement, statement
from zoo.tools.share.public_recipe import refuse_private

if TYPE_CHECKING:
    from zoo.api.model import Model
    from zoo.files.cards import Environment

# Where attestations are
FOLDER = "attestations"
# Most bytes of a statement, and most statements of a folder that are read
_MOST_BYTES, _MOST = 1 << 20, 200


def require_attestable(attest: str | Path | None, out: str | Path | None) -> None:
    """Raise OptionError if there is no key to attest with, or a place for an attestation but no key."""
    if attest is not None:
        signatures.require_key(attest)
    elif out is not None:
        hint = "pass the key to sign it with: --attest KEY"
        raise OptionError("out is the folder for an attestation, which requires a key", hint=hint)


def attest(
    published: Model,
    key: str | Path,
    out: str | Path | None,
    *,
    command: Command,
    data_sha256: str,
    environment: Environment,
    versions: Mapping[str, str],
    tests: Mapping[str, bool] | None,
) -> Path:
    """Sign a statement about weights, and return the path of its JSON file.

    Args:
        key: SSH key to sign with, as in `zoo.files.signatures.sign`.
        out: folder for the files; by default, `attestations`.
        data_sha256: sha256 of the data that was used.
        environment: where the work was done, with these `versions` of zoo and torch.
        tests: whether each metric agrees, by name; None if all tensors are bit-equal.
    """
    card, path, sha256 = published.card, published.path, sha256_of(published.path)
    name = path.parent.name if path.stem in ("best", "model") else path.stem
    name = _public(re.sub(r"[^\w-]", "-", name.removesuffix(f"-{sha256[:16]}"), flags=re.ASCII))
    here = {"versions": {**versions, "python": platform.python_version()}}
    here |= {name: getattr(environment, name) for name in ("processor", "device", "threads")}
    content = statement(
        name,
        sha256,
        command=command,
        tests=tests,
        recipe=recipe_of(card, published.registry, data={}, base="").to_dict(),
        inputs={card.dataset.name: data_sha256, "base weights": card.base_model.get("sha256", "")},
        environment=here,
    )
    refuse_private(json.loads(content), "the attestation")
    return _write(Path(out or FOLDER).expanduser(), f"{name}-{sha256[:16]}-{command}", content, key)


def _public(name: str) -> str:
    """Return the name of weights, or another one if it is that of this machine or its user."""
    try:
        refuse_private({"name": name}, "it")
    except WeightsError:
        return "weights"
    return name


def _write(folder: Path, name: str, content: bytes, key: str | Path) -> Path:
    signature = signatures.sign(content, key, signatures.ATTESTATION)
    (signer,) = signatures.signers_of(content, signature, signatures.ATTESTATION)
    path = folder / f"{name}-{hashlib.sha256(signer.key.encode()).hexdigest()[:8]}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror}") from None
    write_output(path, content)
    write_output(path.with_name(f"{path.name}.sig"), signature)
    return path


def attestations_in(folder: Path, sha256s: Set[str], allowed: bytes) -> dict[str, list[dict[str, str]]]:
    """Return who confirmed which files, by their sha256, after verifying the signatures.

    An attestation that is damaged or not properly signed is left out with a warning. Attestations of other
    files are skipped.

    Args:
        sha256s: sha256 of each file.
        allowed: allowed signers, for their names.

    Returns:
        A list of `{outcome, by, date, conditions}` for each sha256. `by` is the name of an allowed signer, or
        the fingerprint of another key.
    """
    found: dict[str, list[dict[str, str]]] = {}
    paths = sorted(folder.glob("*.json"))
    if len(paths) > _MOST:
        warn(f"{folder}: read only the first {_MOST} of {len(paths):,} attestations")
    for path in paths[:_MOST]:
        try:
            content = read_regular(path, most=_MOST_BYTES)
            read = read_statement(content)
            by = _signer(path, content, allowed) if read.subject in sha256s else ""
        except (OSError, ValueError, ZooError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            warn(f"left out the attestation {path}: {why}")
            continue
        if by:
            row = {"outcome": read.outcome, "by": by, "date": read.date, "conditions": read.conditions}
            rows = found.setdefault(read.subject, [])
            rows += [row] if row not in rows else []
    return found


def _signer(path: Path, content: bytes, allowed: bytes) -> str:
    """Return the name of the signer of a statement, or the fingerprint of the key. Raises ValueError."""
    signature = read_regular(path.with_name(f"{path.name}.sig"), most=signatures.MOST_BYTES)
    if len(signatures.split(signature)) != 1:
        raise ValueError(f"{path.name}.sig is not a signature")
    by = signatures.signers_of(content, signature, signatures.ATTESTATION, allowed)
    if not by:
        raise ValueError("its signature is for other bytes, or not for an attestation")
    return by[0].principal or by[0].key
