"""Start a program in a new process, from only the content of its file, as users will start it later.

Data that an exporter kept in memory, or in other files, is not available there. The caller uses
`fresh_process`; the new process runs `main`, and imports torch only if the format needs it.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from zoo.config import options
from zoo.distributed.parent import end_with
from zoo.errors import WeightsError, ZooError, first_line
from zoo.files.exported import Program, Signature
from zoo.registry.registry import Registry
from zoo.registry.specs import ExporterSpec

# Returns the program of a content, which has a signature, in place of the program before
Start = Callable[[bytes, Signature], Program]
Arrays = Mapping[str, NDArray[Any]]


@contextmanager
def fresh_process(spec: ExporterSpec, registry: Registry, threads: int) -> Generator[Start]:
    """Start a process in an empty folder, and yield a function that starts an exporter's program in it.

    If the format has a reader, the reader reads and runs the file, as in `zoo predict`; otherwise
    `Exporter.start` does. Errors in the new process are raised in this one: a ZooError as a WeightsError,
    ModuleNotFoundError unchanged, and any other error as an exception of the same name.
    """
    path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if folder)
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
    files = {plugin.name: plugin.where for plugin in registry.plugins if plugin.where.endswith(".py")}
    request = {"spec": asdict(spec), "files": files, "threads": threads, "parent": os.getpid()}
    with tempfile.TemporaryDirectory(prefix="zoo-export-") as folder, tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "zoo.tools.export.fresh_process", json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            env=os.environ | own,
            cwd=folder,
            start_new_session=True,  # a Ctrl-C is for the caller, which then ends it
        )
        ask = partial(_ask, process, printed)

        def start(content: bytes, signature: Signature) -> Program:
            ask(asdict(signature), {"content": np.frombuffer(content, np.uint8)})
            return partial(ask, None)

        try:
            yield start
        finally:
            with suppress(ProcessLookupError):  # and what it has started
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _ask(process: subprocess.Popen[bytes], printed: IO[bytes], signature: object, arrays: Arrays) -> Arrays:
    """Start a program from its content, or run it. Raises the errors that `fresh_process` describes.

    Args:
        signature: signature of the program to start; None to run the started program.
    """
    try:
        _send(process.stdin, signature, arrays)
        failed, found = _receive(process.stdout)
    except (BrokenPipeError, EOFError):
        code = process.wait()
        printed.seek(0)
        last = printed.read().decode(errors="replace").strip().split("\n")[-1]
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise ChildProcessError(f"its process ended with {ended}" + (f": {last}" if last else "")) from None
    if not failed:
        return found
    if failed["missing"]:
        raise ModuleNotFoundError(failed["line"], name=failed["missing"])
    if failed["ours"]:
        raise WeightsError(failed["line"], hint=failed["hint"])
    raise type(failed["class"], (Exception,), {})(failed["line"])


def _send(pipe: IO[bytes] | None, message: object, arrays: Arrays) -> None:
    """Write a line of JSON with a message and the types and shapes of arrays, and then the arrays' bytes."""
    assert pipe is not None
    types = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    pipe.write(json.dumps([message, types]).encode() + b"\n")
    for array in arrays.values():
        pipe.write(array.tobytes())
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> tuple[Any, Arrays]:
    """Read a message and its arrays. Raises EOFError at the end."""
    assert pipe is not None
    line = pipe.readline()
    if not line:
        raise EOFError
    message, types = json.loads(line)
    arrays: dict[str, NDArray[Any]] = {}
    for name, (type_, shape) in types.items():
        content = pipe.read(np.dtype(type_).itemsize * math.prod(shape))
        arrays[name] = np.frombuffer(bytearray(content), type_).reshape(shape)
    return message, arrays


def main() -> None:
    """Start programs and run them until stdin or the parent process ends. Output goes to stderr."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    end_with(request["parent"])
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    program: Any = None
    with suppress(EOFError):
        while True:
            signature, arrays = _receive(questions)
            failed: dict[str, Any] | None = None
            found: Arrays = {}
            try:
                if signature is not None:
                    program = _program(request, signature, arrays["content"].tobytes())
                else:
                    found = program(arrays)
                    _require_arrays(found)
            except (Exception, SystemExit) as error:
                failed, found = _described(error), {}
            _send(answers, failed, found)
    os._exit(0)  # whatever waits in a thread


def _program(request: dict[str, Any], signature: Any, content: bytes) -> Program:
    spec, threads, files = ExporterSpec(**request["spec"]), request["threads"], request["files"]
    if files:  # no import finds their modules
        Registry.discover(only=[*files], files=files.values())
    if spec.reader:
        path = Path(f"exported{spec.suffix}")
        path.write_bytes(content)
        return spec.load_reader()(path).start(threads)
    ports = options.convert_table(signature, Signature, what="the signature")
    return spec.load()().start(content, ports, threads)


def _require_arrays(outputs: Mapping[str, object]) -> None:
    """Raise TypeError if an output of a program is not an array."""
    for name, output in outputs.items():
        if not isinstance(output, np.ndarray):
            raise TypeError(f"{name} must be a NumPy array (got a {type(output).__name__})")


def _described(error: BaseException) -> dict[str, Any]:
    ours, missing = isinstance(error, ZooError), isinstance(error, ModuleNotFoundError)
    return {
        "class": type(error).__name__,
        "line": first_line(error),
        "ours": ours,
        "hint": getattr(error, "hint", None) if ours else None,
        "missing": getattr(error, "module" if ours else "name", None) if ours or missing else None,
    }


if __name__ == "__main__":
    main()
