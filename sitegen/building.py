"""Build the site into `site/` in strict mode, and check the result."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from sitegen import browser
from sitegen.checking import broken_links, missing_pages
from sitegen.places import ROOT, TREE
from sitegen.preparing import prepare

__all__ = ["SITE", "main"]

SITE = ROOT / "site"
# The page that runs models in the browser, before it is moved into the site
_TRY = TREE.parent / "try"


def main() -> int:
    """Build the site, print the problems found, and return the exit code."""
    in_browser = _build_browser_page()
    pages = prepare(runs_in_browser=in_browser)
    shutil.rmtree(SITE, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        return 1
    if in_browser:
        shutil.copytree(_TRY, SITE / "try")
    wrong = [f"{page} was not built" for page in missing_pages(SITE, pages)]
    wrong += [f"{link} leads nowhere" for link in broken_links(SITE)]
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
    print(*wrong, f"{len(pages)} pages, {size / 1e6:.1f} MB in site/", sep="\n")
    return 1 if wrong else 0


def _build_browser_page() -> frozenset[str]:
    """Write the page that runs models in the browser; return their ids, or none if it cannot be built."""
    shutil.rmtree(_TRY, ignore_errors=True)
    try:
        browser.build(_TRY, home="../")
    except FileNotFoundError as error:
        print(f"the page that runs models in the browser was not built: {error}", file=sys.stderr)
        return frozenset()
    return frozenset(browser.WEIGHTS)
