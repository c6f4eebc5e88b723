"""A plugin whose module sets a variable for everybody."""

import os

from broken_plugins import small

os.environ["KIT_MUTANT"] = "1"
plugin = small
