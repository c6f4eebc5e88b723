"""The files of a zoo that follow from its index: a page for people, checksums, and a file that is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from zoo.config.recipe import Recipe
from zoo.console.figures import figures
from zoo.errors import ZooError
from zoo.files.canonical import readable_json
from zoo.registry.registry import Registry
from zoo.registry.zoo_index import INDEX, ZooIndex, ZooVersion
from zoo.tools.share.card_text import confirmations_table, plain

# The name that the pages of a zoo give it, and the folder of its model cards
REMOTE, CARDS = "team", "cards"
_README = """# A model zoo

Trained models for PyTorch, in the format of `zoo`. Give this folder or its https address a name:

```sh
zoo remote add {remote} ADDRESS
zoo list --remote {remote}
zoo predict {remote}:{first} INPUT
```

Every file is checked against [{index}]({index}) before it is loaded. `sha256sum -c SHA256SUMS` checks the
index and the weights without zoo, `zoo verify {remote}:ID` measures the metrics again, and `zoo reproduce
{remote}:ID` trains the model again. Each id links to its model card.

| id | model | data | metrics (95% interval) | parameters | size | license (data) | sha256 |
|---|---|---|---|---|---|---|---|
{rows}
"""


_CONFIRMED = """
## Confirmed by

Each row is a signed statement in the folder `attestations`. The publisher knows the owners of keys with a
name; a key that is shown by its fingerprint can be anyone's. `zoo card` verifies the signatures again.

{table}
"""


def derived_files(
    index: ZooIndex,
    content: bytes,
    confirmations: Mapping[str, Sequence[Mapping[str, str]]] = MappingProxyType({}),
    cards: Collection[str] = (),
    registry: Registry | None = None,
) -> dict[str, bytes]:
    """Return the content of README.md, config.json and SHA256SUMS by name.

    Args:
        content: content of the index, which somebody may have edited.
        confirmations: who has confirmed which weights, by their sha256, as `attestations_in` returns it.
        cards: files of model cards that README.md can link to.
        registry: what knows the units of metrics; without it, they are shown without units.
    """
    files = {INDEX: hashlib.sha256(content).hexdigest()}
    files |= {
        version.spec.file: version.spec.sha256 for _, version in index.all() if not version.spec.withdrawn
    }
    sums = "".join(f"{sha256}  {name}\n" for name, sha256 in files.items())
    about = {"library_name": "zoo", "index": INDEX}  # what the Hugging Face Hub counts as a download
    return {
        "README.md": _page(index, confirmations, cards, registry).encode(),
        "config.json": f"{readable_json(about)}\n".encode(),
        "SHA256SUMS": sums.encode(),
    }


def card_file(id_: str) -> str:
    """Return the file of an id's model card, relative to the zoo's folder."""
    return f"{CARDS}/{id_}.md"


def _page(
    index: ZooIndex,
    confirmations: Mapping[str, Sequence[Mapping[str, str]]],
    cards: Collection[str],
    registry: Registry | None,
) -> str:
    confirmed = [
        {"id": f"{id_}@{version.digits}", **row}
        for id_, version in index.all()
        for row in confirmations.get(version.spec.sha256, ())
    ]
    after = _CONFIRMED.format(table=confirmations_table(confirmed)) if confirmed else ""
    rows = [_row(_named(index, id_, version, cards), version, registry) for id_, version in index.all()]
    first = next((id_ for id_, version in index.all() if not version.spec.withdrawn), "ID")
    return _README.format(remote=REMOTE, first=first, index=INDEX, rows="\n".join(rows)) + after


def _named(index: ZooIndex, id_: str, version: ZooVersion, cards: Collection[str]) -> str:
    """Return the name of a version, with a link to its model card if there is one."""
    name = plain(id_ if version is index.versions[id_][0] else f"{id_}@{version.digits}")
    has_card = version is index.newest(id_) and card_file(id_) in cards
    return f"[{name}]({card_file(id_)})" if has_card else name


def _row(name: str, version: ZooVersion, registry: Registry | None) -> str:
    spec, recipe = version.spec, version.recipe
    units = _units(recipe, registry)
    metrics = "; ".join(
        f"{split} {figures(found, units, spec.intervals.get(split, {}))}"
        for split, found in spec.metrics.items()
    )
    licenses = f"{spec.license or 'not stated'} ({spec.data_license or 'not stated'})"
    cells = [
        recipe.architecture,
        recipe.dataset,
        f"withdrawn: {spec.withdrawn}" if spec.withdrawn else metrics,
        f"{spec.params:,}",
        f"{spec.bytes:,} bytes",
        licenses,
    ]
    return f"| {name} | {' | '.join(map(plain, cells))} | `{spec.sha256}` |"


def _units(recipe: Recipe, registry: Registry | None) -> Mapping[str, str]:
    """Return the units of the metrics; none if the architecture belongs to a plugin that is not installed."""
    try:
        return {**registry.task_of(recipe).units, **registry.metric_units} if registry else {}
    except ZooError:
        return {}
