"""Run requests in new processes, `python -m zoo.testing._fresh`: a line of JSON in, a line of JSON out.

The caller uses `Fresh`; the new process runs `main`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import IO, Any

from msgspec.structs import replace

from zoo.errors import PluginError, SpecError, cause
from zoo.registry import plugins
from zoo.registry.hookspecs import Kind
from zoo.registry.plugin_files import PluginFile
from zoo.registry.plugins import GROUP, Plugin
from zoo.registry.specs import CommandSpec, FieldsSpec
from zoo.testing._case import Case, ProcessFailed, reason_of, traceback_of
from zoo.testing._targets import registry_beside

# What is read of what an import prints
_MOST_PRINTED = 10_000
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_", "LD_LIBRARY_PATH", "PYTHON", "OMP_", "ZOO_")


class Fresh:
    """A new process, in an empty folder, with an environment that the loaded plugin has not changed.

    The process ends when this object is deleted.
    """

    def __init__(self, plugin: Plugin) -> None:
        self.ended = False
        self._about = {key: getattr(plugin, key) for key in ("name", "where", "sha256", "ours")}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        folder = tempfile.TemporaryDirectory(prefix="zoo-check-")
        path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if folder)
        kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "zoo.testing._fresh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=kept | {"PYTHONPATH": path},
            cwd=folder.name,
            text=True,
        )
        weakref.finalize(self, _end, self._process, self._errors, folder)

    def ask(self, command: str, **request: Any) -> Any:
        """Return the response to one request.

        Raises ProcessFailed, with the error, or with the last line or the exit code of a process that ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(
                json.dumps({"command": command, **self._about, **request}),
                file=self._process.stdin,
                flush=True,
            )
        if line := self._process.stdout.readline():
            response = json.loads(line)
            if response["error"]:
                raise ProcessFailed(response["error"], response["traceback"])
            return response["answer"]
        code = self._process.wait()
        self.ended = True
        self._errors.seek(0)
        raise ProcessFailed(self._errors.read().strip().split("\n")[-1] or f"exit code {code}")


def ask_shared(case: Case, command: str, **request: Any) -> Any:
    """Send a request to a process that checks share, since importing torch is slow. Raises ProcessFailed."""
    if "process" not in case.shared or case.shared["process"].ended:
        case.shared["process"] = Fresh(case.plugin)
    return case.shared["process"].ask(command, **request)


def _end(process: subprocess.Popen[str], errors: IO[str], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.communicate()
    errors.close()
    folder.cleanup()


def main() -> None:
    asked, answer = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a plugin prints, and however
    sys.stdin, sys.stdout = io.StringIO(), sys.stderr
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a plugin may ignore it in the caller
    for line in asked:
        request, error, trace, found = json.loads(line), "", "", None
        try:
            found = _COMMANDS[request["command"]](request)
        except Exception as raised:
            error, trace = reason_of(raised), traceback_of(raised)
        response = {"error": error, "traceback": trace, "answer": found}
        print(json.dumps(response), file=answer, flush=True)
    gc.freeze()  # as in zoo.__main__


def _nothing(request: dict[str, Any]) -> None:
    """Do nothing, to measure the time that every zoo process takes."""


def _import(request: dict[str, Any]) -> tuple[str, str, float]:
    """Load a plugin, without torch unless it is one file.

    Returns the reason for a failure, or an empty string; the output; and how many times as long as importing
    torch it takes to load a file, which may import torch.
    """
    _without_torch_in_a_package(request)
    begun = time.perf_counter()
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("torch")
    middle, before = time.perf_counter(), os.fstat(2).st_size
    loaded = _load(request)
    seconds = time.perf_counter() - middle
    sys.stdout.flush()
    printed = loaded.output + os.pread(2, _MOST_PRINTED, before).decode(errors="replace")
    return loaded.cause, printed, seconds / (middle - begun)


class _NoTorch:
    """Hides torch, as if it were not installed. Other code may look for torch in `sys.modules`."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _without_torch() -> None:
    sys.meta_path.insert(0, _NoTorch())


def _without_torch_in_a_package(request: dict[str, Any]) -> None:
    """Hide torch unless the plugin is one file, which holds its models and so may import torch."""
    if not request["where"].endswith(".py"):
        _without_torch()


def _load(request: dict[str, Any]) -> Plugin:
    name, where = request["name"], request["where"]
    if where.endswith(".py"):
        file = PluginFile.read(where)
        if file.sha256 != request["sha256"]:
            raise SystemExit(f"{where} changed while it was being checked")
        return plugins.discover(only=[name], files=[file])[-1]
    return replace(plugins.load(name, EntryPoint(name, where, GROUP).load, where=where), ours=request["ours"])


def _spec(request: dict[str, Any], kind: Kind) -> Any:
    """Load a plugin and return the spec that a request names."""
    plugin = _load(request)
    for found, spec in plugin.specs:
        if (found, spec.name) == (kind, request[kind]):
            return spec
    raise PluginError(plugin.cause)


def _help(request: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the reason why each command's help fails without torch, or an empty string, and its output."""
    _without_torch_in_a_package(request)
    answers: dict[str, tuple[str, str]] = {}
    for _, spec in _load(request).specs:
        if isinstance(spec, CommandSpec):
            shown, problem = io.StringIO(), ""
            try:
                with contextlib.redirect_stdout(shown):
                    spec.load().main(["--help"], prog_name=f"zoo {spec.name}", standalone_mode=False)
            except (Exception, SystemExit) as error:
                problem = cause(error)
            answers[spec.name] = problem, shown.getvalue()
    return answers


def _tracker(request: dict[str, Any]) -> None:
    """Make a tracker without torch."""
    _without_torch_in_a_package(request)
    _spec(request, "tracker").load()()


def _exported(request: dict[str, Any]) -> dict[str, Any]:
    """Read and run an exported file without torch; return its content and outputs."""
    _without_torch()
    import numpy as np

    found = _spec(request, "exporter").load_reader()(Path(request["path"]))
    types = {port.name: port.dtype for port in found.signature.inputs}
    inputs = {name: np.array(value, types[name]) for name, value in request["inputs"].items()}
    outputs = {name: value.tolist() for name, value in found.start(1)(inputs).items()}
    return {"card": found.card.to_dict(), "signature": asdict(found.signature), "outputs": outputs}


def _write(request: dict[str, Any]) -> None:
    """Write the kit's models with an exporter."""
    from zoo.testing._exportable_models import write_models

    registry = registry_beside(_load(request))
    entry = registry.exporter(request["exporter"])
    write_models(Case(entry.plugin, entry, registry, {}), Path(request["folder"]))


def _process(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Check the card of a task's model, and return its predictions, without torch."""
    _without_torch_in_a_package(request)
    import numpy as np

    from zoo.processors import Predicts, Scores

    spec, preprocess = _spec(request, "task"), request["preprocess"]
    processor = spec.load_processor()(spec)
    processor.check_feeding(preprocess, request["dims"])
    outputs = np.array(request.get("outputs", ()), np.float32)
    if "tokens" in request and isinstance(processor, Scores):
        found = [processor.score([outputs], np.array(request["tokens"]), preprocess)]
    else:
        found = processor.predictions(outputs, preprocess) if isinstance(processor, Predicts) else ()
    return [dict(answer) for one in found for answer in one.rows]


def _watch(request: dict[str, Any]) -> dict[str, list[str]]:
    """Load a plugin and its targets; return the changes, connections, and imports of other packages."""
    from zoo.testing._data import no_network
    from zoo.testing._process import differences, functions, replaced, snapshot, starting_nothing

    for name in request["imported"]:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    before, as_it_was, known = snapshot(), functions(), set(sys.modules)
    own = {request["where"].partition(":")[0].partition(".")[0], Path(request["where"]).stem}
    with no_network() as connected, starting_nothing() as started:
        for _, spec in _load(request).specs:
            if isinstance(spec, FieldsSpec):
                continue
            own.add(spec.target.partition(":")[0].partition(".")[0])
            with contextlib.suppress(SpecError):
                spec.load()
    foreign = [name for name in sys.modules if name not in known and name.partition(".")[0] not in own]
    changed = differences(before, snapshot()) + replaced(as_it_was)
    changed += [f"running processes (by {event})" for event in dict.fromkeys(started)]
    return {"changed": changed, "connected": connected, "imported": foreign}


def _reload(request: dict[str, Any]) -> None:
    """Write the logits of a saved model beside it."""
    import torch
    from safetensors.torch import load_file, save_file

    from zoo.interfaces import CarriesState, make_task
    from zoo.models import weights
    from zoo.testing._process import settings_kept

    registry = registry_beside(_load(request))
    torch.set_num_threads(request["threads"])
    folder = Path(request["folder"])
    task = make_task(registry, request["task"])
    model, _ = weights.load(folder / "model.safetensors", registry)
    # of its own memory: the bits of a result may depend on how its inputs are aligned
    inputs = load_file(folder / "inputs.safetensors")["inputs"].clone()
    with torch.no_grad(), settings_kept():
        torch.manual_seed(0)
        logits = model(inputs)[0] if isinstance(task, CarriesState) else model(inputs)
    save_file({"logits": logits.contiguous()}, folder / "logits.safetensors")


def _describe(request: dict[str, Any]) -> dict[str, str]:
    """Open a dataset and describe it."""
    from zoo.data.opening import open_dataset
    from zoo.files.downloads import offline
    from zoo.testing._data import described

    registry = registry_beside(_load(request))
    with offline():
        return described(open_dataset(registry.dataset(request["dataset"]), request["options"]))


_COMMANDS: dict[str, Callable[[dict[str, Any]], object]] = {
    "nothing": _nothing,
    "import": _import,
    "help": _help,
    "tracker": _tracker,
    "exported": _exported,
    "process": _process,
    "describe": _describe,
    "watch": _watch,
    "reload": _reload,
    "write": _write,
}

if __name__ == "__main__":
    main()
