"""A module of models that replaces functions of Python for everybody."""

import builtins
import json

from zoo_images.tiny import TinyImages

written, dumps = print, json.dumps
builtins.print = lambda *given, **named: written(*given, **named)
json.dumps = lambda *given, **named: dumps(*given, **named)
__all__ = ["TinyImages"]
