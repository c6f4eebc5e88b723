"""The documentation site: `python -m sitegen` builds it into `site/`, as `make docs` does.

Zensical renders Markdown but does not run custom plugins, so generated pages are written before it runs.
`build/docs` contains a copy of the documentation with links adapted to the site, the gallery, a page for each
public class, and the navigation. `zensical.toml` contains the site's settings.
"""
