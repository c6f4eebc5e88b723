"""A plugin whose module goes elsewhere, and everybody with it."""

import os

from broken_plugins import small

os.chdir("/")
plugin = small
