"""Models exported to other formats: their answers are those of the model, and a file is whole, or absent."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch import nn

import zoo
from tests.shell import zoo as type_in
from zoo.errors import DataError, OptionError, OutputError, SpecError, WeightsError, ZooError
from zoo.interfaces import Exportable, make_task
from zoo.models.module_runner import ModuleRunner
from zoo.models.runners import ProgramRunner
from zoo.registry.registry import Registry
from zoo.testing._case import Skip
from zoo.testing._suite import Suite
from zoo.testing.moving_checks import exports

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
from zoo.cli.export import _verified  # noqa: E402
from zoo.tools.export import export_weights as exporting  # noqa: E402
from zoo.tools.export.exportable import exportable  # noqa: E402
from zoo.tools.export.fresh_process import fresh_process  # noqa: E402
from zoo.tools.export.onnx_fields import with_checksum  # noqa: E402
from zoo.tools.export.onnx_reader import read  # noqa: E402
from zoo.tools.export.onnx_writer import OnnxExporter  # noqa: E402
from zoo.tools.export.program_check import verify  # noqa: E402

QUIET: dict[str, Any] = {"progress": False}
DATA: dict[str, Any] = {"size": 16, "train_size": 64, "val_size": 8, "test_size": 40}
TEXT = "the quick brown fox jumps over the lazy dog.\n" * 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def net(folder: Path) -> zoo.Model:
    """Return a small classifier of shapes."""
    small: Any = {"model": {"widths": [8]}, "epochs": 1, "batch_size": 16, "lr": 0.01}
    return zoo.train("mlp", "shapes", data=DATA, run=folder / "net", **small, **QUIET).model


@pytest.fixture(scope="module")
def text(folder: Path) -> zoo.Model:
    """Return a small language model of characters, whose state is two tensors."""
    (folder / "fox.txt").write_text(TEXT)
    small: Any = {"model": {"hidden_size": 8, "num_layers": 2}, "epochs": 1, "batch_size": 8}
    data = {"paths": str(folder / "fox.txt")}
    return zoo.train("lstm", "files", data=data, run=folder / "text", **small, **QUIET).model


@pytest.fixture(scope="module")
def net_file(net: zoo.Model) -> Path:
    return Path(net.export(**QUIET)["file"])


@pytest.fixture(scope="module")
def text_file(text: zoo.Model) -> Path:
    return Path(text.export(**QUIET)["file"])


def test_a_classifier_answers_as_before(net: zoo.Model, net_file: Path) -> None:
    exported = zoo.load(net_file)
    images = [
        image.permute(1, 2, 0).numpy()
        for image, _ in zoo.open_dataset("shapes", **DATA, **QUIET).split("test")
    ]
    ours, theirs = (model.predict(images, top=3, **QUIET) for model in (net, exported))
    for row, other in zip(ours, theirs, strict=True):
        assert [a["class"] for a in row["predictions"]] == [a["class"] for a in other["predictions"]]
        shares = [[a["probability"] for a in each["predictions"]] for each in (row, other)]
        assert shares[0] == pytest.approx(shares[1], abs=1e-5)
    assert exported.predict(images[:1], min_confidence=1.0, **QUIET)[0]["predictions"][0]["class"] == "unsure"
    assert exported.classes == net.classes
    assert exported.card == net.card
    assert "exported" in repr(exported)


def test_a_language_model_writes_the_same_text_and_scores_alike(text: zoo.Model, text_file: Path) -> None:
    exported = zoo.load(text_file)
    for settings in ({}, {"temperature": 0}, {"top_k": 3, "top_p": 0.9, "seed": 5}):
        ours, theirs = (
            m.sample("fox", samples=3, max_new_tokens=80, **settings, **QUIET) for m in (text, exported)
        )
        assert ours == theirs
    assert "".join(piece for piece, _ in exported.sample("the ", max_new_tokens=50).stream()) == str(
        text.sample("the ", max_new_tokens=50, **QUIET)
    )
    ours, theirs = (m.predict(["the lazy dog", "fox"], **QUIET) for m in (text, exported))
    for row, other in zip(ours, theirs, strict=True):
        assert other["predictions"][0] == pytest.approx(row["predictions"][0], rel=1e-4)


def test_features_are_those_of_the_model(
    net: zoo.Model, net_file: Path, text: zoo.Model, text_file: Path
) -> None:
    images = [
        image.permute(1, 2, 0).numpy()
        for image, _ in zoo.open_dataset("shapes", **DATA, **QUIET).split("test")
    ]
    ours, theirs = (np.asarray(model.features(images, **QUIET)) for model in (net, zoo.load(net_file)))
    assert ours.shape == theirs.shape == (40, 8)
    assert theirs.dtype == np.float32
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    for pool in (True, False):
        ours, theirs = (
            np.concatenate(
                [row["features"] for row in model.features(["the lazy dog", "fox"], pool=pool, **QUIET)]
            )
            for model in (text, zoo.load(text_file))
        )
        assert ours.shape == theirs.shape == ((16,) if pool else (15, 8))
        np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_features_that_a_file_does_not_have_are_refused(net_file: Path) -> None:
    exported = zoo.load(net_file)
    for settings, what in (
        ({"layer": "layers.0"}, "the layer layers.0"),
        ({"pool": False}, "features that are not pooled"),
    ):
        with pytest.raises(OptionError, match=f"is an exported file, which does not provide {what}"):
            np.asarray(exported.features([], **settings, **QUIET))


def test_a_model_whose_features_are_not_known_is_exported_without(
    net: zoo.Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.tools.export.export_weights.feature_landmarks", lambda *_: {})
    exported = zoo.load(net.export(folder / "blind.onnx", **QUIET)["file"])
    with pytest.raises(OptionError, match=r"blind\.onnx has no features"):
        np.asarray(exported.features([], **QUIET))


@pytest.fixture(scope="module")
def residual(folder: Path) -> zoo.Model:
    """Return a small network whose head reads the mean of feature maps."""
    small: Any = {"model": {"depth": 8}, "epochs": 1, "batch_size": 16, "lr": 0.01}
    return zoo.train("resnet20", "shapes", data=DATA, run=folder / "residual", **small, **QUIET).model


def test_class_maps_are_those_of_cam(residual: zoo.Model, tmp_path: Path) -> None:
    path = Path(residual.export(tmp_path / "x.onnx", **QUIET)["file"])
    images = np.stack([image for image, _ in zoo.open_dataset("shapes", **DATA, **QUIET).split("test")][:5])
    outputs = read(path).start(1)({"inputs": images})
    found = outputs["class_maps"]
    assert found.shape == (5, 8, 4, 4)
    given = [image.transpose(1, 2, 0) for image in images]
    names = {"classes": residual.classes, "options": {"rectify": False}}
    expected = residual.analyze("cam", given, **names, **QUIET).analysis.maps
    assert expected is not None
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    features = np.asarray(residual.features(given, pool=False, **QUIET))
    np.testing.assert_allclose(outputs["feature_maps"], features, atol=1e-5)


def test_wrong_class_maps_get_no_file(
    residual: zoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def double(outputs: dict[str, Any], count: int) -> dict[str, Any]:
        return {**outputs, "class_maps": outputs["class_maps"] * (1 + (count == 5))}

    monkeypatch.setattr("zoo.tools.export.onnx_writer.OnnxExporter", Nothing)
    monkeypatch.setattr(exporting, "fresh_process", bent(double))
    with pytest.raises(WeightsError, match="its class_maps for batches of 5 differ from the model's by"):
        residual.export(tmp_path / "x.onnx", **QUIET)
    assert not [*tmp_path.iterdir()]


def test_a_place_without_a_vector_for_each_item_has_no_features(net: zoo.Model) -> None:
    task = make_task(Registry.discover(), "classification")

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front = nn.Identity()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.front(images.flatten(1)[:1]).expand(len(images), -1)[:, :8]

    for landmark in ("features", "class_maps"):
        made = exportable(Twice(), net.card, task, landmarks={landmark: "front"})
        assert [port.name for port in made.signature.outputs] == ["logits", "probabilities"]


@pytest.mark.parametrize("outputs", ["logits", "outputs"])
def test_what_was_verified_names_the_outputs_of_the_model(outputs: str) -> None:
    result = {"split": "test", "unit": "rows", "items": 8, "total": 8}
    line = _verified({**result, "disagreements": 0, "largest_difference": 2e-5}, outputs)
    assert line == f"8 of 8 test rows: same predictions ({outputs} differ by at most 2e-05)"


def test_the_command_prints_what_was_verified(net: zoo.Model, tmp_path: Path) -> None:
    done = type_in("export", net.path.parent, "--out", "cat.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("40 of 40 test images: same predictions (logits differ by at most ")
    assert re.fullmatch(r"wrote cat\.onnx, 0\.\d MB", second)
    shown = type_in("inspect", "cat.onnx", cwd=tmp_path).stdout
    assert "accepts inputs         uint8 (batch, 3, 16, 16)" in shown
    card = type_in("inspect", "cat.onnx", "--json", cwd=tmp_path).stdout
    assert json.loads(card) == json.loads(net.card.to_json())
    assert [path.name for path in tmp_path.iterdir()] == ["cat.onnx"]


def test_an_option_of_the_exporter_changes_the_file_which_records_it(net: zoo.Model, tmp_path: Path) -> None:
    done = type_in(
        "export", net.path.parent, "--out", "cat.onnx", "--option", "opset=18", "--json", cwd=tmp_path
    )
    assert json.loads(done.stdout)["options"] == {"opset": 18}
    model = onnx.load(str(tmp_path / "cat.onnx"))
    assert [each.version for each in model.opset_import if not each.domain] == [18]
    assert {each.key: each.value for each in model.metadata_props}["zoo_options"] == '{"opset":18}'
    assert "ONNX opset 18" in type_in("inspect", "cat.onnx", cwd=tmp_path).stdout


def test_an_opset_that_torch_cannot_write_gets_no_file(
    net: zoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = torch.onnx.export
    monkeypatch.setattr(
        torch.onnx, "export", lambda *given, **how: export(*given, **how | {"opset_version": 20})
    )
    with pytest.raises(WeightsError, match="torch cannot convert the model to opset 18; use 20"):
        net.export(tmp_path / "cat.onnx", options={"opset": 18}, **QUIET)
    assert not [*tmp_path.iterdir()]


def test_what_is_returned_says_what_was_verified(net: zoo.Model, folder: Path) -> None:
    done = net.export(folder / "synthetic.pt2", synthetic=True, **QUIET)
    assert done["format"] == "pt2"
    assert (done["items"], done["total"], done["unit"], done["split"]) == (2_000, 2_000, "images", None)
    assert done["bytes"] == (folder / "synthetic.pt2").stat().st_size
    assert 0 <= done["largest_difference"] < 1e-4
    with zipfile.ZipFile(folder / "synthetic.pt2") as archive:
        assert archive.read("archive/extra/zoo").decode() == net.card.to_json()
        assert not archive.read("archive/data/sample_inputs/model.pt")
    with pytest.raises(WeightsError, match=r"is a \.pt2 file, which zoo can write but not read"):
        zoo.load(folder / "synthetic.pt2")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("net", {}),
        ("net", {"split": "val", "metrics": ["macro-f1"]}),
        ("net", {"dataset": "shapes", "data": DATA | {"test_size": 70}}),
        ("text", {}),
        ("text", {"metrics": ["token-accuracy"]}),
    ],
)
def test_an_exported_file_is_evaluated_as_its_weights(
    name: str, options: Any, request: pytest.FixtureRequest
) -> None:
    model, file = (request.getfixturevalue(each) for each in (name, f"{name}_file"))
    data = {**model.own, **options.get("data", {})}
    ours = model.evaluate(**options, **QUIET)
    theirs = zoo.load(file).evaluate(**options | {"data": data}, **QUIET)
    assert theirs.keys() == ours.keys()
    near = {key: theirs.pop(key) for key in ("metrics", "intervals")}
    assert near["metrics"] == pytest.approx(ours["metrics"], rel=1e-4)
    for metric, interval in near["intervals"].items():
        assert interval == pytest.approx(ours["intervals"][metric], rel=1e-4)
    assert theirs == {key: ours[key] for key in theirs} | {"weights": str(file)}


def test_the_command_evaluates_an_exported_file(net_file: Path) -> None:
    weights = net_file.with_suffix(".safetensors")
    printed = [type_in("eval", file, "--quiet").stdout for file in (net_file, weights)]
    assert printed[0] == printed[1]
    assert printed[0].startswith("images/shapes test, 40 images: accuracy ")
    refused = type_in("eval", net_file, "--tta", "--quiet")
    why = "--tta requires the weights: an exported file evaluates one view of each input"
    assert (refused.returncode, refused.stderr) == (2, f"zoo: {why}\n")


def test_an_exported_file_does_nothing_else(net_file: Path) -> None:
    exported, message = (
        zoo.load(net_file),
        "is an exported file, which supports only predict, embed, sample, eval",
    )
    uses = (exported.export, lambda: exported.analyze("cam"), lambda: exported.module)
    uses += (lambda: zoo.reproduce(net_file, **QUIET),)
    for use in uses:
        with pytest.raises(WeightsError, match=message):
            use()
    with pytest.raises(OptionError, match=r"run only on the CPU \(got device 'cuda'\)"):
        zoo.load(net_file, device="cuda")
    with pytest.raises(
        WeightsError, match="is an ONNX file, which supports only predict, embed, sample, eval"
    ):
        zoo.train("mlp", "shapes", from_weights=str(net_file), data=DATA, **QUIET)


def test_the_file_explains_itself_to_those_without_zoo(net: zoo.Model, net_file: Path) -> None:
    model = onnx.load(str(net_file))
    onnx.checker.check_model(model, full_check=True)
    texts = {each.key: each.value for each in model.metadata_props}
    assert texts["classes"].startswith('["')
    (taken,) = model.graph.input
    assert [axis.dim_param or axis.dim_value for axis in taken.type.tensor_type.shape.dim] == [
        "batch",
        3,
        16,
        16,
    ]
    assert [each.name for each in model.graph.output] == ["logits", "probabilities", "features"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"out": "x.safetensors"}, OptionError, "no export format has the suffix '.safetensors'"),
        ({"out": "x.pt2", "to": "onnx"}, OptionError, r"onnx files must end in \.onnx \(got x\.pt2\)"),
        (
            {"out": "x.onnx", "options": {"opst": 18}},
            OptionError,
            "^exporter zoo/onnx has no option 'opst'; did you mean 'opset'",
        ),
        (
            {"out": "x.onnx", "options": {"opset": 3}},
            OptionError,
            "^exporter zoo/onnx: opset must be at least 18",
        ),
        ({"out": "x.pt2", "options": {"opset": 18}}, OptionError, "^exporter zoo/pt2 has no option 'opset'"),
        ({"to": "onxx"}, ZooError, "unknown exporter 'onxx'; did you mean 'onnx'"),
        (
            {"out": "x.onnx", "synthetic": True, "split": "val"},
            OptionError,
            "omit the split and data options: synthetic",
        ),
        ({"out": "no/such/folder/x.onnx"}, OutputError, "cannot be written: there is no folder no/such"),
    ],
)
def test_what_cannot_be_written_is_refused(
    net: zoo.Model,
    settings: dict[str, Any],
    error: type[ZooError],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exporting, "verify", None)  # which takes long
    with pytest.raises(error, match=message):
        net.export(**settings, **QUIET)
    assert not [*tmp_path.iterdir()]


def test_a_file_that_exists_stays(net: zoo.Model, net_file: Path) -> None:
    before = net_file.read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        net.export(**QUIET)
    assert net_file.read_bytes() == before


def test_missing_data_is_told_with_what_to_do(text: zoo.Model, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        text.export(tmp_path / "x.onnx", data={"paths": str(tmp_path / "none.txt")}, **QUIET)
    assert "use --synthetic to verify on random inputs" in str(caught.value.hint)
    assert not [*tmp_path.iterdir()]


class Nothing(OnnxExporter):
    """Writes nothing, and keeps the model."""

    kept: Exportable

    def write(self, model: Exportable) -> bytes:
        type(self).kept = model
        return b"nothing"


def bent(bend: Any) -> Any:
    """Return what takes the place of `fresh_process`: it runs the model itself, with something changed."""

    def run(inputs: Any) -> dict[str, Any]:
        model = Nothing.kept
        with torch.no_grad():
            outputs = model.module(*(torch.from_numpy(array) for array in inputs.values()))
        named = {port.name: out.numpy() for port, out in zip(model.signature.outputs, outputs, strict=True)}
        return bend(named, len(inputs["inputs"]))

    return lambda *_: contextlib.nullcontext(lambda *_: run)


def swapped(outputs: dict[str, Any], count: int) -> dict[str, Any]:
    """Return logits of another class for one image in forty."""
    logits = outputs["logits"].copy()
    logits[7:8] = logits[7:8, ::-1]
    return {**outputs, "logits": logits}


BENT = {
    "its logits for batches of 64 differ from the model's by": swapped,
    "its features for batches of 1 differ from the model's by": lambda outputs, count: (
        {**outputs, "features": outputs["features"] * (count > 1)}
    ),
    "its probabilities do not match its logits": lambda outputs, count: {
        **outputs,
        "probabilities": outputs["logits"],
    },
    "must return logits as float32": lambda outputs, count: {
        **outputs,
        "logits": outputs["logits"].astype(np.float64),
    },
    "but returned nothing": lambda outputs, count: {},
    "its logits for batches of 2 differ from the model's by": lambda outputs, count: (
        {**outputs, "logits": outputs["logits"] + (count == 2)}
    ),
    "its logits for batches of 1 differ from the model's by nan": lambda outputs, count: (
        {**outputs, "logits": outputs["logits"] * math.nan}
    ),
}


@pytest.mark.parametrize("message", BENT)
def test_a_program_that_answers_otherwise_gets_no_file(
    net: zoo.Model, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.tools.export.onnx_writer.OnnxExporter", Nothing)
    monkeypatch.setattr(exporting, "fresh_process", bent(BENT[message]))
    with pytest.raises(WeightsError, match=message):
        net.export(tmp_path / "x.onnx", **QUIET)
    assert not [*tmp_path.iterdir()]


# A plugin in one file, which imports torch only to write. `read` reads its files, unless there is a `start`
OWN_FORMAT = """
import os
import numpy as np
from zoo import ExporterSpec, hookimpl

api, KEPT = 1, []


@hookimpl
def zoo_exporters():
    reader = "" if "def start" in WRITER else "own_format:read"
    about = {"suffix": ".own", "summary": "For a test"}
    return [ExporterSpec(name="own", target="own_format:writer", reader=reader, **about)]


def writer():
    import io
    import torch
    from zoo.interfaces import Exporter
    from zoo.tools.export.onnx_writer import OnnxExporter
    from zoo.tools.export.pt2_writer import Pt2Exporter, program_of

    names = {**globals(), **locals()}
    exec(WRITER, names)
    return names["Writer"]()


def read(path):
    exec(READER, {**globals(), "path": path})
    from zoo.tools.export.onnx_reader import read

    return read(path)


"""
HALVES = """
class Writer(OnnxExporter):
    def write(self, model):
        with torch.no_grad():
            next(model.module.parameters()).mul_(0.5)
        return super().write(model)
"""
KEEPS = """
class Writer(Exporter):
    def write(self, model):
        KEPT.append(model.module)
        return b"nothing"
    def start(self, content, signature, threads):
        return program_of(KEPT[0], signature)
"""
HONEST = "class Writer(OnnxExporter): pass"
QUICK = "class Writer(OnnxExporter): write = lambda self, model: b'nothing'"
EXPORTERS = {
    "keeps the model": (KEEPS, "", "mlp cannot be exported to own: IndexError: list index out of range"),
    "halves a weight": (
        HALVES,
        "",
        "own cannot be used: its `write` method changed model.hidden.0.weight in the model",
    ),
    "writes text": (
        QUICK.replace("b'nothing'", "'a text'"),
        "",
        r"mlp cannot be exported to own: TypeError: write must return bytes \(got a str\)",
    ),
    "cannot read": (QUICK, "1 / 0", "mlp cannot be exported to own: ZeroDivisionError: division by zero"),
    "raises our error": (QUICK, "raise __import__('zoo').DataError('no data')", "^no data$"),
    "lacks a module": (
        HONEST,
        "import no_such_module",
        "own requires no_such_module, which is not installed",
    ),
    "ends": (
        QUICK,
        "print('bye', flush=True); os._exit(3)",
        "own: .*Error: its process ended with exit code 3: bye",
    ),
    "crashes": (
        HONEST,
        "os.kill(os.getpid(), 9)",
        "own: ChildProcessError: its process ended with signal 9",
    ),
    "needs a file": (
        QUICK.replace("b'nothing'", "[open('kept', 'w').close(), b'nothing'][1]"),
        "open('kept')",
        "own: FileNotFoundError: .* No such file or directory: 'kept'",
    ),
}


def exporting_by(writer: str, reader: str, folder: Path, net: zoo.Model, monkeypatch: Any) -> Any:
    """Export a model by a plugin in one file."""
    file = folder / "own_format.py"
    file.write_text(f"WRITER, READER = {writer!r}, {reader!r}\n{OWN_FORMAT}")
    monkeypatch.delitem(sys.modules, "own_format", raising=False)
    monkeypatch.chdir(folder)
    try:
        return zoo.load(net.path, registry=Registry.discover(files=[file])).export("x.own", **QUIET)
    finally:
        sys.modules.pop("own_format", None)


def test_a_reader_that_fails_is_named_with_the_file(tmp_path: Path, monkeypatch: Any) -> None:
    plugin, file = tmp_path / "own_format.py", tmp_path / "x.own"
    plugin.write_text(f"WRITER, READER = '', '1 / 0'\n{OWN_FORMAT}")
    file.write_bytes(b"content")
    monkeypatch.delitem(sys.modules, "own_format", raising=False)
    with pytest.raises(SpecError) as caught:
        zoo.load(file, registry=Registry.discover(files=[plugin]))
    why = "the reader of own-format/own failed: ZeroDivisionError: division by zero"
    assert str(caught.value) == f"{file} cannot be read: {why}"
    sys.modules.pop("own_format", None)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "keeps the model")) for name in EXPORTERS]
)
def test_an_exporter_is_verified_by_what_it_wrote_alone(
    name: str, net: zoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader, message = EXPORTERS[name]
    before = psutil.Process().children()
    with pytest.raises(ZooError, match=message):
        exporting_by(writer, reader, tmp_path, net, monkeypatch)
    assert {path.name for path in tmp_path.iterdir()} <= {"own_format.py", "kept"}
    assert psutil.Process().children() == before


def test_a_plugin_in_one_file_exports(
    net: zoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = exporting_by(HONEST, "print('stdout is free')", tmp_path, net, monkeypatch)
    assert (done["format"], done["items"], done["disagreements"]) == ("own", 40, 0)


def test_an_exported_file_starts_in_a_process_without_torch(net_file: Path) -> None:
    registry = Registry.discover()
    spec, signature = registry.exporter("onnx").spec, read(net_file).signature

    def use() -> NoReturn:
        with fresh_process(spec, registry, 1) as start:
            program = start(net_file.read_bytes(), signature)
            processes.extend(each for each in psutil.Process().children() if each not in before)
            assert not [file.path for file in processes[0].memory_maps() if "libtorch" in file.path]
            found = program({"inputs": np.zeros((3, 3, 16, 16), np.uint8)})
            assert [(name, len(array)) for name, array in found.items()] == [
                (port.name, 3) for port in signature.outputs
            ]
            raise KeyboardInterrupt

    processes, before = list[psutil.Process](), psutil.Process().children()
    with pytest.raises(KeyboardInterrupt):
        use()
    assert not processes[0].is_running()


@pytest.mark.slow  # seconds until it notices
def test_the_process_of_a_program_ends_with_the_one_that_started_it(net_file: Path) -> None:
    code = f"""
from pathlib import Path
import psutil, time
from zoo import Registry
from zoo.tools.export.onnx_reader import read
from zoo.tools.export.fresh_process import fresh_process
registry, path = Registry.discover(), Path({str(net_file)!r})
with fresh_process(registry.exporter("onnx").spec, registry, 1) as start:
    start(path.read_bytes(), read(path).signature)
    print(psutil.Process().children()[0].pid, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    process.wait(timeout=20)


def test_the_contract_kit_skips_a_model_that_cannot_be_exported_for_the_same_reason(
    text: zoo.Model, tmp_path: Path
) -> None:
    registry = Registry.discover()
    spec = registry.architecture("lstm").spec
    try:
        object.__setattr__(spec, "context_length", 128)
        with pytest.raises(WeightsError, match="its context is limited to 128 tokens") as caught:
            zoo.load(text.path, registry=registry).export(tmp_path / "x.onnx", **QUIET)
        with pytest.raises(Skip) as skipped:
            exports(Suite(registry, "charrnn/lstm", thorough=True).items["lstm-exports"].case)
        assert str(skipped.value) == str(caught.value)
    finally:
        object.__setattr__(spec, "context_length", 0)


def verification_of(net: zoo.Model, first: float, second: float = 0.0) -> Any:
    """Return what is found of a program whose logits differ a little from those of a model of close ones."""
    registry = Registry.discover()
    task = make_task(registry, "classification")

    class Close(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            first = images.flatten(1).sum(1)
            return torch.stack([first, first + 1e-4], 1) % 1

    items = zoo.open_dataset("shapes", **DATA, **QUIET).split("test")
    made = exportable(Close(), net.card, task, landmarks={})
    signature = made.signature

    def run(inputs: Any) -> dict[str, Any]:
        with torch.no_grad():
            logits, _ = made.module(torch.from_numpy(inputs["inputs"]))
        logits += torch.tensor([first, second])
        return {"logits": logits.numpy(), "probabilities": logits.softmax(1).numpy()}

    program = ProgramRunner(run, signature, name="x")
    model = ModuleRunner(Close(), prepare=lambda images: task.prepare(images, net.card.preprocess))
    return verify(model, program, task, items, exact=lambda: model, unit="images")


def test_an_answer_that_differs_for_more_than_rounding_is_no_tie(net: zoo.Model) -> None:
    assert verification_of(net, 0.0).disagreements == 0
    tied = verification_of(net, 2e-4)
    assert tied.disagreements > 0
    assert tied.disagreements <= tied.items == 40
    assert tied.largest_difference == pytest.approx(2e-4, rel=0.01)
    with pytest.raises(WeightsError, match=r"its predictions differ from the model's for \d+ of 40 images"):
        verification_of(net, 6e-5, -6e-5)  # the two best are 1e-4 apart


@pytest.mark.slow  # five seconds
def test_rounding_that_a_model_amplifies_itself_is_no_fault_of_the_program(
    text: zoo.Model, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: Any = {"model": {"hidden_size": 64}, "epochs": 1, "batch_size": 8, "run": folder / "chaotic"}
    model = zoo.train("rnn", "files", data={"paths": str(folder / "fox.txt")}, **settings, **QUIET).model
    with torch.no_grad():
        for name, weight in model.module.named_parameters():
            if "weight_hh" in name:
                weight.normal_(0, 2 / 8, generator=torch.Generator().manual_seed(0))  # chaos, from 1 / 8
    found = model.export(tmp_path / "x.onnx", synthetic=True, **QUIET)
    assert found["largest_difference"] > 1e-3

    done: list[int] = []

    def zeros(runner: ProgramRunner, lanes: int, right: Any = ProgramRunner._zeros) -> Any:
        done.clear()
        return right(runner, lanes)

    def run(runner: ProgramRunner, tokens: Any, state: Any, right: Any = ProgramRunner._run) -> Any:
        done.append(1)
        return right(runner, tokens, {name: array * (len(done) != 13) for name, array in state.items()})

    monkeypatch.setattr(ProgramRunner, "_zeros", zeros)
    monkeypatch.setattr(ProgramRunner, "_run", run)  # loses the state after 12 steps
    with pytest.raises(
        WeightsError, match=r"its logits for 100 tokens in a batch of \d+ differ from the model's by"
    ):
        model.export(tmp_path / "y.onnx", synthetic=True, **QUIET)


HOSTILE = {
    "longer": lambda whole: whole + b"\0",
    "a flipped bit": lambda whole: whole[:-5000] + bytes([whole[-5000] ^ 1]) + whole[-4999:],
    "a pickle": lambda whole: b"\x80\x02}q\x00.",
    "zeros": lambda whole: bytes(1000),
    "endless numbers": lambda whole: b"\xff" * 1000,
    "deeply nested": lambda whole: nested(100),
    "weights in other files": lambda whole: without_checksum(whole, external),
    "no card": lambda whole: changed(whole, lambda model: model.metadata_props.pop(1)),
    "no metadata": lambda whole: changed(whole, lambda model: model.ClearField("metadata_props")),
    "no checksum": lambda whole: without_checksum(whole),
    "metadata twice": lambda whole: whole + b"\x72\x09\x0a\x03zoo\x12\x02{}",
    "a card of fewer classes": lambda whole: changed(whole, rewritten('"circle",', "")),
    "another task": lambda whole: changed(whole, rewritten('"task":"classification"', '"task":"magic"')),
    "a signature of other images": lambda whole: changed(whole, rewritten("[null,3,16,16]", "[null,3,8,8]")),
    "a signature of other outputs": lambda whole: changed(whole, rewritten('"probabilities"', '"p"')),
    "a huge signature": lambda whole: changed(
        whole, rewritten("[null,3,16,16]", "[null,3,16,9999999999999]")
    ),
    "an unknown operator": lambda whole: changed(
        whole, lambda model: model.graph.node[0].ClearField("op_type")
    ),
    "half a graph": lambda whole: changed(whole, lambda model: model.graph.node.pop()),
}


def changed(whole: bytes, change: Any) -> bytes:
    """Return a file with something changed, and a new checksum."""
    model = onnx.ModelProto.FromString(whole)
    kept = [each for each in model.metadata_props if each.key != "zoo_sha256"]
    model.ClearField("metadata_props")
    model.metadata_props.extend(sorted(kept, key=lambda each: each.key))
    change(model)
    return with_checksum(model)


def without_checksum(whole: bytes, change: Any = lambda model: None) -> bytes:
    model = onnx.ModelProto.FromString(whole)
    change(model)
    kept = [each for each in model.metadata_props if each.key != "zoo_sha256"]
    model.ClearField("metadata_props")
    model.metadata_props.extend(kept)
    return model.SerializeToString()


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="/etc/passwd")


def rewritten(before: str, after: str) -> Any:
    def change(model: Any) -> None:
        texts = [each for each in model.metadata_props if before in each.value]
        assert texts, before
        for each in texts:
            each.value = each.value.replace(before, after)

    return change


def nested(depth: int) -> bytes:
    """Return a model whose graph holds an attribute that holds a graph, and so on."""
    graph = b""
    for _ in range(depth):
        for tag in (0x32, 0x2A, 0x0A):  # attribute.g, node.attribute, graph.node
            size = len(graph)
            length = b""
            while size > 127:
                length, size = length + bytes([size & 127 | 128]), size >> 7
            graph = bytes([tag]) + length + bytes([size]) + graph
    size, length = len(graph), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return b"\x08\x0a\x3a" + length + bytes([size]) + graph


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_a_sentence(name: str, net_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(HOSTILE[name](net_file.read_bytes()))
    image = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(WeightsError, match=r"x\.onnx") as caught:
        list(zoo.load(path).predict(image, **QUIET))
    assert "\n" not in str(caught.value)


def test_a_reader_that_is_not_installed_is_named(net_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    monkeypatch.delitem(__import__("sys").modules, "zoo.tools.export.onnx_runtime", raising=False)
    with pytest.raises(SpecError, match="requires onnxruntime, which is not installed") as caught:
        zoo.load(net_file)
    assert caught.value.hint == '`pip install "zoo-registry[export]"` installs it'


def test_what_the_spec_says_cannot_be_exported_is_not_tried(
    net: zoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry.discover()
    object.__setattr__(registry.architecture("mlp").spec, "unexportable", "it depends on the weather")
    try:
        model = zoo.load(net.path, registry=registry)
        with pytest.raises(WeightsError, match="mlp cannot be exported: it depends on the weather"):
            model.export(tmp_path / "x.onnx", **QUIET)
    finally:
        object.__setattr__(registry.architecture("mlp").spec, "unexportable", "")


def test_ctrl_c_leaves_nothing(net: zoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "verify", interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.export(tmp_path / "x.onnx", **QUIET)
    assert not [*tmp_path.iterdir()]


def test_an_exported_file_is_served(net_file: Path, text_file: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from starlette.testclient import TestClient

    from zoo.tools.serve.app import create_app
    from zoo.tools.serve.served_models import named

    models = [
        (str(file), zoo.load(file)) for file in (net_file, text_file.rename(text_file.with_stem("fox")))
    ]
    served = named(models, Registry.discover())
    with TestClient(create_app(served), base_url="http://localhost") as client:
        described = client.get("/models").json()
        assert [row["analyzers"] for row in described] == [[], []]
        assert f"zoo predict {net_file.stem} INPUT" in client.get(f"/card?model={net_file.stem}").text
        pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
        image = io.BytesIO()
        Image.fromarray(pixels).save(image, "PNG")
        files = {"input": ("a.png", image.getvalue())}
        (row,) = client.post("/predict", data={"model": described[0]["name"]}, files=files).json()
        assert row["predictions"] == models[0][1].predict([pixels], **QUIET)[0]["predictions"]
        answer = client.post("/sample", json={"model": "fox", "prompt": "the ", "max_new_tokens": 20})
        assert answer.text.count("data: ") == 21
        form = {"model": described[0]["name"], "analyzer": "grad-cam"}
        refused = client.post("/analyze", data=form, files=files)
        assert refused.status_code == 400
        assert "is an exported file" in refused.json()["error"]["message"]
    for one in served:
        one.worker.close()
