"""What is in the wheel and the source distribution."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

import zoo

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = pytest.mark.skipif(find_spec("hatchling") is None, reason="needs hatchling")


def build(target: str, source: Path, folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    return ZipFile(build("wheel", ROOT, tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the source distribution unpacks to."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


def test_the_wheel_holds_every_module_and_the_registry(wheel: ZipFile) -> None:
    modules = [path.relative_to(ROOT) for path in (ROOT / "zoo").rglob("*.py")]
    modules += [path.relative_to(ROOT / "plugins") for path in (ROOT / "plugins").rglob("*.py")]
    held = set(wheel.namelist())
    assert {path.as_posix() for path in modules} <= held
    assert {"zoo/registry.toml", "zoo/py.typed"} <= held


def test_the_wheel_holds_nothing_but_zoo_and_its_plugins(wheel: ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    info = f"zoo_registry-{zoo.__version__}.dist-info"
    assert tops == {"zoo", info, *(path.parent.name for path in (ROOT / "plugins").glob("*/plugin.py"))}
    assert not [name for name in wheel.namelist() if name.endswith((".pyc", ".pkl", ".pt", ".pth"))]


def test_the_registry_in_the_wheel_is_the_one_of_the_checkout(wheel: ZipFile) -> None:
    assert wheel.read("zoo/registry.toml") == (ROOT / "registry.toml").read_bytes()


def test_published_weights_ship_where_the_registry_in_the_wheel_looks(wheel: ZipFile) -> None:
    registry = tomllib.loads((ROOT / "registry.toml").read_text(encoding="utf-8"))
    files = {f"zoo/{entry['file']}" for entry in registry.get("weights", {}).values() if "file" in entry}
    assert files <= set(wheel.namelist()), "add them to force-include, and to the sdist's include"


def test_the_source_distribution_makes_the_same_wheel(wheel: ZipFile, unpacked: Path, tmp_path: Path) -> None:
    with ZipFile(build("wheel", unpacked, tmp_path)) as again:
        assert {item.filename: item.CRC for item in again.infolist()} == {
            item.filename: item.CRC for item in wheel.infolist()
        }


def test_the_source_distribution_holds_only_what_is_meant_to_ship(unpacked: Path) -> None:
    meant = {
        *("zoo", "plugins", "tests", "benchmarks", "docs", "weights"),
        *("registry.toml", "pyproject.toml", "Makefile", ".gitignore", "PKG-INFO"),
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
    }
    assert {path.name for path in unpacked.iterdir()} == meant


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["version"] == zoo.__version__
    assert f"## {zoo.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_dependency_has_an_upper_bound() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    loose = [item for group in groups for item in group if "<" not in item and "==" not in item]
    assert not loose
