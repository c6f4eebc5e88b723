"""Exported files that name other files are refused before ONNX Runtime sees them, in every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.errors import WeightsError

pytest.importorskip("onnx", reason="the extra `export` is not installed")
from onnx import ModelProto

from tests.nightly.reliability.exported import CANARY, HIDDEN, exports
from tests.shell import zoo as typed
from zoo.tools.export.onnx_fields import FIELDS

WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "torchtext", "matplotlib"): sys.modules[name] = None
from zoo.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exports(tmp_path_factory.mktemp("exports"))[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, in which there is a file that nobody names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / CANARY).write_bytes(bytes([201, 202, 203, 204]))
    Image.new("RGB", (16, 16)).save(tmp_path / "p.png")
    return tmp_path


@pytest.mark.parametrize("name", HIDDEN)
def test_a_file_that_could_open_another_is_refused(name: str, real: Path, here: Path) -> None:
    path = here / "x.onnx"
    path.write_bytes(HIDDEN[name](real.read_bytes()))
    with pytest.raises(WeightsError, match=r"x\.onnx cannot be used") as caught:
        print(np.asarray(zoo.load(path).features(np.zeros((16, 16, 3), np.uint8), progress=False)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["embed x.onnx p.png --json", "predict x.onnx p.png", "inspect x.onnx"])
def test_no_command_computes_with_it(command: str, real: Path, here: Path) -> None:
    (here / "x.onnx").write_bytes(HIDDEN["a function's default"](real.read_bytes()))
    without_torch = [sys.executable, "-c", WITHOUT_TORCH, *command.split()]
    for done in (
        typed(*command.split()),
        subprocess.run(without_torch, capture_output=True, text=True, check=False),
    ):
        assert done.returncode == 1
        assert "x.onnx cannot be used: " in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow  # in a process
def test_no_server_starts_with_it(real: Path, here: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    (here / "x.onnx").write_bytes(HIDDEN["a function's default"](real.read_bytes()))
    command = [sys.executable, "-m", "zoo", "serve", "x.onnx", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "cannot be used" in done.stderr) == (1, True)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_onnx_runtime_reports_to_nobody(real: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys, zoo; before = len(os.listdir('/proc/self/task'));"
        "zoo.load(sys.argv[1], progress=False); print(len(os.listdir('/proc/self/task')) - before)"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    done = subprocess.run(
        [sys.executable, "-c", code, real], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr  # its telemetry has threads of its own


LEFT_OUT = {
    "ModelProto": {"training_info", "functions", "configuration"},
    "GraphProto": {"sparse_initializer", "quantization_annotation"},
    "NodeProto": {"overload", "device_configurations"},
    "AttributeProto": {"ref_attr_name", "sparse_tensor", "sparse_tensors", "tp", "type_protos"},
    "TensorProto": {"segment", "external_data", "data_location"},
    "TypeProto": {"sequence_type", "map_type", "optional_type", "sparse_tensor_type", "opaque_type"},
}
"""The fields of ONNX that are refused; one of a later version is to be added here or to the table."""


def test_the_table_of_fields_is_that_of_onnx() -> None:
    messages = {"ModelProto": ModelProto.DESCRIPTOR}
    for name, known in FIELDS.items():
        fields = messages[name].fields_by_number
        assert {fields[n].name for n in fields.keys() - known.keys()} == LEFT_OUT.get(name, set())
        for number, kind in known.items():
            field = fields[number]
            if field.message_type:
                assert kind == field.message_type.name
                messages[field.message_type.name] = field.message_type
                continue
            wire = {1: 1, 2: 5, 9: 2, 12: 2}.get(field.type, 0)
            packed = (2,) if field.is_repeated and wire != 2 else ()
            assert kind == (wire, *packed), (name, field.name)
