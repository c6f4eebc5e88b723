"""Print the lowest version of each dependency in pyproject.toml, as constraints for pip.

python .ci/lowest.py torch torchvision > lowest.txt     # omits these two
pip install -c lowest.txt -e '.[sweep,testing]'
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))["project"]

groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
for requirement in sorted({item for group in groups for item in group}):
    name, lowest = re.split(r"(?:\[.*\])?>=|,", requirement)[:2]
    if name not in sys.argv[1:]:
        print(f"{name}=={lowest}")
