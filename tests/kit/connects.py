"""A module of models that asks for something on the network when it is imported."""

import contextlib
import socket

from zoo_images.tiny import TinyImages

with contextlib.suppress(OSError):
    socket.create_connection(("localhost", 9), timeout=1)
__all__ = ["TinyImages"]
