"""A plugin that tries to keep the contract kit from reporting what it finds."""

import atexit
import os
import threading
import time

from zoo import DatasetSpec, hookimpl
from zoo_images.tiny import TinyImages

atexit.register(os._exit, 0)
threading.Thread(target=time.sleep, args=[1_000]).start()
os.write(1, b"{no JSON}\n")


class Ends(TinyImages):
    """End the process, as a crash does."""

    def __init__(self):
        os._exit(0)


class Hangs(TinyImages):
    """Answer never."""

    def __init__(self):
        time.sleep(1_000)


class Swallows(TinyImages):
    """Take a gigabyte and a half."""

    def __init__(self):
        self.much = b"1" * (3 << 29)
        time.sleep(1_000)


class Wrong(TinyImages):
    """Have labels that do not fit."""

    def split(self, name):
        return [(image, label + 1) for image, label in super().split(name)]


@hookimpl
def zoo_datasets():
    return [
        DatasetSpec(name=target.lower(), target=f"{__name__}:{target}", task="classification", summary="One")
        for target in ("Ends", "Hangs", "Swallows", "Wrong", "TinyImages")
    ]
