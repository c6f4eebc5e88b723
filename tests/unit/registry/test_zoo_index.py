"""The index of a zoo: which version an id means, and what is refused. test_attacks.py has hostile ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zoo.config.recipe import Recipe
from zoo.errors import CatalogError, WeightsError
from zoo.registry.catalog import Catalog, catalog_of
from zoo.registry.published import WeightsSpec
from zoo.registry.zoo_index import ZooIndex, ZooVersion, parsed_version, read_index

PATH = Path("/zoo/registry.toml")
NEW, OLD, OLDER = "a" * 64, "b" * 64, "b" * 20 + "c" * 44
RECIPE = Recipe(architecture="convnet/mlp", dataset="images/shapes", train={"lr": 0.1}, seed=3)


def version(sha256: str, *, digits: int = 16, seed: int = 3, **fields: Any) -> ZooVersion:
    file = f"weights/net-{sha256[:digits]}.safetensors"
    spec = WeightsSpec(
        recipe="net", sha256=sha256, bytes=9, params=1, metrics={"val": {"loss": 0.1 + 0.2}}, file=file
    )
    intervals = {"val": {"loss": (1e-7, 1.0)}}
    return ZooVersion(replace(spec, intervals=intervals, **fields), replace(RECIPE, seed=seed))


INDEX = ZooIndex(7, {"net": (version(NEW), version(OLD, seed=4), version(OLDER, digits=24))})


def text(index: ZooIndex = INDEX) -> str:
    return index.to_toml().decode()


def test_an_index_is_read_as_it_was_written() -> None:
    read = read_index(INDEX.to_toml(), PATH)
    assert read.serial == 7
    assert [one.recipe for _, one in read.all()] == [one.recipe for _, one in INDEX.all()]
    specs = [replace(one.spec, recipe="net") for _, one in read.all()]
    assert specs == [one.spec for _, one in INDEX.all()]
    assert read.to_toml() == INDEX.to_toml()


def test_a_registry_toml_of_a_zoo_can_be_used_as_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry.toml").write_bytes(INDEX.to_toml())
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "registry.toml"))
    catalog = Catalog.load()
    assert catalog.weights["net"].sha256 == NEW
    assert catalog.weights["net"].file == str(tmp_path / "weights" / f"net-{NEW[:16]}.safetensors")
    assert catalog.recipes["net"].seed == 3


def test_an_id_means_its_newest_version_and_digits_an_older_one() -> None:
    assert INDEX.find("net").spec.sha256 == NEW
    assert INDEX.find("net", OLD[:24]).spec.sha256 == OLD
    assert INDEX.find("net", OLDER).spec.sha256 == OLDER


@pytest.mark.parametrize(
    ("id_", "sha256", "message"),
    [
        ("nets", "", r"^the zoo has no weights 'nets'; did you mean 'net'\?"),
        ("net", OLD[:15], r"^a version must be 16 to 64 hexadecimal digits of its sha256 \(got 'b{15}'\)"),
        ("net", OLD[:15] + "B", "^a version must be 16 to 64 hexadecimal digits"),
        ("net", OLD[:20], r"^several versions fit net@b{20}"),
        ("net", "d" * 16, r"^the zoo has no version net@d{16}"),
    ],
)
def test_unknown_and_ambiguous_versions_are_refused(id_: str, sha256: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        INDEX.find(id_, sha256)


def test_a_withdrawn_version_is_refused_with_the_reason_and_the_newest_that_is_not() -> None:
    withdrawn = version(NEW, withdrawn="trained on test images")
    index = read_index(ZooIndex(8, {"net": (withdrawn, *INDEX.versions["net"][1:])}).to_toml(), PATH)
    for sha256 in ("", NEW[:16]):
        with pytest.raises(WeightsError, match=r"^net@a{16} was withdrawn .*: trained on test im") as error:
            index.find("net", sha256)
        assert error.value.hint == f"the newest version that is not withdrawn is net@{OLD[:16]}"
    assert index.find("net", OLD).spec.sha256 == OLD
    only = ZooIndex(8, {"net": (withdrawn,)})
    with pytest.raises(WeightsError) as error:
        only.find("net")
    assert error.value.hint is None


def test_a_plain_registry_toml_is_not_an_index() -> None:
    content = b"schema = 1\n"
    assert catalog_of(PATH, content).serial == 0
    with pytest.raises(CatalogError, match="is not the index of a zoo"):
        read_index(content, PATH)


def test_names_of_versions_are_split() -> None:
    assert parsed_version("net") == ("net", "")
    assert parsed_version("net@0f") == ("net", "0f")
    assert [parsed_version(name) for name in ("a/b", "a:b", "a.b", "@0f", "net@", "")] == [None] * 6
