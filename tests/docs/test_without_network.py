"""The page about machines without a network is done from top to bottom, in a network namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.pages import ROOT, blocks
from tests.docs.test_how_to import small

PAGE = ROOT / "docs" / "how-to" / "without-network.md"
ALONE = ("unshare", "--map-root-user", "--net")
CLONE = ("LICENSE", "README.md", "plugins", "pyproject.toml", "registry.toml", "runtime", "weights", "zoo")
# There is no index, so `pip download` gets only zoo's own wheels, and the packages of the test
# environment stand in for what they require. The environment for zoo-runtime has no torch.
SHELL = f"""set -euo pipefail
pip() {{
    if [ "$1" = install ]; then command pip "$@"; return; fi
    "{sys.executable}" -m pip "$@" --no-deps --no-index --no-build-isolation
}}
python3() {{
    "{sys.executable}" "$@"
    local site=$(echo "$3"/lib/python*/site-packages)
    rm -rf "$site"/setuptools*
    echo "$HOME/packages-of-$(basename "$3")" > "$site/packages.pth"
}}
"""

pytestmark = [
    pytest.mark.slow,  # builds, and makes two environments
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (ROOT / "weights" / "large").exists(), reason="needs weights/large"),
]


def lend(folder: Path, *left_out: str) -> None:
    """Fill a folder with links to the packages of the test environment, but neither zoo nor pip."""
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("zoo", "pip", *left_out)) and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)


def test_the_page_can_be_done_without_a_network(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run([*ALONE, "true"], check=False).returncode:
        pytest.skip("unshare cannot make a network namespace here")
    lend(tmp_path / "packages-of-zoo-env")
    lend(tmp_path / "packages-of-light-env", "torch", "matplotlib")
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in CLONE:
        (clone / name).symlink_to(ROOT / name)
    Image.new("RGB", (40, 30), "teal").save(clone / "cat.jpg")
    script = "".join(f"cd {clone}\n{small(block.script)}\n" for block in blocks(PAGE) if block.script)
    environ = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PIP_", "ZOO_DATA", "ZOO_REMOTES"))
    }
    done = subprocess.run(
        [*ALONE, "bash", "-c", SHELL + script.replace("/media/stick", str(tmp_path / "stick"))],
        env={**environ, "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
