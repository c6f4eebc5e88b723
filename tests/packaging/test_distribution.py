"""The contents of the wheel and of the source distribution."""

from __future__ import annotations

import hashlib
import os
import re
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
LOCK = ROOT / ".ci" / "ci.txt"
LARGE = ROOT / "weights" / "large"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RUNTIME = tomllib.loads((ROOT / "runtime" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = pytest.mark.skipif(find_spec("hatchling") is None, reason="needs hatchling")


def build(target: str, source: Path, folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    return ZipFile(build("wheel", ROOT, tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the source distribution unpacks to."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


@pytest.mark.slow  # builds
def test_the_wheel_contains_every_module_and_the_registry(wheel: ZipFile) -> None:
    modules = [path.relative_to(ROOT) for path in (ROOT / "zoo").rglob("*.py")]
    modules += [path.relative_to(ROOT / "plugins") for path in (ROOT / "plugins").rglob("*.py")]
    names = set(wheel.namelist())
    assert {path.as_posix() for path in modules} <= names
    assert {"zoo/shipped/registry.toml", "zoo/config/synonyms.toml", "zoo/py.typed"} <= names
    page = {f"zoo/tools/serve/page/{path.name}" for path in (ROOT / "zoo/tools/serve/page").iterdir()}
    assert page == {name for name in names if name.startswith("zoo/tools/serve/page/")}


@pytest.mark.slow  # builds
def test_the_wheel_contains_only_zoo_and_its_plugins(wheel: ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    info = f"zoo_registry-{zoo.__version__}.dist-info"
    assert tops == {"zoo", info, *(path.parent.name for path in (ROOT / "plugins").glob("*/plugin.py"))}
    assert not [name for name in wheel.namelist() if name.endswith((".pyc", ".pkl", ".pt", ".pth"))]


@pytest.mark.slow  # builds
def test_the_registry_in_the_wheel_is_the_one_of_the_checkout(wheel: ZipFile) -> None:
    assert wheel.read("zoo/shipped/registry.toml") == (ROOT / "registry.toml").read_bytes()


@pytest.mark.slow  # builds
def test_small_published_weights_are_where_the_registry_in_the_wheel_looks(wheel: ZipFile) -> None:
    registry = tomllib.loads((ROOT / "registry.toml").read_text(encoding="utf-8"))
    files = [entry["file"] for entry in registry["weights"].values()]
    small = {f"zoo/shipped/{file}" for file in files if file.startswith("weights/small/")}
    assert small
    assert {name for name in wheel.namelist() if name.endswith(".safetensors")} == small
    assert wheel.filename is not None
    assert Path(wheel.filename).stat().st_size < 15_000_000


@pytest.mark.slow  # builds
def test_larger_published_weights_are_a_distribution_without_code(tmp_path: Path) -> None:
    built = ZipFile(build("wheel", LARGE, tmp_path))
    published = tomllib.loads((ROOT / "registry.toml").read_text(encoding="utf-8"))["weights"]
    large = {id_: entry for id_, entry in published.items() if entry["file"].startswith("weights/large/")}
    assert len(large) == 7
    info = f"zoo_weights-{zoo.__version__}.dist-info"
    assert {*built.namelist()} == {
        *(f"zoo_weights/{id_}.safetensors" for id_ in large),
        *(f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")),
    }
    for id_, entry in large.items():
        content = built.read(f"zoo_weights/{id_}.safetensors")
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert built.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


@pytest.mark.skipif(not LARGE.exists(), reason="not in the source distribution")
def test_the_larger_weights_have_the_version_of_zoo_and_its_extra_allows_it() -> None:
    project = tomllib.loads((LARGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == zoo.__version__
    assert project["requires-python"] == PROJECT["requires-python"]
    major, minor = map(int, zoo.__version__.split(".")[:2])
    assert PROJECT["optional-dependencies"]["weights"] == [
        f"{project['name']}>={major}.{minor},<{major}.{minor + 1}"
    ]
    assert "dependencies" not in project


@pytest.mark.nightly  # builds
def test_a_wheel_built_again_elsewhere_has_the_same_bytes(
    wheel: ZipFile, unpacked: Path, tmp_path: Path
) -> None:
    for path in unpacked.rglob("*"):
        os.utime(path, (1e9, 1e9))
    again = build("wheel", unpacked, tmp_path)
    assert wheel.filename is not None
    assert again.read_bytes() == Path(wheel.filename).read_bytes()


@pytest.mark.nightly  # builds
def test_a_source_distribution_built_again_has_the_same_bytes(sdist: Path, tmp_path: Path) -> None:
    assert build("sdist", ROOT, tmp_path).read_bytes() == sdist.read_bytes()


@pytest.mark.slow  # builds
def test_the_source_distribution_contains_only_what_should_ship(unpacked: Path) -> None:
    expected = {
        *("zoo", "plugins", "tests", "benchmarks", "docs", "examples", "runtime", "weights"),
        *("registry.toml", "pyproject.toml", "Makefile", ".gitignore", "PKG-INFO"),
        *("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"),
        *("sitegen", "zensical.toml"),
    }
    assert {path.name for path in unpacked.iterdir()} == expected
    assert [path.name for path in (unpacked / "weights").iterdir()] == ["small"]


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["version"] == zoo.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {zoo.__version__}\n" in citation
    assert f"## {zoo.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_dependency_has_an_upper_bound() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    loose = [item for group in groups for item in group if "<" not in item and "==" not in item]
    assert not loose


def test_every_dependency_has_one_lower_bound() -> None:
    script = ROOT / ".ci" / "lowest.py"
    done = subprocess.run([sys.executable, script, "torch"], check=True, capture_output=True, text=True)
    bounds = dict(line.split("==") for line in done.stdout.splitlines())
    assert len(bounds) == len(done.stdout.splitlines())
    assert bounds["click"] == "8.4"
    assert {"ray", "torchvision", "timm"} <= bounds.keys()
    assert "torch" not in bounds


def test_the_lock_has_every_dependency_with_hashes_and_no_other_index() -> None:
    text = LOCK.read_text(encoding="utf-8")
    locked = {re.split("[=; ]", line)[0] for line in text.splitlines() if re.match("[a-z]", line)}
    required = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    assert {re.split("[<>= ]", item)[0] for item in required} <= locked
    for block in re.split(r"\n(?=[a-z])", text.partition("\n\n")[0].split("\n", 3)[-1]):
        assert re.match(r"[a-z0-9.-]+==[^ ]+( ; [^\\]+)? \\\n", block), block
        assert "--hash=sha256:" in block, block
    assert not re.search(
        r"--(extra-)?index-url|--find-links|://", text.replace("https://pypi.org/simple", "")
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    actions = re.findall(r"uses: *(\S+)(.*)", path.read_text(encoding="utf-8"))
    assert actions
    for action, comment in actions:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: add its version as a comment"


@pytest.mark.slow  # builds
def test_the_runtime_is_the_same_code_without_torch_and_weights(tmp_path: Path) -> None:
    names = ZipFile(build("wheel", ROOT / "runtime", tmp_path)).namelist()
    (info,) = {name.partition("/")[0] for name in names if ".dist-info" in name}
    kept = {"zoo_charrnn", "zoo_convnet", "zoo_images", "zoo_text"}
    assert {name.partition("/")[0] for name in names} == {"zoo", info, *kept}
    assert not [name for name in names if name.endswith((".pyc", ".safetensors"))]
    folders = {path.name for path in (ROOT / "zoo" / "tools").iterdir() if path.is_dir()} - {"export"}
    left = ("zoo/testing/", *(f"zoo/tools/{folder}/" for folder in folders))
    assert not [name for name in names if name.startswith(left)]
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "zoo").rglob("*.py")}
    assert {name for name in ours if not name.startswith(left)} | {
        "zoo/shipped/registry.toml",
        "zoo/config/synonyms.toml",
    } <= set(names)


def test_the_runtime_needs_nothing_that_zoo_does_not() -> None:
    full = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["export"]}
    assert set(RUNTIME["dependencies"]) <= full
    assert not [need for need in RUNTIME["dependencies"] if need.startswith(("torch", "matplotlib", "onnx>"))]
    assert RUNTIME["version"] == PROJECT["version"] == zoo.__version__
    assert RUNTIME["requires-python"] == PROJECT["requires-python"]
    assert RUNTIME["scripts"] == PROJECT["scripts"]
    assert RUNTIME["entry-points"]["zoo"].items() <= PROJECT["entry-points"]["zoo"].items()
