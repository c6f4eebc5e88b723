"""Pages that show a text in color, and the order of a text that was read as parallel streams."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.plugin import style

_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{heading}</title>
<style>
body {{ font: 16px/1.6 system-ui, sans-serif; color: {ink}; background: {paper}; max-width: 46em;
  margin: 2.5em auto; padding: 0 1.2em }}
h1 {{ font-size: 1.5em; margin-bottom: .2em }}
h2 {{ font-size: 1em; margin: 2.2em 0 .5em }}
p {{ color: {muted}; margin: .4em 0 }}
pre {{ font: 15px/1.75 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0;
  border-left: 3px solid {faint}; padding-left: 1em }}
i {{ font-style: normal; padding: .1em .7em; color: {ink} }}
</style>
<h1>{heading}</h1>
{intro}
{sections}
"""

Colored = Iterable[tuple[str, str, str]]
"""The text of each token, the color behind it, and what is shown when one points at it."""


def page(heading: str, intro: Sequence[str], sections: Iterable[tuple[str, Colored]]) -> bytes:
    """Return an HTML page: a heading, paragraphs of HTML, and titled sections with tokens in color."""
    parts = [
        f"<h2>{html.escape(visible(title))}</h2>\n<pre>{''.join(map(_span, tokens))}</pre>"
        for title, tokens in sections
    ]
    return _PAGE.format(
        heading=html.escape(heading),
        intro="\n".join(f"<p>{paragraph}</p>" for paragraph in intro),
        sections="\n".join(parts),
        ink=style.INK,
        muted=style.MUTED,
        faint=style.FAINT,
        paper=style.PAPER,
    ).encode()


def _span(token: tuple[str, str, str]) -> str:
    word, color, note = token
    end = "\n" if "\n" in word else ""
    return f'<span style="background: {color}" title="{note}">{html.escape(visible(word))}</span>{end}'


def scale(colors: Mapping[str, str]) -> str:
    """Return the legend of a scale as HTML: each label on its color."""
    return "".join(f'<i style="background: {color}">{label}</i>' for label, color in colors.items())


def visible(word: str) -> str:
    """Return a token on one line: a newline becomes ↵, and a control character becomes a dot."""
    return "".join("↵" if sign == "\n" else sign if sign.isprintable() else "·" for sign in word)


def token_texts(preprocess: Mapping[str, Any]) -> list[str]:
    """Return the text of each token of the vocabulary."""
    eos = preprocess.get("newline_eos", False)
    return ["\n" if eos and token == "<eos>" else str(token) for token in preprocess["vocabulary"]]


def in_order(runs: Iterable[Sequence[Tensor]], *, backwards: bool) -> Tensor:
    """Return what was computed for each token in the order of the text, (N, ...).

    The parallel streams of a batch are consecutive parts of the text.

    Args:
        runs: for each text that was read from a fresh state, the results of its batches, (T, B, ...).
        backwards: whether the model reads the text from its end.
    """
    read = torch.cat([torch.cat([*parts]).transpose(0, 1).flatten(0, 1) for parts in runs])
    return read.flip(0) if backwards else read
