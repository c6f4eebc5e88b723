"""Sign bytes and verify signatures with the SSH keys that people have, by `ssh-keygen -Y` of OpenSSH.

A signature has a namespace, so that the signature of an index never serves as that of an attestation. Several
signatures of the same bytes are stored one after another. A file of allowed signers lists the keys that are
trusted, with a name for each, the principal: see `man ssh-keygen`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from zoo.errors import DataError, OptionError, OutputError
from zoo.files.regular import read_regular

# What a signature is for
INDEX, ATTESTATION = "zoo-index", "zoo-attestation"
# Most bytes of the signatures of something, and of a file of allowed signers
MOST_BYTES, _MOST_ALLOWED = 1 << 15, 1 << 20
# Seconds to verify; and to sign, in which someone enters a passphrase
_SECONDS, _PATIENCE = 30.0, 300.0
_ARMORED = rb"-----BEGIN SSH SIGNATURE-----\n[A-Za-z0-9+/=\n]+-----END SSH SIGNATURE-----\n"
# A line of allowed signers: a name and a key, perhaps with options between them
_ALLOWED = re.compile(rb"^[^#\s].*\s(ssh|ecdsa|sk)-[\w@.-]+\s+[A-Za-z0-9+/=]{20}", re.M)
_NOT_VALID = re.compile(r":\d+: (key (?:has expired|is not)\b.*)")
_HINT = "install OpenSSH 8.2 or later (the package openssh-client or openssh)"


class Signer(NamedTuple):
    """The key of a good signature.

    Attributes:
        key: fingerprint of the key, such as `SHA256:9wWTHEC...`.
        principal: who has the key, by the allowed signers; empty if they do not allow it.
        why: why the key is not allowed.
    """

    key: str
    principal: str
    why: str


def require_key(key: str | Path) -> Path:
    """Return the path of a key. Raises OptionError if there is no such file."""
    path = Path(key).expanduser()
    if not path.is_file():
        hint = "`ssh-keygen -t ed25519` creates a key"
        raise OptionError(f"the key to sign with is not a file: {path}", hint=hint)
    return path


def sign(content: bytes, key: str | Path, namespace: str) -> bytes:
    """Return a signature; `ssh-keygen` asks for a passphrase on the terminal if the key has one.

    Args:
        key: file of a private key, or of a public key whose private key is in the SSH agent.

    Raises OutputError if the key cannot sign, and DataError without a suitable `ssh-keygen`.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "content")
        file.write_bytes(content)
        words = ["sign", "-q", "-f", str(require_key(key)), "-n", namespace, str(file)]
        done = _ssh_keygen(words, None, _PATIENCE)  # which reads a passphrase only if it has a terminal
        if done.returncode:
            why = re.sub('^Enter passphrase for ".*?": ', "", done.stderr.strip().split("\n")[0])
            hint = "name a private key, or a public key whose private key is in the SSH agent"
            raise OutputError(f"{key} cannot sign: {why or 'it has no private key'}", hint=hint)
        return file.with_suffix(".sig").read_bytes()


def with_signature(content: bytes, before: bytes, key: str | Path, namespace: str) -> bytes:
    """Return the good signatures of content so far, and one by a key in place of its earlier one."""
    new = sign(content, key, namespace)
    (mine,) = signers_of(content, new, namespace)
    kept = {one: signers_of(content, one, namespace) for one in split(before)}
    return b"".join([*(one for one, by in kept.items() if by and by[0].key != mine.key), new])


def split(signatures: bytes) -> list[bytes]:
    """Return each of several signatures; empty if anything else is among them."""
    return re.findall(_ARMORED, signatures) if re.fullmatch(rb"(%b)+" % _ARMORED, signatures) else []


def allowed_signers(path: str | Path) -> bytes:
    """Return a file of allowed signers. Raises DataError if it cannot be read, or has no line with a key."""
    hint = "each line has a name and a public key: `man ssh-keygen`, ALLOWED SIGNERS"
    try:
        allowed = read_regular(path, most=_MOST_ALLOWED)
    except OSError as error:
        raise DataError(
            f"the file of allowed signers {path} cannot be read: {error.strerror}", hint=hint
        ) from None
    if not _ALLOWED.search(allowed):
        raise DataError(
            f"the file of allowed signers {path} has no line such as `NAME ssh-ed25519 AAAA...`", hint=hint
        )
    return allowed


def signers_of(content: bytes, signatures: bytes, namespace: str, allowed: bytes = b"") -> list[Signer]:
    """Return the signer of each good signature; signatures of other bytes or in other namespaces have none.

    Args:
        allowed: allowed signers, for their names.

    Raises DataError without a suitable `ssh-keygen`.
    """
    found: list[Signer] = []
    with tempfile.TemporaryDirectory() as folder:
        file, known = Path(folder, "signature"), Path(folder, "allowed")
        known.write_bytes(allowed)
        for one in split(signatures):
            file.write_bytes(one)
            done = _ssh_keygen(["check-novalidate", "-n", namespace, "-s", str(file)], content)
            key = re.search(r" key (SHA256:[A-Za-z0-9+/]+)$", done.stdout.strip())
            if done.returncode == 0 and key:
                found.append(Signer(key[1], *_principal(content, namespace, file, known)))
    return found


def _principal(content: bytes, namespace: str, file: Path, allowed: Path) -> tuple[str, str]:
    """Return the name that allowed signers give to the key of a good signature, or why they have none."""
    given = ["-f", str(allowed), "-s", str(file)]
    done = _ssh_keygen(["find-principals", *given], b"")
    for name in done.stdout.splitlines():
        done = _ssh_keygen(["verify", "-I", name, "-n", namespace, *given], content)
        if done.returncode == 0:
            return name, ""
    stated = _NOT_VALID.search(done.stderr)
    return "", stated[1].strip() if stated else "the key is not in the file"


def _ssh_keygen(
    words: list[str], given: bytes | None, seconds: float = 0.0
) -> subprocess.CompletedProcess[str]:
    """Run `ssh-keygen -Y`; `given` is its standard input, by default that of this process."""
    command, seconds = ["ssh-keygen", "-Y", *words], seconds or _SECONDS
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=seconds, check=False)
    except FileNotFoundError:
        raise DataError("signatures require ssh-keygen, which is not installed", hint=_HINT) from None
    except subprocess.TimeoutExpired:
        raise DataError(f"ssh-keygen has not ended within {seconds:,.0f} seconds") from None
    texts = [text.decode(errors="replace") for text in (done.stdout, done.stderr)]
    if done.returncode and re.search(r"^(usage:|Unsupported operation|unknown option)", texts[1], re.M):
        raise DataError("signatures require a newer ssh-keygen", hint=_HINT)
    return subprocess.CompletedProcess(done.args, done.returncode, *texts)
