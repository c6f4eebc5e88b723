"""A plugin whose module imports torch."""

import torch
from broken_plugins import small

assert torch
imports_without_torch = small
