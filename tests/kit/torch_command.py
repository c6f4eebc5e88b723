"""A command whose help has to wait for torch."""

import torch
from broken_commands import count

command = count if torch else None
