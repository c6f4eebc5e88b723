"""What each process of a test does: commands of zoo, one after the other."""

from __future__ import annotations

import json
import os
import sys

from zoo.cli import run

if __name__ == "__main__":
    for arguments in json.loads(sys.argv[1]):
        if code := run(arguments):
            break
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
