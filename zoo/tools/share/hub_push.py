"""Push trained weights to the Hugging Face Hub, where `hf:owner/name` means them.

All files are part of one commit, which states the commit that it follows. If a push fails, no file has
changed, but a first push can leave an empty model. If it is repeated, unchanged files make no commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config.arguments import checked
from zoo.console.progress import Bar, quiet
from zoo.errors import OptionError, OutputError, warn
from zoo.files.cards import read_card
from zoo.files.downloads import is_offline, require_sha256
from zoo.registry.hub_client import hub_client
from zoo.registry.hub_weights import ABOUT, REVISION, WEIGHTS, HubName, downloaded, parsed
from zoo.registry.registry import Registry, default_registry
from zoo.tools.share.model_card import card
from zoo.tools.share.public_recipe import refuse_private, refuse_private_card
from zoo.tools.share.publish import publishable

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

README = "README.md"


@checked
def push(
    weights: str | Path,
    to: str,
    *,
    private: bool = False,
    pr: bool = False,
    tag: str = "",
    license: str = "",  # noqa: A002 - the word of the Hub
    dry_run: bool = False,
    progress: bool = True,
    registry: Registry | None = None,
) -> dict[str, Any]:
    """Push trained weights to the Hugging Face Hub, or to a server that `HF_ENDPOINT` names.

    ::

        zoo.push("runs/shapes", "hf:me/shapes", license="MIT")
        zoo.load("hf:me/shapes")

    One commit adds the weights file, a README.md with the model card, and a config.json. What `publish`
    refuses is refused here, too. A README.md that was edited on the Hub does not change.

    Args:
        weights: a finished run directory, for its best weights, or a weights file.
        to: the repository on the Hub, `hf:OWNER/NAME`. It is created if it does not exist.
        private: create a private repository; an existing one must already be private.
        pr: open a pull request instead of changing the model.
        tag: tag of the commit, such as `v1`, for `hf:OWNER/NAME@v1`. A tag is never moved.
        license: license of the weights, such as `MIT`.
        dry_run: check the weights without pushing them; this does not use the network.
        progress: show progress on stderr or in the notebook.
        registry: registry to use; by default, the installed plugins and registry.toml.

    Returns:
        `{name, tag, commit, url, pull_request, new, files: [{name, bytes, sha256}]}`. `new` is False if
        nothing has changed since an earlier push. A dry run has no `commit`.

    Raises:
        WeightsError: a run is not finished, a file is damaged, or the model or its data has no name that
            others could use.
        OptionError: an argument is invalid, or there is no token.
        OutputError: the repository exists and is public, or the tag names another commit.
        DataError: the server refuses the push or cannot be reached.
        SpecError: huggingface_hub is not installed.
    """
    from zoo.tools.share.hub_files import about, readme  # imports numpy

    target = parsed(to)
    if target is None or target.revision:
        raise OptionError(f"the repository to push to must be hf:OWNER/NAME (got {to!r:.200})")
    if pr and (tag or private):
        raise OptionError("pr cannot be combined with tag or private")
    if tag and not (REVISION.fullmatch(tag) and ".." not in tag):  # or `hf:OWNER/NAME@TAG` could not be typed
        raise OptionError(f"tag must be letters, digits and - . _ / without .. (got {tag!r:.80})")
    refuse_private({"license": license, "name": target.repository.partition("/")[2]}, "the arguments")
    registry = default_registry() if registry is None else registry
    if not dry_run:
        _require_access(to)
    with Bar() if progress else quiet():
        ready = publishable(weights, "model", license, registry, None, measure=not dry_run)
        spec, stored = ready.version.spec, read_card(ready.path)
        described = card(weights, name=to, measure=not dry_run, progress=False, registry=registry)
        described.fields["license"] = license
        described.fields["intervals"] = {**spec.intervals, **described.fields.get("intervals", {})}
        refuse_private_card(described.fields, f"the model card of {to}")
        content = ready.path.read_bytes()
        require_sha256(ready.path, hashlib.sha256(content).hexdigest(), spec.sha256)
        with hub_client(to):
            page = readme(to, described, stored, spec, registry)
        files = {WEIGHTS: content, README: page, ABOUT: about(stored, spec)}
        made = {} if dry_run else _committed(to, target.repository, files, private=private, pr=pr, tag=tag)
    rows = [
        {"name": name, "bytes": len(each), "sha256": hashlib.sha256(each).hexdigest()}
        for name, each in files.items()
    ]
    unmade = {"commit": "", "url": "", "pull_request": "", "new": True}
    return {"name": to, "tag": tag, **unmade, **made, "files": rows}


def _require_access(name: str) -> None:
    """Raise OptionError without the network or without a token, before anything is measured."""
    with hub_client(name):
        from huggingface_hub import constants, get_token

        if is_offline() or constants.HF_HUB_OFFLINE:
            hint = "unset HF_HUB_OFFLINE and ZOO_OFFLINE"
            raise OptionError(f"{name} cannot be pushed: the network is disabled", hint=hint)
        if not get_token():
            hint = "`hf auth login` stores one, or set HF_TOKEN"
            raise OptionError("there is no token for the Hub, so nothing can be pushed", hint=hint)


def _committed(
    name: str, repository: str, files: Mapping[str, bytes], *, private: bool, pr: bool, tag: str
) -> dict[str, Any]:
    """Commit files in one step, and return what was made."""
    with hub_client(name):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi()
        if not pr:
            api.create_repo(repository, private=private or None, exist_ok=True)
        before = api.model_info(repository, files_metadata=bool(tag))
        if private and not before.private:
            hint = "make it private in its settings on the Hub, or push without --private"
            raise OutputError(f"{name} exists and is public", hint=hint)
        tags = {each.name: each.target_commit for each in api.list_repo_refs(repository).tags} if tag else {}
        if _is_edited(name, repository, before):
            files = {path: content for path, content in files.items() if path != README}
        if tag in tags and (tags[tag] != before.sha or not _has(before, files)):
            hint = "a tag is never moved; choose a new one"
            raise OutputError(f"{name}: the tag {tag} names another commit, {tags[tag][:12]}", hint=hint)
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        done = api.create_commit(
            repository,
            operations,
            commit_message=f"Push weights {hashlib.sha256(files[WEIGHTS]).hexdigest()[:16]}",
            parent_commit=before.sha,
            create_pr=pr,
        )
        if tag:
            api.create_tag(repository, tag=tag, revision=done.oid, exist_ok=True)
    return {
        "commit": done.oid,
        "url": f"{api.endpoint}/{repository}",
        "pull_request": done.pr_url or "",
        "new": done.oid != before.sha,
    }


def _has(model: ModelInfo, files: Mapping[str, bytes]) -> bool:
    """Return whether files of a model, described with their metadata, have this content."""
    stored = {each.rfilename: each.lfs.sha256 if each.lfs else each.blob_id for each in model.siblings or []}
    return all(stored.get(path) in _checksums(content) for path, content in files.items())


def _checksums(content: bytes) -> tuple[str, str]:
    """Return the checksums of a file by git-lfs or Xet, and by git."""
    blob = b"blob %d\0" % len(content) + content
    return hashlib.sha256(content).hexdigest(), hashlib.sha1(blob, usedforsecurity=False).hexdigest()


def _is_edited(name: str, repository: str, model: ModelInfo) -> bool:
    """Return whether a model has a README.md that zoo did not write, and warn about it."""
    from zoo.tools.share.hub_files import is_unedited

    if README not in [file.rfilename for file in model.siblings or []]:
        return False
    there, _ = downloaded(name, HubName(repository, model.sha or ""), README)
    edited = not is_unedited(there.read_bytes().decode(errors="replace"))
    if edited:
        warn(f"{name}: {README} was edited on the Hub and stays as it is; delete it there to replace it")
    return edited
