"""Signatures by `ssh-keygen`: keys with a passphrase and of an agent, and what is missing."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.keys import Keys
from zoo.errors import DataError, OutputError
from zoo.files import signatures

SIGN = """
import sys
from zoo.files import signatures
signed = signatures.sign(b"content", sys.argv[1], signatures.INDEX)
print(len(signatures.signers_of(b"content", signed, signatures.INDEX)), "signer")
"""


@pytest.fixture
def locked(keys: Keys, tmp_path: Path) -> Path:
    """Return a key with a passphrase."""
    for name in ("ada", "ada.pub"):
        shutil.copy(keys.ada.with_name(name), tmp_path / name)
    words = ["-q", "-p", "-P", "", "-N", "open sesame", "-f", tmp_path / "ada"]
    subprocess.run(["ssh-keygen", *words], check=True, capture_output=True)
    return tmp_path / "ada"


def test_a_passphrase_is_asked_for_on_the_terminal(locked: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", SIGN, str(locked)])
    shown = b""
    while b"passphrase" not in shown:
        shown += os.read(terminal, 1_000)
    os.write(terminal, b"open sesame\n")
    while b"signer" not in shown:
        shown += os.read(terminal, 1_000)  # OSError if it ends without it
    assert b"1 signer" in shown
    assert os.waitpid(child, 0)[1] == 0
    os.close(terminal)


def test_a_key_that_cannot_sign_is_reported(locked: Path, keys: Keys) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGN, locked], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    line = f'{locked} cannot sign: Load key "{locked}": incorrect passphrase supplied to decrypt private key'
    assert line in done.stderr
    with pytest.raises(OutputError, match=r"signers cannot sign: .*public key"):
        signatures.sign(b"content", keys.signers, signatures.INDEX)


def test_a_public_key_signs_by_the_agent(keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("ssh-agent") is None:
        pytest.skip("needs ssh-agent")
    public = Path(shutil.copy(keys.ada.with_suffix(".pub"), tmp_path / "only.pub"))
    with pytest.raises(OutputError, match="cannot sign"):
        signatures.sign(b"content", public, signatures.INDEX)
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout
            agent.stdout.readline()  # it listens
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            subprocess.run(["ssh-add", "-q", keys.ada], check=True)
            signed = signatures.sign(b"content", public, signatures.INDEX)
        finally:
            agent.send_signal(signal.SIGTERM)
    allowed = keys.signers.read_bytes()
    (by,) = signatures.signers_of(b"content", signed, signatures.INDEX, allowed)
    assert by.principal == "ada@example.org"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("", "signatures require ssh-keygen, which is not installed"),
        ("echo 'unknown option -- Y' >&2; exit 1", "signatures require a newer ssh-keygen"),
        ("sleep 9", "ssh-keygen has not ended within 0 seconds"),
    ],
)
def test_a_missing_an_old_and_a_hanging_program_are_reported(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    signed = signatures.sign(b"content", keys.ada, signatures.INDEX)
    if program:
        (tmp_path / "ssh-keygen").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "ssh-keygen").chmod(0o755)
        if "sleep" in program:
            monkeypatch.setattr(signatures, "_SECONDS", 0.2)
    monkeypatch.setenv("PATH", f"{tmp_path}" if "sleep" not in program else f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(DataError, match=message):
        signatures.signers_of(b"content", signed, signatures.INDEX)
