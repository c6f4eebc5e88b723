"""A reader who types what a page says, in a folder of theirs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, Block

__all__ = ["do", "type_in"]

# A reader's `zoo` is that of this repository, pip works offline, and what it installs lies in `site`; that of
# `-e` is linked there, so that it can be changed
_SHELL = f"""set -euo pipefail
zoo() {{ "{sys.executable}" -m zoo "$@"; }}
python() {{ "{sys.executable}" "$@"; }}
pip() {{
    local source=""
    if [ "$2" = -e ]; then source=$3; set -- "$1" "./$3"; fi
    "{sys.executable}" -m pip "$@" --quiet --no-deps --no-build-isolation --no-index --target site
    if [ "$source" ]; then
        for package in "$PWD/$source"/zoo_*; do
            rm -r "site/$(basename "$package")"
            ln -s "$package" site
        done
    fi
}}
"""


def do(block: Block, folder: Path, namespace: dict[str, object]) -> None:
    """Write the file that a block is, or run its commands."""
    if block.file:
        (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        exec(compile(block.text, "<page>", "exec"), namespace)
    elif block.script:
        script = re.sub(r"^make demo.*$", lambda _: _demo(), block.script, flags=re.M)
        variables = str(namespace.get("variables", ""))
        type_in(f"{variables}{script}", folder, ZOO_DATA=str(folder / "data"))
        set_here = re.findall(r"^(?:export|unset) .*\n", block.script, re.M)
        namespace["variables"] = f"{variables}{''.join(set_here)}"  # for the blocks that follow


def type_in(script: str, folder: Path, **environ: str) -> str:
    """Run a script in a folder and return what it printed. Fails at an exit code or a traceback."""
    search = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        ["bash", "-c", _SHELL + script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}"
    assert "Traceback" not in done.stdout, f"{script}\n{done.stdout[-4000:]}"
    return done.stdout


def _demo() -> str:
    """Return the commands of `make demo`."""
    (commands,) = re.findall(
        r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M
    )
    return re.sub(r"^\t@?", "", commands.replace("$(BIN)/", "").replace("$$", "$"), flags=re.M)
