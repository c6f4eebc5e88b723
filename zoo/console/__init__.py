"""Show text, tables and progress on a terminal or in a notebook."""
