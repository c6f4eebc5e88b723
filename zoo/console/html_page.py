"""Self-contained HTML pages, which people open in a browser: reports of runs, and model cards."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from zoo.errors import shortened


def html_page(title: str, body: str) -> str:
    """Return a page with a heading. It needs no other file, and follows a dark or narrow screen.

    Args:
        title: any text.
        body: HTML, such as that of the functions below.
    """
    return _PAGE.format(title=escape(shortened(title)), body=body)


def html_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, about: str) -> str:
    """Return a table of any values; None is an empty cell, and numbers are aligned on the right."""
    lines = "\n".join([_row(head, "th"), *(_row(row, "td") for row in rows)])
    return _scrolling(f"<table>\n{lines}\n</table>", about)


def html_image(content: bytes, *, about: str) -> str:
    """Return an image that contains its file, a PNG or a JPEG."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    data = base64.b64encode(content).decode()
    return _scrolling(f'<img alt="{escape(shortened(about))}" src="data:image/{kind};base64,{data}">', about)


def _scrolling(content: str, about: str) -> str:
    label = escape(shortened(about))
    return f'<div tabindex="0" role="region" aria-label="{label}">{content}</div>'


def _row(values: Sequence[object], tag: str) -> str:
    cells = [f"<{tag}{' class=n' * isinstance(v, int | float)}>{escape(_text(v))}</{tag}>" for v in values]
    return f"<tr>{''.join(cells)}</tr>"


def _text(value: object) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else shortened(str(value))


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }}
h1, p, li {{ overflow-wrap: anywhere }}
div {{ overflow-x: auto; margin-bottom: 2rem }}
table {{ border-collapse: collapse; font-size: 14px }}
th, td {{ padding: .3rem .7rem; text-align: left; white-space: nowrap; border-bottom: 1px solid #8884 }}
.n {{ text-align: right; font-variant-numeric: tabular-nums }}
pre {{ background: #8882; overflow-x: auto; padding: .7rem }}
img {{ min-width: 40rem; max-width: 100% }}
</style>
<main>
<h1>{title}</h1>
{body}
</main>
</html>
"""
