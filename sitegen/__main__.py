"""Build the site: `python -m sitegen`."""

from __future__ import annotations

import sys

from sitegen.building import main

sys.exit(main())
