"""What the browser visits: `zoo serve` as a process, with small models; or a folder of static files."""

from __future__ import annotations

import functools
import re
import shutil
import socket
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import zoo

__all__ = ["FileServer", "Server", "chromium", "free_port", "tiny_run"]


# A thousand tokens a second, so that a text is not finished before somebody can look at it or stop it
SLOWLY = """
import time
from zoo.__main__ import main
from zoo.inference import sampling

choose = sampling.choose

def slowly(*arguments):
    time.sleep(0.001)
    return choose(*arguments)

sampling.choose = slowly
main()
"""


class Server:
    """`zoo serve` in a process of its own, which can be killed and started again at its address.

    It generates text slowly.
    """

    def __init__(self, *weights: str, port: int = 0) -> None:
        self._weights, self._port = weights, port
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        words = [sys.executable, "-c", SLOWLY, "serve", *self._weights, "--port", str(self._port)]
        self._process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        said = ""
        for line in self._process.stderr:
            said += line
            if found := re.search(r" on (http://\S+); press Ctrl-C to stop", line):
                self.url = found[1]
                return
        raise AssertionError(f"zoo serve ended: {said}")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def chromium() -> str | None:
    """Return the path of Chromium; None if it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def tiny_run(folder: Path) -> Path:
    """Train a small classifier of shapes for four epochs, and return its run directory."""
    data = {"size": 16, "train_size": 128, "val_size": 32, "test_size": 16}
    small: Any = {"model": {"widths": [4, 8]}, "epochs": 4, "batch_size": 16, "lr": 0.01}
    zoo.train("convnet-bn", "shapes", data=data, run=folder, progress=False, **small)
    return folder


class FileServer:
    """A plain server of a folder's files, which sends no headers of its own."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_Quiet, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
