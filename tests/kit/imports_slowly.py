"""A plugin whose module takes its time."""

import time

from broken_plugins import small

end = time.process_time() + 0.6
while time.process_time() < end:
    pass
plugin = small
