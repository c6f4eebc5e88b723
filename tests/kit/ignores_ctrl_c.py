"""A plugin whose module keeps Ctrl-C from doing anything."""

import signal

from broken_plugins import small

signal.signal(signal.SIGINT, signal.SIG_IGN)
plugin = small
