"""A plugin whose module asks another program something."""

import subprocess
import sys

from broken_plugins import small

subprocess.run([sys.executable, "-c", ""], check=True)
plugin = small
