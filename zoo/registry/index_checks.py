"""Check the index of a remote: an allowed key has signed it, and it is not older than one seen before."""

from __future__ import annotations

import hashlib
import re
import shlex

from zoo.config.arguments import is_url
from zoo.errors import DataError
from zoo.files import signatures
from zoo.files.downloads import small_file
from zoo.files.private_store import recalled, remember
from zoo.files.regular import read_regular
from zoo.registry.zoo_index import signature_file


def require_signed(
    name: str, address: str, signers: str, content: bytes, allowed: bytes, *, seconds: float
) -> None:
    """Raise DataError unless an allowed key has signed the index of a zoo.

    Args:
        name: name of the remote, for messages.
        address: folder or https address of the zoo, where its signatures are.
        signers: path of the allowed signers, for messages; `allowed` is their content.
        content: content of the index.
        seconds: how long the download of the signatures may take.
    """
    place, most = f"{address}/{signature_file(content)}", signatures.MOST_BYTES
    try:
        url = is_url(address)
        stored = small_file(place, max_bytes=most, seconds=seconds) if url else read_regular(place, most=most)
    except (OSError, DataError) as error:
        why = error if isinstance(error, DataError) else f"{place}: {error.strerror}"
        message = (
            f"{name} must be signed by a key in {signers}, but its index has no readable signature: {why}"
        )
        hint = "it was changed since it was signed, or never signed: ask its publisher"
        raise DataError(message, hint=hint) from None
    by = signatures.signers_of(content, stored, signatures.INDEX, allowed)
    if any(signer.principal for signer in by):
        return
    if not by:
        message = f"{name} has no valid signature: its index was changed, or signed for something else"
        raise DataError(message, hint="do not use it, and ask its publisher")
    keys = "; ".join(f"{signer.key} ({signer.why})" for signer in by[:3])
    hint = f"ask the publisher about a new key; once they confirm it, add it to {signers}"
    raise DataError(f"{name} is not signed by a key that {signers} allows, but by {keys}", hint=hint)


def require_newest(name: str, address: str, signers: str, content: bytes, serial: int) -> None:
    """Raise DataError if this machine has seen a newer index of a remote, or another with the same serial.

    Without an earlier index, nothing is noticed. For the arguments, see `require_signed`.
    """
    seen = (recalled("zoos", _key(name, address, signers)) or b"").decode(errors="replace")
    stated = re.fullmatch(r"(\d{1,20}) [0-9a-f]{64}", seen, re.ASCII)
    last = int(stated[1]) if stated else 0  # a damaged memory is none
    if seen == _state(content, serial) or serial > last:
        return
    what = f"serial {serial} has a different content than this machine has seen"
    if serial < last:
        what = f"serial {serial} is older than {last}, which this machine has seen"
    command = ["zoo", "remote", "add", name, address, *(["--signers", signers] if signers else [])]
    hint = f"if the publisher confirms this state, `{shlex.join(command)}` accepts it"
    raise DataError(f"{name}: {what}", hint=hint)


def remember_index(name: str, address: str, signers: str, content: bytes, serial: int) -> None:
    """Remember the state of a zoo, for `require_newest`."""
    key, state = _key(name, address, signers), _state(content, serial).encode()
    if recalled("zoos", key) != state:
        remember("zoos", key, state)


def _key(name: str, address: str, signers: str) -> str:
    return hashlib.sha256(f"{name}\n{address}\n{signers}".encode()).hexdigest()[:32]


def _state(content: bytes, serial: int) -> str:
    return f"{serial} {hashlib.sha256(content).hexdigest()}"
