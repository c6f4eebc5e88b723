"""A plugin that tries to keep the contract kit from reporting what it finds."""

import atexit
import os
import threading
import time

import torch

from zoo import ArchitectureSpec, DatasetSpec, hookimpl
from zoo_images.tiny import TinyImages

atexit.register(os._exit, 0)
threading.Thread(target=time.sleep, args=[1_000]).start()
os.write(1, b"{no JSON}\n")


class Crashes(torch.nn.Module):
    """End the process in a step of training."""

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int):
        super().__init__()
        self.head = torch.nn.Linear(in_channels * image_size * image_size, num_classes)

    def forward(self, images):
        if self.training:
            print("about to crash")
            os._exit(7)
        return self.head(images.flatten(1))


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
def zoo_architectures():
    return [
        ArchitectureSpec(
            name=name,
            target=f"{__name__}:Crashes",
            task="classification",
            summary="One",
            expected_failures=failures,
        )
        for name, failures in (("crashes", {}), ("crashed", {"same_shape_in_training": "issue 12"}))
    ]


@hookimpl
def zoo_datasets():
    return [
        DatasetSpec(name=target.lower(), target=f"{__name__}:{target}", task="classification", summary="One")
        for target in ("Ends", "Hangs", "Swallows", "Wrong", "TinyImages")
    ]
