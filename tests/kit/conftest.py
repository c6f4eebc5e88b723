"""Makes the broken plugins importable, here and in the processes the kit starts."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
