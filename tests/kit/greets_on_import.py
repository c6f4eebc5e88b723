"""A plugin whose module greets whoever imports it."""

import os

from broken_plugins import small

os.write(1, b"welcome to mutants 1.0\n")
plugin = small
