"""Publish trained weights in a folder, which is then a zoo: on a shared disk, a web server or in a bucket.

Files of weights are written first, under names with their sha256. Replacing the index then publishes them.
README.md, the model cards, config.json and SHA256SUMS follow from it; if a publisher is killed before they
are written, the next one writes them. Signatures of an index are written before it, under a name with its
sha256.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zoo.config.arguments import checked
from zoo.console.progress import Bar, quiet
from zoo.errors import OptionError, OutputError, RunError, WeightsError, ZooError, warn
from zoo.files import run_files, signatures
from zoo.files.atomic import atomic_write, sweep
from zoo.files.cards import CHECKPOINT, KEY, read_weights
from zoo.files.downloads import require_sha256
from zoo.files.hashes import sha256_of
from zoo.files.regular import read_regular
from zoo.registry import hub_weights
from zoo.registry.published import WEIGHTS_ID, WeightsSpec
from zoo.registry.registry import Registry, default_registry
from zoo.registry.remotes import read_folder
from zoo.registry.weights_files import is_finished, locate_weights
from zoo.registry.zoo_index import (
    DIGITS,
    FOLDER,
    INDEX,
    MOST_BYTES,
    SIGNATURES,
    ZooIndex,
    ZooVersion,
    parsed_version,
    read_index,
    signature_file,
)
from zoo.runs.lock import owned
from zoo.tools.compare.attestations import FOLDER as ATTESTATIONS
from zoo.tools.compare.attestations import attestations_in
from zoo.tools.share.public_recipe import public_recipe, refuse_private
from zoo.tools.share.zoo_files import CARDS, card_file, derived_files

if TYPE_CHECKING:
    from zoo.api.model import Model
    from zoo.interfaces import Split

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Publishable:
    """Weights to publish: their file, and what the index states about it."""

    id: str
    path: Path
    version: ZooVersion


@checked
def publish(
    runs: Any,
    folder: str | Path,
    *,
    name: str | None = None,
    license: str = "",  # noqa: A002 - the word of the index
    sign: str | Path = "",
    signers: str | Path = "",
    withdraw: str = "",
    reason: str = "",
    dry_run: bool = False,
    progress: bool = True,
    registry: Registry | None = None,
) -> dict[str, Any]:
    """Publish finished runs in a folder, which others can use as a zoo.

    ::

        zoo.publish(["runs/a", "runs/b"], "team-zoo", license="MIT")

    The metrics are measured again for their confidence intervals, if the card does not have them. Other bytes
    under an id become its newest version; published weights never change. A run is refused if a text in it
    contains a path, or the name of this machine or its user. Once a zoo is signed, every change must be.

    Args:
        runs: a list of run directories, for their best weights, or of files of weights; or a single one.
            Without runs, only the files that follow from the index are written and, with `sign`, a signature.
        folder: folder of the zoo, which is created if it does not exist.
        name: id of the weights; by default, the name of the run directory or file.
        license: license of the weights, such as `MIT`. To change it later, publish them again.
        sign: SSH key to sign the index with: a private key file, or a public one whose private key is in the
            SSH agent. If the index does not change, its other signatures are kept.
        signers: file with allowed signers (see `man ssh-keygen`), whose names README.md and the model cards
            show for attestations. Other keys are shown by their fingerprint.
        withdraw: version to withdraw, so that it is not used anymore: `ID` for the newest one, or
            `ID@SHA256`. No runs can be published at the same time.
        reason: why the version is withdrawn; its users will read this text.
        dry_run: check the runs without publishing them.
        progress: show progress on stderr or in the notebook.
        registry: registry to use; by default, the installed plugins and registry.toml.

    Returns:
        `{folder, serial, signature, weights: [{id, sha256, bytes, license, new}]}`. `new` is False for
        weights that were published before. `serial` counts the changes of the zoo. `signature` is the file
        with the signatures of the index, or None.

    Raises:
        WeightsError: a run is not finished, a file is damaged, or the model or its data has no name that
            others could use.
        OutputError: the folder is not a zoo, is in use by another publisher, is signed and would not be
            anymore, was changed since it was signed, or cannot be written to.
        OptionError: an id or an argument is invalid.
    """
    folder = Path(folder)
    given: list[str | Path] = [runs] if isinstance(runs, str | Path) else [*runs]
    if given and withdraw:
        raise OptionError(
            "runs cannot be published and withdrawn at once", hint="publish and withdraw with two commands"
        )
    if withdraw and not reason:
        raise OptionError(
            "withdraw requires a reason", hint="pass it with --reason; users of the version will read it"
        )
    if reason and not withdraw:
        raise OptionError("reason requires an id to withdraw", hint="pass it with --withdraw")
    if name is not None and len(given) != 1:
        raise OptionError("name can be set only for a single run")
    if license and not given:
        raise OptionError(
            "license requires a run", hint="to change the license of weights, publish their run again"
        )
    refuse_private({"license": license, "reason": reason}, "the arguments")
    if hub_weights.parsed(str(folder)):
        hint = f"`zoo push RUN {folder}` publishes there"
        raise OptionError(f"{folder} is a model on the Hugging Face Hub, not a folder", hint=hint)
    registry = default_registry() if registry is None else registry
    commit = partial(
        _committed,
        folder,
        registry=registry,
        sign=signatures.require_key(sign) if sign else None,
        allowed=signatures.allowed_signers(signers) if signers else b"",
        dry_run=dry_run,
    )
    if not given:
        _require_zoo(folder)
        with _zoo(folder, dry_run=dry_run) as index:
            changed, rows = _withdrawn(index, withdraw, reason) if withdraw else (index, [])
            return commit(index, changed, rows)
    _index(folder)  # which may be refused, as the next line does, before the work
    _require_signature(folder, sign)
    with Bar() if progress else quiet():
        found = [publishable(run, name, license, registry, folder, measure=not dry_run) for run in given]
        ids = [weights.id for weights in found]
        if twice := next((id_ for id_ in ids if ids.count(id_) > 1), ""):
            hint = "publish one of them alone, with a different --name"
            raise OptionError(f"two runs have the name {twice!r}", hint=hint)
    with _zoo(folder, dry_run=dry_run) as index:
        changed, rows = _added(index, found)
        if not dry_run:
            with Bar() if progress else quiet():
                _write_weights(folder, found)
        return commit(index, changed, rows)  # without a bar, in which a passphrase could not be typed


def publishable(
    run: str | Path, name: str | None, terms: str, registry: Registry, folder: Path | None, *, measure: bool
) -> Publishable:
    """Check a run, and return what to publish in a zoo's folder, or elsewhere if there is none.

    Raises WeightsError if it cannot be published.
    """
    from zoo.api.load_weights import load

    path, pinned = locate_weights(registry, run)
    id_ = name or _id(run, path)
    if not WEIGHTS_ID.fullmatch(id_):
        hint = "choose one with --name: letters, digits, - and _"
        raise OptionError(f"{id_!r:.80} cannot be the id of weights", hint=hint)
    of_run = path.name in run_files.WEIGHTS and (path.parent / run_files.CONFIG).is_file()
    if of_run and not is_finished(path):
        hint = f"`zoo resume {shlex.quote(str(path.parent))}` continues it"
        raise WeightsError(f"the run {path.parent} is not finished, so it cannot be published", hint=hint)
    sha256 = pinned or sha256_of(path)
    card, content = read_weights(path, sha256=sha256)
    if CHECKPOINT in content.metadata:
        hint = "publish the run directory"
        raise WeightsError(f"{path} is a checkpoint, which cannot be published", hint=hint)
    others = {key: value for key, value in content.metadata.items() if key != KEY}
    refuse_private({"id": id_, "metadata": others, **card.to_dict()}, str(path))
    recipe = public_recipe(card, registry, folder)
    data_license = registry.dataset(recipe.dataset).spec.license
    refuse_private({"license": data_license}, recipe.dataset)  # which a plugin states
    model = load(path, device="cpu", progress=False, registry=registry)
    spec = WeightsSpec(
        recipe=id_,
        sha256=sha256,
        bytes=content.size,
        params=model.num_parameters,
        metrics=card.metrics,
        file=f"{FOLDER}/{id_}-{sha256[:DIGITS]}.safetensors",
        by_seed=card.by_seed,
        license=terms,
        intervals=_intervals(model) if measure else card.intervals,
        data_license=data_license,
    )
    return Publishable(id=id_, path=path, version=ZooVersion(spec, recipe))


def _id(run: str | Path, path: Path) -> str:
    """Return the id of weights that the user does not name: the name of their run, zoo or file."""
    if hub := hub_weights.parsed(str(run)):
        return hub.repository.rpartition("/")[2]
    version = parsed_version(str(run).rpartition(":")[2])
    if version and not Path(run).exists():
        return version[0]
    is_run = path.name in run_files.WEIGHTS
    return path.resolve().parent.name if is_run else path.stem


def _intervals(model: Model) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the confidence intervals of a card's metrics, measured for the splits for which it has none."""
    intervals = {**model.card.intervals}
    for split, metrics in model.card.metrics.items():
        if split in intervals:
            continue
        try:
            measured = model.evaluate(cast("Split", split), progress=False)["intervals"]
        except ZooError as error:
            warn(f"{model.path} is published without intervals of its {split} metrics: {error}")
            continue
        intervals[split] = {key: tuple(measured[key]) for key in metrics if key in measured}
    return intervals


def _require_zoo(folder: Path) -> None:
    """Raise OutputError if there is no zoo in a folder: a new one needs a run."""
    if not (folder / INDEX).exists():
        hint = "`zoo publish RUN... FOLDER` creates a zoo"
        raise OutputError(f"{folder} is not a zoo, and without a run there is nothing to publish", hint=hint)


@contextlib.contextmanager
def _zoo(folder: Path, *, dry_run: bool) -> Generator[ZooIndex]:
    """Lock a zoo's folder, which is created if necessary, and yield its index. Raises OutputError."""
    if dry_run:
        yield _index(folder)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context(owned(folder))
            except RunError as error:
                raise OutputError(str(error), hint="wait until the other publisher has finished") from None
            stack.callback(os.ftruncate, lock.lock, 0)  # it names this machine, and the folder may be copied
            yield _index(folder)
    except OSError as error:
        raise OutputError(f"{error.filename or folder} cannot be written: {error.strerror}") from None


def _index(folder: Path) -> ZooIndex:
    """Return the index of a zoo; an empty one for a new folder. Raises OutputError."""
    if (folder / INDEX).exists():
        content = read_folder(folder)
        _require_unaltered(folder, content)
        return read_index(content, folder / INDEX)
    if (folder / run_files.CONFIG).exists():
        message = f"{folder} is a run directory, not a zoo"
        raise OutputError(message, hint="name the folder of the zoo last: `zoo publish RUN... FOLDER`")
    if taken := [name for name in derived_files(ZooIndex(), b"") if (folder / name).exists()]:
        message = f"{folder} is not a zoo, and publishing would overwrite its {taken[0]}"
        raise OutputError(message, hint="choose a new folder")
    return ZooIndex()


def _added(index: ZooIndex, found: Sequence[Publishable]) -> tuple[ZooIndex, list[dict[str, Any]]]:
    """Return the index with new versions, and a row for each."""
    versions = dict(index.versions)
    rows: list[dict[str, Any]] = []
    for weights in found:
        spec, before = weights.version.spec, versions.get(weights.id, ())
        same = [version for version in before if version.spec.sha256 == spec.sha256]
        if same and same[0].spec.withdrawn:
            message = f"{weights.id}@{spec.sha256[:DIGITS]} was withdrawn: {same[0].spec.withdrawn}"
            raise WeightsError(message, hint="its bytes cannot be published under this id again")
        if any(version.spec.file == spec.file for version in before) and not same:
            raise WeightsError(
                f"another version of {weights.id} has the same first {DIGITS} digits of its sha256"
            )
        if not same:
            versions[weights.id] = (weights.version, *before)
        elif spec.license:  # the only fact about published bytes that can change
            versions[weights.id] = tuple(_licensed(version, spec) for version in before)
        terms = spec.license or (same[0].spec.license if same else "")
        row = {"id": weights.id, "sha256": spec.sha256, "bytes": spec.bytes, "license": terms}
        rows.append(row | {"new": not same})
    changed = versions != dict(index.versions)
    return ZooIndex(index.serial + 1, versions) if changed else index, rows


def _licensed(version: ZooVersion, spec: WeightsSpec) -> ZooVersion:
    """Return a version, with the license of a spec if it has the same bytes."""
    same = version.spec.sha256 == spec.sha256
    return ZooVersion(replace(version.spec, license=spec.license), version.recipe) if same else version


def _withdrawn(index: ZooIndex, name: str, reason: str) -> tuple[ZooIndex, list[dict[str, Any]]]:
    """Return the index with a withdrawn version, and its row."""
    split = parsed_version(name)
    if split is None:
        raise OptionError(f"withdraw must be ID or ID@SHA256 (got {name!r:.80})")
    if not reason.strip() or not reason.isprintable() or len(reason) > 500:
        raise OptionError("reason must be one line of at most 500 characters")
    id_, _ = split
    version = index.any(*split)
    if version.spec.withdrawn:
        raise WeightsError(f"{id_}@{version.digits} was withdrawn before: {version.spec.withdrawn}")
    spec = replace(version.spec, withdrawn=reason)
    others = [ZooVersion(spec, version.recipe) if each is version else each for each in index.versions[id_]]
    row = {"id": id_, "sha256": spec.sha256, "bytes": spec.bytes, "license": spec.license}
    row |= {"new": False, "withdrawn": reason}
    return ZooIndex(index.serial + 1, {**index.versions, id_: tuple(others)}), [row]


def _write_weights(folder: Path, found: Sequence[Publishable]) -> None:
    """Write the files of weights that are missing or damaged."""
    (folder / FOLDER).mkdir(exist_ok=True)
    for place in (folder, folder / FOLDER, folder / CARDS):
        sweep(place)
    for weights in found:
        spec = weights.version.spec
        place = folder / spec.file
        if place.is_file() and not place.is_symlink() and sha256_of(place) == spec.sha256:
            continue
        with atomic_write(place) as file, weights.path.open("rb") as source:
            digest = hashlib.sha256()
            while block := source.read(_BLOCK):
                file.write(block)
                digest.update(block)
            require_sha256(weights.path, digest.hexdigest(), spec.sha256)


def _require_signature(folder: Path, sign: object) -> None:
    """Raise OutputError if the index of a signed zoo would not be signed anymore."""
    if not sign and any((folder / SIGNATURES).glob("*.sig")):
        hint = f"sign with --sign KEY; to stop signing, delete {folder / SIGNATURES}"
        raise OutputError(f"{folder} is signed, and its users may refuse an unsigned index", hint=hint)


def _require_unaltered(folder: Path, content: bytes) -> None:
    """Raise OutputError if the index of a signed zoo is not one that was signed."""
    signature = folder / signature_file(content)
    if not any((folder / SIGNATURES).glob("*.sig")):
        return
    stored = read_regular(signature, most=signatures.MOST_BYTES) if signature.is_file() else b""
    if not signatures.signers_of(content, stored, signatures.INDEX):
        hint = (
            f"restore it from a copy; if you changed it yourself, delete {folder / SIGNATURES} and sign again"
        )
        raise OutputError(f"{folder / INDEX} was changed since it was signed", hint=hint)


def _committed(
    folder: Path,
    before: ZooIndex,
    index: ZooIndex,
    rows: list[dict[str, Any]],
    *,
    registry: Registry,
    sign: Path | None,
    allowed: bytes,
    dry_run: bool,
) -> dict[str, Any]:
    """Sign the index, replace it if it changed, then the files that follow from it; return the result."""
    changed = index is not before
    old = read_folder(folder) if (folder / INDEX).exists() else b""
    content = index.to_toml() if changed else old
    if len(content) > MOST_BYTES:
        message = f"the index would have {len(content):,} bytes, and more than {MOST_BYTES:,} cannot be read"
        raise OutputError(message, hint="publish these weights in another folder")
    signature = folder / signature_file(content)
    if changed:
        _require_signature(folder, sign)
    if not dry_run:
        if sign:
            _sign(signature, content, sign)
        shas = {version.spec.sha256 for _, version in index.all()}
        confirmed = attestations_in(folder / ATTESTATIONS, shas, allowed)
        files = {INDEX: content, **_derived(folder, index, content, confirmed, registry)}
        for name, each in files.items():
            if not (folder / name).is_file() or (folder / name).read_bytes() != each:
                with atomic_write(folder / name) as file:
                    file.write(each)
        for path in (folder / SIGNATURES).glob("*.sig") if changed else ():
            if path not in (signature, folder / signature_file(old)):  # which a reader may be about to open
                path.unlink()
    named = signature_file(content) if signature.is_file() else None
    return {"folder": str(folder), "serial": index.serial, "weights": rows, "signature": named}


def _derived(
    folder: Path,
    index: ZooIndex,
    content: bytes,
    confirmed: Mapping[str, Sequence[Mapping[str, str]]],
    registry: Registry,
) -> dict[str, bytes]:
    """Return the files that follow from an index, after removing the cards of ids that were withdrawn."""
    from zoo.tools.share.zoo_cards import model_cards  # imports numpy

    (folder / CARDS).mkdir(exist_ok=True)
    cards = model_cards(folder, index, confirmed, registry)
    for id_ in index.versions:
        if index.newest(id_) is None:
            (folder / card_file(id_)).unlink(missing_ok=True)
    there = {f"{CARDS}/{path.name}" for path in (folder / CARDS).glob("*.md")}
    return derived_files(index, content, confirmed, cards.keys() | there, registry) | cards


def _sign(signature: Path, content: bytes, key: Path) -> None:
    """Add a signature to those of an index."""
    signature.parent.mkdir(exist_ok=True)
    sweep(signature.parent)
    before = read_regular(signature, most=signatures.MOST_BYTES) if signature.is_file() else b""
    with atomic_write(signature) as file:
        file.write(signatures.with_signature(content, before, key, signatures.INDEX))
