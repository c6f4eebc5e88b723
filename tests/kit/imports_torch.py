"""A plugin whose module imports torch."""

import torch
from broken_plugins import small

assert torch
plugin = small
