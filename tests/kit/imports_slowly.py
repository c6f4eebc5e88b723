"""A plugin whose module takes its time, without computing."""

import time

from broken_plugins import small

time.sleep(1.5)
plugin = small
