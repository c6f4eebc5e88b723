"""A self-contained HTML page, which people open in a browser: a report of runs, or a model card."""

from __future__ import annotations

from html import escape

from zoo.errors import shortened


def html_page(title: str, body: str) -> str:
    """Return a page with a heading. It needs no other file, and fits a dark or narrow screen.

    Args:
        title: any text.
        body: HTML. A paragraph or a `<div>` scrolls if it is too wide; with `tabindex="0"`, also by keyboard.
    """
    return _PAGE.format(title=escape(shortened(title)), body=body)


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }}
h1, h2, p, li {{ overflow-wrap: anywhere }}
div, p {{ overflow-x: auto }}
div, table {{ margin-bottom: 2rem }}
table {{ border-collapse: collapse; font-size: 14px }}
th, td {{ padding: .3rem .7rem; text-align: left; white-space: nowrap; border-bottom: 1px solid #8884 }}
td:last-child {{ white-space: normal; overflow-wrap: anywhere; min-width: 9rem }}
.n {{ text-align: right; font-variant-numeric: tabular-nums }}
pre {{ background: #8882; padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere }}
img {{ min-width: 40rem; max-width: 100% }}
</style>
<main>
<h1>{title}</h1>
{body}
</main>
</html>
"""
