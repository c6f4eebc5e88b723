"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["HOW_TO", "PAGES", "ROOT", "TUTORIALS", "Block", "blocks", "zoo_commands"]

ROOT = Path(__file__).parents[2]
HOW_TO = sorted((ROOT / "docs" / "how-to").rglob("*.md"))
TUTORIALS = sorted((ROOT / "docs" / "tutorial").glob("*.md"))
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "examples", "examples/lessons")),
]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.S | re.M)
_NAMED = re.compile(r"`(?P<file>[\w./-]+\.\w+)`[^\n]*(?:\n[^\n]+)*\n\n\Z")


class Block(NamedTuple):
    """A fenced block: its language, its text, and the name of its file if the paragraph before has it."""

    language: str
    text: str
    file: str

    @property
    def script(self) -> str:
        """The commands to type, if it has any: all of `sh`, and what follows the prompt `$` in `console`."""
        if self.language == "console":
            return "".join(f"{line}\n" for line in re.findall(r"^\$ (.*)$", self.text, re.M))
        return self.text if self.language == "sh" else ""


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for fence in _FENCE.finditer(text):
        before = text[: fence.start()].rpartition("\n\n")[0].rpartition("\n\n")[2] + "\n\n"
        named = _NAMED.match(before)
        found.append(Block(fence["language"], fence["text"], named["file"] if named else ""))
    return found


def zoo_commands(text: str) -> Iterator[list[str]]:
    """Yield the words after `zoo` of each line of a shell script that calls it; a loop's first round."""
    for name, first in re.findall(r"^for (\w+) in (\S+).*; do$", text, re.M):
        text = text.replace(f"${name}", first)
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):  # a variable before the command
            words.pop(0)
        if words[:1] == ["zoo"]:
            ends = [index for index, word in enumerate(words) if word in ("|", ">", ">>", "&&", ";")]
            yield words[1 : ends[0] if ends else None]
