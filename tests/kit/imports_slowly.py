"""A plugin whose module takes its time."""

import time

from broken_plugins import small

while time.process_time() < 2:
    pass
plugin = small
