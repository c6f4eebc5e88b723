"""Importing state dicts: what is matched, what the card says, and what hostile files cannot do."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn

import zoo
from tests.shell import zoo as run
from zoo import DataError, OptionError, Registry, ZooError, import_weights
from zoo.errors import OutputError, SpecError, WeightsError
from zoo.files.cards import UNKNOWN_DATA, read_card
from zoo.files.hashes import sha256_of
from zoo.plugin import Card, save
from zoo.tools.imports import import_check, state_files, unpickler
from zoo.tools.imports.matched_names import Mismatch, match

SHAPES: dict[str, Any] = {"size": 16, "train_size": 40, "val_size": 10, "test_size": 20}
NET: dict[str, Any] = {"depth": 8, "width": 4}
STATISTICS = {"mean": [0.5] * 3, "std": [0.25] * 3}
WITNESS = "witness"


class Block(nn.Module):
    """A block as tutorials write it: the same layers as zoo's, by other names."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(after)


class Tutorial(nn.Module):
    def __init__(self, classes: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Block(4, 4))
        self.layer2 = nn.Sequential(Block(4, 8))
        self.layer3 = nn.Sequential(Block(8, 16))
        self.linear = nn.Linear(16, classes)


def tutorial_state(classes: int = 8) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = Tutorial(classes).state_dict()
    return {
        name: value + torch.rand_like(value) if value.ndim == 1 else value for name, value in state.items()
    }


def dense(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as safetensors stores them, which does not know channels-last."""
    return {name: value.contiguous() for name, value in state.items()}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an object with torch.save."""

    def save(content: object, name: str = "net.pth", **settings: Any) -> Path:
        torch.save(content, tmp_path / name, **settings)
        return tmp_path / name

    return save


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Return a safetensors file with the names of zoo, which takes no process to read."""
    state = zoo.create_model("resnet20", seed=1, image_size=16, num_classes=8, **NET).state_dict()
    safetensors.torch.save_file(dense(state), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def imported(file: Path, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"architecture": "resnet20", "dataset": "shapes", "data": SHAPES, "model": NET}
    if file.suffix == ".safetensors":
        settings["out"] = file.with_name("out.safetensors")
    return import_weights(file, progress=False, **(settings | changes))


def test_a_state_dict_of_a_tutorial_is_matched_by_order(saved: Callable[..., Path]) -> None:
    state = tutorial_state()
    found = imported(saved(state))
    assert found["source"] == {"file": "net.pth", "sha256": sha256_of(saved(state))}
    assert found["by"] == "order"
    assert found["mapping"]["stages.1.0.norm1.running_var"] == "layer2.0.bn1.running_var"
    assert set(found["mapping"].values()) == set(state)
    model = zoo.load(found["file"])
    held = model.module.state_dict()
    assert all(torch.equal(held[ours], state[theirs]) for ours, theirs in found["mapping"].items())
    assert 0 <= model.evaluate("test")["metrics"]["accuracy"] <= 1
    assert len(model.predict(torch.zeros(3, 16, 16, dtype=torch.uint8))) == 1


def test_the_card_says_where_the_weights_come_from(named: Path) -> None:
    found = imported(named, preprocess=STATISTICS)
    card = read_card(named.with_name("out.safetensors"))
    assert card.base_model == found["source"] == {"file": named.name, "sha256": sha256_of(named)}
    assert (card.metrics, card.training, card.progress) == ({}, {}, {"epochs": 0, "steps": 0})
    assert card.preprocess["mean"] == [0.5] * 3
    assert card.preprocess["classes"] == zoo.open_dataset("shapes", **SHAPES).preprocess["classes"]
    assert card.dataset.name == "images/shapes"
    assert card.dataset.options["size"] == 16


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"state_dict": state, "epoch": 3, "best": 0.9},
        lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {"net": {f"module._orig_mod.{name}": value for name, value in state.items()}},
        lambda state: {"state_dict": {f"model.{name}": nn.Parameter(value) for name, value in state.items()}},
    ],
    ids=["state_dict", "module", "compiled", "lightning"],
)
def test_wrappers_are_removed(wrapped: Callable[..., Any], tmp_path: Path) -> None:
    state = {"conv.weight": torch.ones(2, 3), "conv.bias": torch.zeros(2)}
    buffer = io.BytesIO()
    torch.save(wrapped(state), buffer)
    names = unpickled(buffer, tmp_path)["names"]
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    matched = match(shapes, dict(zip(names, shapes.values(), strict=True)), tied={}, ordered=True)
    assert (matched.by, [*matched.names.values()]) == ("name", names)


def unpickled(file: io.BytesIO, folder: Path) -> dict[str, Any]:
    """Return what the process that opens pickles finds, in this process."""
    before = Path.cwd()
    try:
        os.chdir(folder)
        return unpickler._read(file)
    finally:
        os.chdir(before)


def test_equal_names_are_matched_whatever_their_order(saved: Callable[..., Path], tmp_path: Path) -> None:
    module = zoo.create_model("resnet20", seed=1, image_size=16, num_classes=8, **NET)
    state = module.state_dict()
    mixed = tmp_path / "mixed.safetensors"
    safetensors.torch.save_file(dense(dict(reversed(state.items()))), mixed)
    found = imported(mixed, out=tmp_path / "out.safetensors")
    assert (found["by"], found["initial"], found["unused"]) == ("name", [], [])
    held = zoo.load(tmp_path / "out.safetensors").module.state_dict()
    assert all(torch.equal(held[name], value) for name, value in state.items())


def test_counters_may_be_missing_and_halves_are_converted(tmp_path: Path) -> None:
    state = zoo.create_model("resnet20", image_size=16, num_classes=8, **NET).state_dict()
    few = {name: value.half() for name, value in state.items() if "num_batches" not in name}
    safetensors.torch.save_file(dense(few), tmp_path / "half.safetensors")
    found = imported(tmp_path / "half.safetensors", out=tmp_path / "out.safetensors")
    assert found["converted"] == ["float16 to float32"]
    assert len(found["initial"]) == len(state) - len(few)


def test_a_language_model_is_imported_with_its_vocabulary(saved: Callable[..., Path]) -> None:
    torch.manual_seed(0)
    parts = nn.ModuleDict({"emb": nn.Embedding(4, 3), "rnn": nn.LSTM(3, 5, 2), "head": nn.Linear(5, 4)})
    found = import_weights(
        saved(parts.state_dict()),
        architecture="lstm",
        model={"embedding_dim": 3, "hidden_size": 5},
        preprocess={"tokens": "char", "lower": False, "vocabulary": [*"ab\n,"], "specials": 0},
        progress=False,
    )
    assert found["by"] == "order"
    assert found["dataset"] == UNKNOWN_DATA
    model = zoo.load(found["file"])
    assert set(model.sample("ab", max_new_tokens=5)[0]) <= set("ab\n,")
    with pytest.raises(DataError, match="the imported weights do not record the data"):
        model.evaluate("test")


def test_a_vocabulary_in_another_order_reads_the_data(
    text_file: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    data: dict[str, Any] = {"paths": str(text_file)}
    known = zoo.open_dataset("files", **data).preprocess
    specials = known["specials"]
    words = [*known["vocabulary"][:specials], *reversed(known["vocabulary"][specials:]), "é"]
    shape: dict[str, Any] = {"embedding_dim": 3, "hidden_size": 5, "num_layers": 1}
    state = zoo.create_model("lstm", vocab_size=len(words), **shape).state_dict()
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    settings: dict[str, Any] = {"architecture": "lstm", "dataset": "files", "data": data, "model": shape}
    found = imported(tmp_path / "net.safetensors", preprocess={"vocabulary": words}, **settings)
    model = zoo.load(found["file"])
    assert model.card.preprocess["vocabulary"] == words
    recwarn.clear()
    assert model.evaluate("test", data=data, progress=False)["metrics"]["loss"] > 0
    assert not [each for each in recwarn if "not the" in str(each.message)]


def test_what_zoo_imports_can_be_fine_tuned_and_not_reproduced(named: Path, tmp_path: Path) -> None:
    file = imported(named)["file"]
    settings: dict[str, Any] = {"data": SHAPES, "epochs": 1, "batch_size": 8, "progress": False, "threads": 1}
    tuned = zoo.train("resnet20", "shapes", from_weights=file, run=tmp_path / "run", **settings)
    assert tuned.model.card.base_model["sha256"] == read_card(Path(file)).sha256
    with pytest.raises(WeightsError, match="was imported"):
        zoo.reproduce(file, run=tmp_path / "again", progress=False)


SQUARE = {"a.weight": (2, 2), "a.bias": (2,), "b.weight": (2, 2), "b.bias": (2,)}


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"x.weight": (2, 2), "x.bias": (2,), "y.weight": (2, 2)}, [("missing", "b.bias", "")]),
        ({**dict.fromkeys(("x", "z"), (2, 2))}, None),
        ({**SQUARE, "c.bias": (2,)}, [("extra", "", "c.bias")]),
        ({**SQUARE, "b.weight": (2, 3)}, [("shape", "b.weight", "b.weight")]),
        # two of one shape that names tell apart
        (
            {"x.weight": (2, 2), "x.bias": (2,), "y.weight": (2, 2), "y.running_mean": (2,)},
            [("order", "b.bias", "y.running_mean")],
        ),
        (
            {"b.weight": (2, 2), "b.bias": (2,), "x.weight": (2, 2), "x.bias": (2,)},
            [
                ("missing", "a.weight", ""),
                ("missing", "a.bias", ""),
                ("extra", "", "x.weight"),
                ("extra", "", "x.bias"),
            ],
        ),
    ],
    ids=["missing", "unnamed", "extra", "shape", "kind", "shifted"],
)
def test_tensors_that_do_not_agree_are_listed(given: dict[str, Any], problems: list[Any] | None) -> None:
    with pytest.raises(Mismatch) as caught:
        match(SQUARE, given, tied={}, ordered=True)
    if problems:
        assert [(row.problem, row.model, row.file) for row in caught.value.rows] == problems


def test_the_order_in_a_safetensors_file_is_not_trusted() -> None:
    given = {name.replace("a", "x"): shape for name, shape in SQUARE.items()}
    assert match(SQUARE, given, tied={}, ordered=True).by == "order"
    with pytest.raises(Mismatch) as caught:
        match(SQUARE, given, tied={}, ordered=False)
    assert "does not preserve the order" in str(caught.value.hint)


def test_a_name_of_many_prefixes_is_refused() -> None:
    with pytest.raises(Mismatch, match="4 missing, 1 extra"):
        match(SQUARE, {"module." * 140_000 + "a": (2,)}, tied={}, ordered=False)


def test_tied_tensors_may_be_in_the_file_once() -> None:
    tied = {"b.weight": "a.weight"}
    given = {name: shape for name, shape in SQUARE.items() if name != "b.weight"}
    assert match(SQUARE, given, tied=tied, ordered=False).names["b.weight"] == "a.weight"
    other = {f"x{number}": shape for number, shape in enumerate(given.values())}
    assert match(SQUARE, other, tied=tied, ordered=True).names["b.weight"] == "x0"


@pytest.mark.parametrize(
    ("changes", "error", "message", "hint"),
    [
        ({"dataset": None, "data": None}, OptionError, "the dataset .* is required", "--preprocess mean="),
        ({"dataset": None}, OptionError, "no dataset is given", ""),
        ({"preprocess": {"mean": 0.5}}, OptionError, "mean", ""),
        ({"preprocess": {"mean": [0.5]}}, OptionError, "mean has 1 values, but in_channels requires 3", ""),
        ({"preprocess": {"maen": [0.5]}}, OptionError, "no option 'maen'; did you mean 'mean'", ""),
        (
            {"dataset": None, "data": None, "preprocess": STATISTICS},
            OptionError,
            "required, or size, classes",
            "--preprocess size=... --preprocess classes=...",
        ),
        (
            {"model": {}},
            Mismatch,
            "37 tensors and 7 BatchNorm counters, and the model has 97 tensors and 19 BatchNorm counters: ",
            "zoo show",
        ),
        ({"preprocess": {"size": -4}}, OptionError, r"size must be at least 1 \(got -4\)", ""),
        (
            {"dataset": None, "data": None, "preprocess": STATISTICS | {"size": 0, "classes": ["a", "b"]}},
            OptionError,
            r"size must be at least 1 \(got 0\)",
            "",
        ),
        (
            {"preprocess": {"classes": [*"abcdefga"]}},
            OptionError,
            "preprocess classes lists 'a' more than once",
            "a different name",
        ),
        ({"out": "x.pth"}, OptionError, "out must be a .safetensors file", ""),
        ({"out": "none/x.safetensors"}, OutputError, "there is no folder none", ""),
    ],
)
def test_wrong_options_are_refused(
    saved: Callable[..., Path],
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[ZooError],
    message: str,
    hint: str,
) -> None:
    file = tmp_path / "state.safetensors"
    safetensors.torch.save_file(tutorial_state(), file)
    with pytest.raises(error, match=message) as caught:
        imported(file, **{"out": tmp_path / "out.safetensors", **changes})
    assert hint in (caught.value.hint or "")
    assert not [path for path in tmp_path.iterdir() if path != file]


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({}, "choose another dataset"),
        ({"preprocess": {"classes": [*"abcdefgh"]}}, "pass all 100 with --preprocess classes="),
        (
            {"dataset": None, "data": None, "preprocess": {"size": 16, "classes": [*"ab"], **STATISTICS}},
            "pass all 100 with --preprocess classes=",
        ),
    ],
    ids=["dataset", "overridden", "no dataset"],
)
def test_a_file_for_other_classes_is_refused_with_their_number(
    tmp_path: Path, changes: dict[str, Any], fix: str
) -> None:
    state = zoo.create_model("resnet20", image_size=16, num_classes=100, **NET).state_dict()
    safetensors.torch.save_file(dense(state), tmp_path / "net.safetensors")
    with pytest.raises(Mismatch, match="2 of another shape") as caught:
        imported(tmp_path / "net.safetensors", **changes)
    assert "37 tensors and 7 BatchNorm counters, and the model has as many: " in str(caught.value)
    assert "but the file seems to have 100: " in str(caught.value.hint)
    assert fix in str(caught.value.hint)


@pytest.mark.usefixtures("timm_models")
def test_weights_from_imagenet_need_only_the_number_of_classes(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    file, name = tmp_path / "test_resnet-0a1b.pth", "timm/test_resnet"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    with pytest.raises(OptionError, match="is required, or classes\n") as caught:
        import_weights(file, architecture=name, progress=False)
    assert str(caught.value.hint).endswith("--preprocess classes=... (the names in order, or their number)")
    done = run("import", file, "--architecture", name, "--preprocess", "classes=1000", "--json")
    found = json.loads(done.stdout)
    assert found["preprocess"]["classes"] == [str(number) for number in range(1000)]
    assert (found["preprocess"]["size"], found["preprocess"]["mean"]) == (160, [0.5, 0.5, 0.5])
    with pytest.raises(WeightsError, match="does not match convnet/resnet20") as caught:
        import_weights(
            file, architecture="resnet20", preprocess=STATISTICS | {"size": 32, "classes": 1000},
            out=tmp_path / "x.safetensors", progress=False,
        )  # fmt: skip
    assert caught.value.hint == f"if these are the weights of {name}, use --architecture {name}"


@pytest.mark.parametrize("classes", [8, 100])
def test_a_file_of_another_width_is_not_blamed_on_the_classes(tmp_path: Path, classes: int) -> None:
    state = zoo.create_model("resnet20", image_size=16, num_classes=classes, **NET).state_dict()
    safetensors.torch.save_file(dense(state), tmp_path / "net.safetensors")
    with pytest.raises(Mismatch, match="of another shape") as caught:
        imported(tmp_path / "net.safetensors", model={"depth": 8, "width": 7})
    assert "lists the options for --model" in str(caught.value.hint)


def test_nothing_is_overwritten_and_nothing_is_half_written(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = named.with_name("out.safetensors")
    taken.write_bytes(b"mine")
    with pytest.raises(OutputError, match="already exists"):
        imported(named)
    assert taken.read_bytes() == b"mine"
    taken.unlink()

    def interrupt(*_: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.files.atomic.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        imported(named)
    assert [*named.parent.iterdir()] == [named]


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("linear.bias", lambda value: value / 0, "linear.bias has values that are not finite"),
        ("linear.bias", Tensor.int, "linear.bias is torch.int32, but out.bias is torch.float32"),
        (
            "linear.bias",
            lambda _: torch.zeros(8, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
            "linear.bias is torch.float4_e2m1fn_x2, which zoo does not support",
        ),
        ("bn1.running_var", lambda value: -value, "outputs .* for synthetic inputs are not finite"),
    ],
)
def test_bad_values_are_refused(
    name: str, changed: Callable[[Tensor], Tensor], message: str, tmp_path: Path
) -> None:
    state = tutorial_state()
    names = zoo.create_model("resnet20", image_size=16, num_classes=8, **NET).state_dict()
    file = tmp_path / "net.safetensors"
    ours = dict(zip(names, state.values(), strict=True))
    name = dict(zip(state, names, strict=True))[name]
    safetensors.torch.save_file(ours | {name: changed(ours[name])}, file)
    with pytest.raises(WeightsError, match=message.replace("linear", "out")):
        imported(file, out=tmp_path / "out.safetensors")


def test_a_file_that_would_load_differently_is_not_written(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(path: Path, module: nn.Module, card: Card) -> Card:
        copied = copy.deepcopy(module)
        copied.get_parameter("out.bias").data += 1
        return save(path, copied, card)

    monkeypatch.setattr(import_check, "save", changed)
    with pytest.raises(WeightsError, match=r"out\.bias changed when the model was saved"):
        imported(named)
    assert [*named.parent.iterdir()] == [named]


def test_outputs_of_the_wrong_shape_are_refused(named: Path, registry: Registry) -> None:
    card = read_card(Path(imported(named)["file"]))
    with pytest.raises(SpecError, match=r"must return outputs of shape \[2, 8\] \(got \[2, 3, 16, 16\]\)"):
        import_check.run_synthetic(nn.Identity(), card, registry)
    with pytest.raises(SpecError, match="cannot run on synthetic inputs: RuntimeError"):
        import_check.run_synthetic(nn.Linear(3, 8), card, registry)


class _RunsACommand:
    """Its pickle runs a command when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {WITNESS}",)


def _deep() -> bytes:
    """Return a pickle of a dict whose key is a tuple in a tuple in a tuple..."""
    return b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."


def _endless() -> dict[str, Any]:
    endless: dict[str, Any] = {}
    endless["state_dict"] = endless
    return endless


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def torch_saved(content: object, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **settings)
    return buffer.getvalue()


def _bomb() -> bytes:
    """Return a file of torch.save whose record of zeros is compressed."""
    buffer, source = io.BytesIO(), zipfile.ZipFile(io.BytesIO(torch_saved({"a": torch.zeros(30_000_000)})))
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    return buffer.getvalue()


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "runs a command": (
        lambda: torch_saved({"a": torch.zeros(2), "b": _RunsACommand()}),
        r"Python objects besides tensors, such as (posix|os)\.system",
    ),
    "runs a command, before version 1.6": (
        lambda: torch_saved(_RunsACommand(), _use_new_zipfile_serialization=False),
        r"Python objects besides tensors, such as (posix|os)\.system",
    ),
    "a pickle of another program": (
        lambda: pickle.dumps(_RunsACommand()),
        "cannot be read: it is damaged, or it is not a state dict",
    ),
    "gigabytes of one number": (
        lambda: torch_saved({"a": torch.zeros(1).expand(10_000_000_000)}),
        "opening it requires too much memory",
    ),
    "endless recursion": (_deep, "cannot be read"),
}
"""Files that are opened in the process for them."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_a_sentence_and_executes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE[name]
    Path("bad.pth").write_bytes(content())
    with pytest.raises(WeightsError, match=message) as caught:
        state_files.read_state(Path("bad.pth"))
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == ["bad.pth"]


def _damaged() -> bytes:
    content = torch_saved({"a": torch.zeros(1_000)})
    start = content.index(b"\x80\x02") + 2
    return content[:start] + bytes(20) + content[start + 20 :]


UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a zip bomb": (_bomb, "compressed"),
    "truncated": (lambda: torch_saved({"a": torch.zeros(1_000)})[:2_000], "truncated or damaged"),
    "a zip archive of other files": (lambda: _zip("notes.txt"), "a zip archive from another program"),
    "no state dict": (lambda: torch_saved([torch.zeros(2)]), "contains no state dict"),
    "a dict of numbers": (lambda: torch_saved({"state_dict": {"a": 1}}), "contains no state dict"),
    "a dict in itself": (lambda: torch_saved(_endless()), "contains no state dict"),
    "a sparse tensor": (lambda: torch_saved({"a": torch.eye(2).to_sparse()}), "sparse or quantized"),
    "zeros": (lambda: b"\x80\x02" + bytes(10_000), "it is damaged, or it is not a state dict"),
    "a reference to nothing": (lambda: b"\x80\x02h\x05.", "torch.load rejects it: KeyError"),
    "a damaged pickle": (_damaged, "it is damaged, or it is not a state dict"),
}
"""Files that torch.load or zoo refuses, which takes no process to find out."""


def _zip(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "hello")
    return buffer.getvalue()


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_is_no_state_dict_is_described(name: str, tmp_path: Path) -> None:
    content, message = UNREADABLE[name]
    with pytest.raises(Exception) as caught:  # noqa: PT011 - torch's, zipfile's or ours
        unpickled(io.BytesIO(content()), tmp_path)
    assert message in unpickler._described(caught.value)["error"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "neither a safetensors file nor a file that torch.save wrote"),
        (bytes(1_000), "neither a safetensors file nor a file that torch.save wrote"),
        ((10).to_bytes(8, "little") + b'{"a": nope', "is damaged"),
        (safetensors.torch.save({}), "contains no tensors"),
    ],
    ids=["empty", "a web page", "zeros", "broken safetensors", "no tensors"],
)
def test_other_files_are_not_opened_as_pickles(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        state_files.read_state(tmp_path / "x.pth")


def container(head: Any, data: bytes = b"") -> bytes:
    """Return a safetensors file with a header of any content."""
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(count: int, **fields: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [count], "data_offsets": [0, count]} | fields


@pytest.mark.parametrize(
    "start",
    [b"", container({"a": tensor(1 << 40)}), torch_saved({"a": torch.zeros(2)})],
    ids=["zeros", "safetensors", "pickle"],
)
def test_a_terabyte_that_is_not_stored_is_not_read(start: bytes, tmp_path: Path) -> None:
    with (tmp_path / "net.pth").open("wb") as file:
        file.write(start)
        file.truncate(1 << 40)
    with pytest.raises(WeightsError, match=r"is a sparse file: only [\d,]+ of its 1,099,511,627,776 bytes"):
        state_files.read_state(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (container({"__metadata__": [], "a": tensor(4)}, bytes(4)), "expected a map"),
        (container({"__metadata__": {"a": 1}, "a": tensor(4)}, bytes(4)), "expected a string"),
        (container({"__metadata__": {"a": {}}, "a": tensor(4)}, bytes(4)), "expected a string"),
        (container({"__metadata__": {"a": "x" * 10_000_000}}), "its header has more than 10,000,000 bytes"),
        (container({"a": tensor(0, shape=[1 << 63, 0])}), "Overflow"),
        (container({"a": tensor(4)}, bytes(5)), "file not fully covered"),
    ],
    ids=["a list", "a number", "a table", "too long", "a shape", "more data"],
)
def test_a_malformed_header_is_refused_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=f"net.safetensors is damaged: .*{message}") as caught:
        state_files.read_state(tmp_path / "net.safetensors")
    assert "\n" not in str(caught.value)


def test_metadata_of_null_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(
        container({"__metadata__": None, "a": tensor(4)}, bytes(range(4)))
    )
    assert state_files.read_state(tmp_path / "x.safetensors").tensors["a"].tolist() == [0, 1, 2, 3]


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in {"none": "no such file", ".": "it is a folder", "pipe": "it is a pipe"}.items():
        with pytest.raises(WeightsError, match=message):
            state_files.read_state(tmp_path / name)


def test_classes_that_the_dataset_does_not_have_are_refused(named: Path) -> None:
    with pytest.raises(DataError, match="the model has no classes"):
        imported(named, preprocess={"classes": [*"abcdefgh"]})
    assert [*named.parent.iterdir()] == [named]


def test_an_old_torch_is_refused(monkeypatch: pytest.MonkeyPatch, saved: Callable[..., Path]) -> None:
    monkeypatch.setattr(state_files, "version", lambda _: "2.9.1+cpu")
    with pytest.raises(WeightsError, match=r"requires torch 2\.10 or newer \(got 2\.9\.1\+cpu\)") as caught:
        state_files.read_state(saved({"a": torch.zeros(2)}))
    assert "CVE-2026-24747" in str(caught.value.hint)
    for version in ("2.10.0", "2.13.0+cpu", "3.0a1"):
        state_files._require_safe_torch(version)


def test_an_answer_that_is_none_is_refused(
    saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(path: Path, file: object, folder: Path, **limits: int) -> None:
        (folder / unpickler.ANSWER).write_text('{"names": ["a"], "others": []}')
        (folder / unpickler.TENSORS).write_bytes(safetensors.torch.save({"1": torch.zeros(2)}))

    monkeypatch.setattr(state_files, "_unpickle", answer)
    with pytest.raises(WeightsError, match="did not return tensors"):
        state_files.read_state(saved({"a": torch.zeros(2)}))


def test_a_file_that_takes_too_long_is_given_up(
    saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_files, "_SECONDS", 0)
    with pytest.raises(WeightsError, match="opening it takes too long"):
        state_files.read_state(saved({"a": torch.zeros(2)}))


def test_the_process_has_a_limit_on_its_computation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash of a tuple of two equal tuples of two equal tuples, and so on, is never computed."""
    key = b"K\x01q\x00" + b"".join(b"h%c\x86q%c" % (n, n + 1) for n in range(60))
    whole = zipfile.ZipFile(io.BytesIO(torch_saved({"a": torch.zeros(2)})))
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        for name in whole.namelist():
            forged = name.endswith("data.pkl")
            archive.writestr(name, b"\x80\x02}" + key + b"K\x01s." if forged else whole.read(name))
    monkeypatch.setattr(state_files, "_CPU", 1)
    with pytest.raises(WeightsError, match="opening it takes too long"):
        state_files.read_state(tmp_path / "net.pth")


def test_the_command_prints_the_mapping_and_what_to_do_next(saved: Callable[..., Path]) -> None:
    file = saved(tutorial_state())
    words = [*("import", file, "--architecture", "resnet20", "--dataset", "shapes")]
    words += [f"--data={key}={value}" for key, value in SHAPES.items()]
    words += [f"--model={key}={value}" for key, value in NET.items()]
    done = run(*words, "--preprocess", "mean=0.5,0.5,0.5", "--preprocess", "std=(.25, .25, .25)")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["MODEL", "FILE", "TENSORS"]
    assert "stages.0.0.conv1 layer1.0.conv1 weight" in [" ".join(line.split()) for line in lines]
    assert "37 tensors and 7 BatchNorm counters were matched by order" in done.stdout
    assert "mean=0.5,0.5,0.5 std=0.25,0.25,0.25" in done.stdout
    assert lines[-1] == f"zoo eval {file.with_suffix('.safetensors')}"


def test_the_next_command_locates_the_data(saved: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        for number in range(4):
            (tmp_path / "my photos" / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16)).save(tmp_path / "my photos" / name / f"{number}.png")
    file = saved(tutorial_state(3))
    words = [*("import", file, "--architecture", "resnet20", "--dataset", "folder", "--data", "size=16")]
    words += [f"--model={key}={value}" for key, value in NET.items()]
    done = run(*words, "--data", "root=my photos", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"zoo eval {file.with_suffix('.safetensors')} --data 'root=my photos'\n")


def test_the_command_prints_what_does_not_match(tmp_path: Path) -> None:
    safetensors.torch.save_file(tutorial_state(), tmp_path / "net.safetensors")
    (tmp_path / "classes.json").write_text(json.dumps(["a", "b"]))
    words = ["import", "net.safetensors", "--architecture", "resnet20", "--out", "out.safetensors"]
    for each in ("size=16", "classes=@classes.json", "mean=0,0,0", "std=1,1,1"):
        words += ["--preprocess", each]
    done = run(*words, "--model", "width=4", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.split()[:5] == ["PROBLEM", "MODEL", "SHAPE", "FILE", "SHAPE"]
    assert "net.safetensors does not match convnet/resnet20: " in done.stderr
    failed = run(*words, "--json", cwd=tmp_path)
    assert json.loads(failed.stdout)["kind"] == "weights"
    done = run(*words[:4], "--preprocess", "size=@classes.txt", cwd=tmp_path)
    assert "classes.txt cannot be read: No such file" in done.stderr
