"""A plugin whose module decides for everybody which warnings are shown."""

import warnings

from broken_plugins import small

warnings.simplefilter("ignore", ResourceWarning)
plugin = small
