"""A model card for people: what a model is, how good it is, and how anyone can check that.

A weights file contains a card for zoo (`zoo.files.cards.Card`). A model card adds what the registry knows and
what can be measured, and explains it. What is not known is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.config.arguments import checked
from zoo.console.progress import Bar, quiet
from zoo.errors import warn
from zoo.files.cards import read_weights
from zoo.files.hashes import sha256_of
from zoo.files.signatures import allowed_signers
from zoo.registry.exported_files import read_exported
from zoo.registry.registry import Registry, default_registry
from zoo.registry.remotes import remote_signers, with_zoos
from zoo.registry.weights_files import locate_weights
from zoo.registry.zoo_index import FOLDER
from zoo.tools.compare.attestations import FOLDER as ATTESTATIONS
from zoo.tools.compare.attestations import attestations_in
from zoo.tools.share.card_text import as_html, as_markdown


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelCard:
    """A model card. A notebook displays it as Markdown.

    Attributes:
        fields: all that is known, as JSON data.
        figures: PNG and JPEG files by name, such as `confusion.png`.
    """

    fields: dict[str, Any]
    figures: dict[str, bytes]

    def markdown(self, links: Mapping[str, str] | None = None) -> str:
        """Return the card as Markdown.

        Args:
            links: the addresses of figures, by name; other figures are left out.
        """
        return as_markdown(self.fields, links or {})

    def html(self) -> str:
        """Return the card as an HTML page that contains its figures."""
        return as_html(self.fields, self.figures)

    def _repr_markdown_(self) -> str:
        return self.markdown()


def with_known(fields: Mapping[str, Any], figures: dict[str, bytes]) -> ModelCard:
    """Return a card with those of the fields that are known."""
    known = {name: value for name, value in fields.items() if value not in ("", None, {}, [])}
    return ModelCard(fields=known, figures=figures)


@checked
def card(
    weights: str | Path,
    *,
    name: str | None = None,
    measure: bool = True,
    data: Mapping[str, Any] | None = None,
    signers: str | Path = "",
    last: bool = False,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
) -> ModelCard:
    """Return a model card: a description of a model for people.

    It contains the purpose and limits of the model, its data and licenses, its training and cost, its metrics
    with their intervals, the commands to use, verify and reproduce it, and who has confirmed that, by the
    attestations in the folder `attestations` of its zoo or next to the file. Each field comes from the file,
    from the registry or from measuring the model on its test split, or `val` if there is no test split. What
    is not known is left out; for what cannot be measured, zoo issues a warning with the reason.

    Args:
        weights: a published id, a weights file, a run directory or an exported file.
        name: name of the model in the card and its commands, instead of the id or path of the weights.
        measure: measure the results by class, the calibration, the confused classes and heat maps, or
            generate a sample text.
        data: dataset options that locate the training data, such as `root`.
        signers: file with allowed signers (see `man ssh-keygen`), whose names the card shows for
            attestations; by default, that of the remote. Other keys are shown by their fingerprint.
        last: describe the last weights of a run directory instead of the best ones.
        device: device, such as `cpu` or `cuda`; by default, a GPU if one is available.
        progress: show progress on stderr or in the notebook.
        registry: registry to use; by default, the installed plugins and registry.toml.

    Raises:
        WeightsError: the file or id does not exist, or the file is damaged.
        DataError: a published file is damaged or missing, or cannot be downloaded.
    """
    # what imports numpy or torch
    from zoo.api.load_weights import load
    from zoo.tools.share.known_fields import known_fields
    from zoo.tools.share.measured_fields import Draft, add_history, add_measured

    registry = with_zoos(default_registry() if registry is None else registry, weights)
    with Bar() if progress else quiet():
        path, sha256 = locate_weights(registry, weights, last=last)
        exported = read_exported(registry, path, sha256=sha256)
        stored = exported.card if exported else read_weights(path, sha256=sha256)[0]
        fields = known_fields(
            *(weights, name or weights, path, stored, registry),
            sha256=sha256 or sha256_of(path),
            exported=exported is not None,
        )
        fields["confirmations"] = _confirmations(path, fields["sha256"], signers or remote_signers(weights))
    draft = Draft(fields=fields)
    if Path(weights).is_dir():
        add_history(draft, Path(weights), registry)
    if measure:
        model = load(weights, last=last, device=device, progress=progress, registry=registry)
        add_measured(draft, model, data, progress=progress)
    for why, parts in draft.left_out.items():
        warn(f"left out {', '.join(parts)}: {why}")
    return with_known(fields, draft.figures)


def _confirmations(path: Path, sha256: str, signers: str | Path) -> list[dict[str, str]]:
    """Return who has confirmed a file, by the attestations of its folder or of its zoo."""
    folder = path.parent.parent if path.parent.name == FOLDER else path.parent
    allowed = allowed_signers(signers) if signers else b""
    return attestations_in(folder / ATTESTATIONS, {sha256}, allowed).get(sha256, [])
