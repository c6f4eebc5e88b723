"""Report the size of the built site, and of the files that a browser requests for its home page.

    make docs && python -m sitegen.weighing

It requires playwright and Chromium. Text files are counted at their size after gzip compression.
"""

from __future__ import annotations

import shutil
from typing import Any

from sitegen.building import SITE
from sitegen.serving import serving

__all__ = ["first_load"]


def main() -> None:
    """Print both."""
    from playwright.sync_api import sync_playwright  # the tests of the site have a browser of their own

    files = [path for path in SITE.rglob("*") if path.is_file()]
    print(f"{len(files):,} files, {sum(path.stat().st_size for path in files):,} bytes")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        loaded = first_load(browser)
        browser.close()
    for path, size in loaded.items():
        print(f"{size:>10,}  {path}")
    print(f"{sum(loaded.values()):>10,}  in all")


def first_load(browser: Any, page: str = "/") -> dict[str, int]:
    """Return the bytes of each file that a browser without a cache requests for a page."""
    with serving(SITE) as served:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.new_page().goto(f"{served.url}{page}", wait_until="networkidle")
        context.close()
        return dict(served.sent)


if __name__ == "__main__":
    main()
