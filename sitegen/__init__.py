"""The documentation site: `python -m sitegen` builds it into `site/`, as `make docs` does.

Zensical turns Markdown into pages and runs no plugins of ours, so what has to be generated is written
before it runs: `build/docs` holds a copy of the documentation, with its links changed to fit the site, the
gallery, a page for each public class, and the navigation. `zensical.toml` has the settings of the site.
"""
