"""Attacks on a zoo whose index must be signed: on index, serial, signature, attestations and names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.keys import Keys
from tests.unit.registry.test_zoo_index import NEW, OLD, text
from zoo.errors import ZooError
from zoo.files import signatures
from zoo.files.canonical import readable_json
from zoo.files.hashes import sha256_of
from zoo.registry.zoo_index import signature_file

ADA = "ada@example.org"


def _file(name: str) -> Callable[[str], str]:
    return lambda index: index.replace(f"weights/net-{NEW[:16]}.safetensors", name)


ON_THE_INDEX: dict[str, tuple[Callable[[str], str], str]] = {
    "no serial": (lambda index: index.replace("serial = 7", ""), "is not the index of a zoo: it has no s"),
    "negative serial": (lambda index: index.replace("serial = 7", "serial = -7"), "serial: expected .* >= 0"),
    "plugins": (lambda index: f'{index}\n[plugins]\ndisabled = ["images"]', r"cannot contain \[plugins\]"),
    "plugin files": (lambda index: index.replace("serial", 'plugin_files = ["x.py"]\nserial'), "plugin f"),
    "unknown key": (lambda index: index.replace("serial", "code = 1\nserial"), "unknown field code"),
    "target": (lambda index: index.replace('recipe = "net"', 'recipe = "net"\ntarget = "os:x"', 1), "target"),
    "parent": (_file(f"../weights/net-{NEW[:16]}.safetensors"), "the file of net must be weights/net-a"),
    "inside parent": (_file(f"weights/../net-{NEW[:16]}.safetensors"), "the file of net must be weights/n"),
    "absolute": (_file("/etc/passwd"), "the file of net must be weights/net-a"),
    "other folder": (_file(f"elsewhere/net-{NEW[:16]}.safetensors"), "the file of net must be weights/net"),
    "other id": (_file(f"weights/other-{NEW[:16]}.safetensors"), "the file of net must be weights/net-a"),
    "other sha256": (_file(f"weights/net-{'d' * 16}.safetensors"), "the file of net must be weights/net-a"),
    "few digits": (_file("weights/net-aaaaaaaa.safetensors"), "the file of net must be weights/net-a"),
    "pickle": (_file(f"weights/net-{NEW[:16]}.pth"), "the file of net must be weights/net-a"),
    "url": (
        lambda index: index.replace('recipe = "net"', 'recipe = "net"\nurl = "https://x.org/y"', 1),
        r"the file of net must be .* \(got 'https://x.org/y'\)",
    ),
    "no recipe": (lambda index: index.replace('recipe = "net"', 'recipe = "other"'), "the recipe 'other'"),
    "start from a path": (
        lambda index: index.replace('dataset = "images/shapes"', 'dataset = "x"\nfrom_weights = "./x"', 1),
        "starts from './x', which is not an id",
    ),
    "start from a plugin": (
        lambda index: index.replace('dataset = "images/shapes"', 'dataset = "x"\nfrom_weights = "a/b"', 1),
        "starts from 'a/b', which is not an id",
    ),
    "colon": (lambda index: index.replace("[weights.net]", '[weights."team:net"]'), "cannot be called"),
    "at": (lambda index: index.replace("[recipes.net]", '[recipes."net@1"]'), "a recipe cannot be called"),
    "twice": (lambda index: index.replace(OLD, NEW).replace(OLD[:16], NEW[:16]), "the same sha256"),
    "lost": (lambda index: re.sub(r"older\.net(?=[.\]])", "older.lost", index), "older versions of lost"),
    "not utf-8": (lambda index: index + "\udcff", "is not valid TOML"),
}  # fmt: skip


@dataclass(frozen=True)
class Zoo:
    """A signed zoo with the weights `net` and an attestation, which an attack may change.

    Attributes:
        older: the content of its index before the last change.
    """

    folder: Path
    keys: Keys
    signers: Path
    older: str

    @property
    def index(self) -> Path:
        return self.folder / "registry.toml"

    @property
    def signature(self) -> Path:
        return self.folder / signature_file(self.index.read_bytes())

    @property
    def file(self) -> Path:
        return next((self.folder / "weights").glob("net-*"))

    @property
    def statement(self) -> Path:
        return next((self.folder / "attestations").glob("*.json"))

    def put(self, index: str, key: str = "ada", namespace: str = signatures.INDEX) -> None:
        """Replace the index, signed by a key, which an attacker has seldom."""
        self.index.write_bytes(index.encode(errors="surrogateescape"))
        content = self.index.read_bytes()
        self.signature.write_bytes(signatures.sign(content, getattr(self.keys, key), namespace))

    def state(self, change: Callable[[Any], object], key: str = "eve", namespace: str = "") -> None:
        """Change the statement, and sign it."""
        table = json.loads(self.statement.read_text(encoding="utf-8"))
        change(table)
        self.statement.write_text(readable_json(table), encoding="utf-8")
        self.sign_statement(key, namespace or signatures.ATTESTATION)

    def sign_statement(self, key: str, namespace: str) -> None:
        content = self.statement.read_bytes()
        signed = signatures.sign(content, getattr(self.keys, key), namespace)
        self.statement.with_suffix(".json.sig").write_bytes(signed)


Change = Callable[[Zoo], object]


def _flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def _flip_index(team: Zoo) -> None:
    before = team.signature
    _flip(team.index, -3)
    shutil.copy(before, team.signature)


def _replay(team: Zoo) -> None:
    team.index.write_text(team.older, encoding="utf-8")
    assert team.signature.is_file(), "it was signed"


def _forget(team: Zoo) -> None:
    shutil.rmtree(os.environ["ZOO_CACHE"])
    _replay(team)


def _old_signature(team: Zoo) -> None:
    shutil.copy(team.folder / signature_file(team.older.encode()), team.signature)


def _allow(*options: str) -> Change:
    return lambda team: team.signers.write_text(team.keys.line(*options), encoding="utf-8")


def _with_tests(**lists: list[Any]) -> Callable[[Any], object]:
    return lambda statement: statement["predicate"].update(lists)


def _at(time: str) -> Callable[[Any], object]:
    return lambda statement: statement["predicate"].update(zoo_finishedOn=time)


def _rewrite(old: str, new: str) -> Change:
    def change(team: Zoo) -> None:
        text = team.statement.read_text(encoding="utf-8")
        assert old in text
        team.statement.write_text(text.replace(old, new, 1), encoding="utf-8")
        team.sign_statement("eve", signatures.ATTESTATION)

    return change


def _other_zoo_file(team: Zoo) -> None:
    content = bytearray(team.file.read_bytes())
    content[-1] ^= 1
    team.file.write_bytes(content)


# A valid signature of a hostile index changes nothing: its publisher may be hostile, or lose the key
ON_LOADING: dict[str, tuple[Change, str]] = {
    name: (lambda team, change=change: team.put(change(text())), message)
    for name, (change, message) in ON_THE_INDEX.items()
} | {
    "an older index": (_replay, "team: serial 1 is older than 2, which this machine has seen"),
    "an older index, with an empty cache": (_forget, "serial 1 is older than 2"),
    "another index of the same serial": (
        lambda team: team.put(team.index.read_text().replace("bytes = 1", "bytes = 2")),
        "serial 2 has a different content than this machine has seen",
    ),
    "not signed": (lambda team: team.signature.unlink(), "no readable signature: .* No such file"),
    "signed by a key that is not allowed": (
        lambda team: team.put(team.index.read_text(), "eve"),
        r"team is not signed by a key that .* allows, but by SHA256:\S+ \(the key is not in the file\)",
    ),
    "a changed bit in the index": (_flip_index, "team has no valid signature: its index was changed"),
    "a changed bit in the signature": (lambda team: _flip(team.signature, 200), "has no valid signature"),
    "the signature of an older index": (_old_signature, "team has no valid signature"),
    "the signature of an attestation": (
        lambda team: team.put(team.index.read_text(), namespace=signatures.ATTESTATION),
        "team has no valid signature: its index was changed, or signed for something else",
    ),
    "the signature of a git commit": (
        lambda team: team.put(team.index.read_text(), namespace="git"),
        "team has no valid signature",
    ),
    "text around the signature": (
        lambda team: team.signature.write_bytes(b"signed:\n" + team.signature.read_bytes()),
        "team has no valid signature",
    ),
    "an empty signature": (lambda team: team.signature.write_bytes(b""), "team has no valid signature"),
    "too many signatures": (
        lambda team: team.signature.write_bytes(team.signature.read_bytes() * 200),
        "no readable signature: .* it has more than 32,768 bytes",
    ),
    "a pipe for a signature": (
        lambda team: (team.signature.unlink(), os.mkfifo(team.signature)),
        "no readable signature: .* it is a pipe",
    ),
    "an expired key": (_allow('valid-before="20200101"'), r"but by SHA256:\S+ \(key has expired"),
    "a key that is not valid yet": (_allow('valid-after="20990101"'), r"but by SHA256:\S+ \(key is not yet"),
    "a key that is allowed for git only": (
        _allow('namespaces="git"'),
        r'\(key is not permitted for use in signature namespace "zoo-index"\)',
    ),
    "no keys": (lambda team: team.signers.write_text(""), "has no line such as"),
    "no file of keys": (lambda team: team.signers.unlink(), "allowed signers .* cannot be read: No such"),
    "keys in the current folder": (
        lambda team: Path(os.environ["ZOO_REMOTES"]).write_text(
            f'[team]\naddress = "{team.folder}"\nsigners = "signers"\n'
        ),
        r"\[team\] signers must be an absolute path \(got 'signers'\)",
    ),
    "other weights": (_other_zoo_file, "has the wrong content: expected sha256"),
}  # fmt: skip

ON_ATTESTATIONS: dict[str, tuple[Change, str]] = {
    "a changed bit in a statement": (
        lambda team: _flip(team.statement, team.statement.read_bytes().index(b"processor") + 13),
        "its signature is for other bytes, or not for an attestation",
    ),
    "a better result": (
        lambda team: team.statement.write_text(team.statement.read_text().replace("val loss", "val LOSS")),
        "its signature is for other bytes, or not for an attestation",
    ),
    "a statement signed as an index": (
        lambda team: team.sign_statement("ada", signatures.INDEX),
        "its signature is for other bytes, or not for an attestation",
    ),
    "a statement signed as a git commit": (
        lambda team: team.sign_statement("ada", "git"),
        "its signature is for other bytes, or not for an attestation",
    ),
    "a statement without a signature": (
        lambda team: team.statement.with_suffix(".json.sig").unlink(),
        "No such file",
    ),
    "a statement with the signature of the index": (
        lambda team: shutil.copy(team.signature, team.statement.with_suffix(".json.sig")),
        "its signature is for other bytes, or not for an attestation",
    ),
    "a statement about other weights": (
        lambda team: team.state(lambda table: table["subject"][0]["digest"].update(sha256="0" * 64)),
        "",
    ),
    "a statement about several files": (
        lambda team: team.state(lambda table: table["subject"].append({"digest": {"sha256": "0" * 64}})),
        "it is not an in-toto statement about one file",
    ),
    "a subject that is given twice": (
        _rewrite('"subject"', '"subject": [], "subject"'),
        "a key is repeated",
    ),
    "a result that its tests contradict": (
        lambda team: team.state(_with_tests(failedTests=["val loss"])),
        "its result does not follow from its tests",
    ),
    "a result with a test that is repeated": (
        lambda team: team.state(_with_tests(passedTests=["val loss"] * 1_000)),
        "its tests have no names, or a name twice",
    ),
    "a result with tests that are no texts": (
        lambda team: team.state(_with_tests(passedTests=[["val loss"], {}])),
        "its tests have no names, or a name twice",
    ),
    "a day that does not exist": (
        lambda team: team.state(_at("2026-99-99T00:00:00Z")),
        "it does not state when the work was done",
    ),
    "a result without tests": (
        lambda team: team.state(_with_tests(passedTests=[])),
        "neither SLSA provenance nor a test result by zoo",
    ),
    "a provenance by something else": (
        lambda team: team.state(lambda table: table.update(predicateType="https://slsa.dev/provenance/v1")),
        "neither SLSA provenance nor a test result by zoo",
    ),
    "a statement of more than 1 MB": (
        lambda team: team.state(lambda table: table["predicate"].update(zoo_recipe="x" * (1 << 20))),
        "it has more than 1,048,576 bytes",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def published(net_file: Path, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a signed zoo with two changes, whose signatures are both there, and an attestation by Ada."""
    folder = tmp_path_factory.mktemp("zoos") / "team"
    zoo.publish(net_file, folder, name="net", sign=keys.ada, progress=False)
    shutil.copy(folder / "registry.toml", folder.parent / "older.toml")
    zoo.publish(net_file, folder, name="other", sign=keys.ada, progress=False)
    zoo.verify(net_file, attest=keys.ada, out=folder / "attestations", progress=False)
    return folder


@pytest.fixture
def team(published: Path, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """Return a copy of the zoo, which is the remote `team` of this test, and was used."""
    monkeypatch.setenv("ZOO_REMOTES", str(tmp_path / "remotes.toml"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_STATE", str(tmp_path / "state"))
    folder, signers = shutil.copytree(published, tmp_path / "team"), tmp_path / "signers"
    shutil.copy(keys.signers, signers)
    older = (published.parent / "older.toml").read_text(encoding="utf-8")
    zoo.add_remote("team", str(folder), signers=signers)
    assert zoo.load("team:net", progress=False).card
    return Zoo(folder, keys, signers, older)


def confirmations(team: Zoo) -> tuple[list[dict[str, str]], str]:
    """Return what the card of `net` states about who confirmed it, and the warnings."""
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always")
        card = zoo.card(team.file, measure=False, signers=team.signers, progress=False)
    texts = [str(each.message) for each in noticed if "attestation" in str(each.message)]
    return card.fields.get("confirmations", []), "\n".join(texts)


def test_there_are_at_least_40_attacks() -> None:
    assert len(ON_LOADING) + len(ON_ATTESTATIONS) >= 40


@pytest.mark.parametrize("attack", ON_LOADING)
def test_an_attack_on_a_zoo_is_refused(team: Zoo, attack: str) -> None:
    change, message = ON_LOADING[attack]
    change(team)
    with pytest.raises(ZooError, match=message):
        zoo.load("team:net", progress=False)


@pytest.mark.parametrize("attack", ON_ATTESTATIONS)
def test_a_false_attestation_is_not_shown(team: Zoo, attack: str) -> None:
    assert confirmations(team)[0][0]["by"] == ADA
    change, message = ON_ATTESTATIONS[attack]
    change(team)
    shown, warned = confirmations(team)
    assert shown == []
    assert re.search(message, warned)
    assert bool(warned) == bool(message), "a false one has one line, one of other weights has none"
    assert warned.count("\n") == 0


def test_copies_of_an_attestation_count_once(team: Zoo) -> None:
    statement = team.statement
    for number in range(3):
        for suffix in (".json", ".json.sig"):
            shutil.copy(statement.with_suffix(suffix), statement.with_name(f"net-{number}{suffix}"))
    ((row,), warned) = confirmations(team)
    assert (row["by"], warned) == (ADA, "")


def test_attestations_that_are_too_many_are_not_left_out_in_silence(team: Zoo) -> None:
    other = re.sub("[0-9a-f]{64}", "0" * 64, team.statement.read_text())
    for number in range(200):
        (team.folder / "attestations" / f"a{number:03}.json").write_text(other)
    shown, warned = confirmations(team)
    assert shown == []
    assert "attestations: read only the first 200 of 201 attestations" in warned


def test_nobody_can_attest_in_the_name_of_another(team: Zoo) -> None:
    team.state(lambda table: table["subject"][0].update(name=ADA))
    ((row,), _) = confirmations(team)
    assert row["by"].startswith("SHA256:")


def test_texts_of_a_statement_are_escaped(team: Zoo) -> None:
    hostile = {"versions": {"zoo": "<b>|", "x": [1]}, "processor": "[a](http://b)\x1b[31m", "device": "`"}
    team.state(lambda table: table["predicate"].update(zoo_environment=hostile))
    zoo.publish([], team.folder, progress=False)
    with warnings.catch_warnings(action="ignore"):
        page = zoo.card(team.file, measure=False, progress=False).html()
    assert "<b>" not in page
    assert 'href="http:' not in page
    readme = (team.folder / "README.md").read_text(encoding="utf-8")
    assert r"zoo \<b\>\|, x \[1\], \[a\](http://b)\\x1b\[31m, \`" in readme


def test_plain_ssh_keygen_verifies_both_kinds_of_signature(team: Zoo) -> None:
    for namespace, file, signature in (
        ("zoo-index", team.index, team.signature),
        ("zoo-attestation", team.statement, team.statement.with_suffix(".json.sig")),
    ):
        words = ["-Y", "verify", "-f", team.signers, "-I", ADA, "-n", namespace, "-s", signature]
        done = subprocess.run(["ssh-keygen", *words], input=file.read_bytes(), capture_output=True)
        assert done.returncode == 0, done.stderr
    assert json.loads(team.statement.read_bytes())["subject"][0]["digest"] == {"sha256": sha256_of(team.file)}
