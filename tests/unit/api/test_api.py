"""`import zoo`: list, load, build, open, train, measure, sample and analyze from Python."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn
from torch.nn import functional as F

import zoo
from zoo.errors import OptionError, RunError, SpecError, UnknownName, WeightsError, ZooWarning
from zoo.interfaces import HasViews, make_task
from zoo.models.hooks import evaluating
from zoo.training.clock import Clock

TEXT = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n" * 60
SMALL_TEXT: dict[str, Any] = {"hidden_size": 16, "num_layers": 1}
SMALL_SHAPES: dict[str, Any] = {"train_size": 64, "val_size": 16, "test_size": 16}
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def lstm(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    folder = tmp_path_factory.mktemp("runs") / "lstm"
    data = {"paths": str(text_file)}
    return zoo.train(
        "lstm", "files", data=data, model=SMALL_TEXT, run=folder, epochs=2, batch_size=8, progress=False
    )


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    folder = tmp_path_factory.mktemp("runs") / "net"
    model = {"widths": [4, 8]}
    return zoo.train(
        "camnet",
        "shapes",
        data=SMALL_SHAPES,
        model=model,
        run=folder,
        epochs=1,
        batch_size=32,
        progress=False,
    )


# The module itself


def test_every_public_name_is_listed_and_exists() -> None:
    assert dir(zoo) == sorted(zoo.__all__)
    for name in dir(zoo):
        assert getattr(zoo, name) is not None, name
    lists = {"list_models", "list_datasets", "list_weights", "list_recipes", "list_analyzers", "list_plugins"}
    actions = {"load", "create_model", "open_dataset", "train", "lr_find", "check"}
    assert lists | actions | {"Model", "Run", "Recipe", "TrainConfig", "ZooError"} <= {*dir(zoo)}
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'trian'"):
        _ = zoo.trian  # type: ignore[attr-defined]


def test_importing_and_listing_leaves_torch_and_the_process_alone(tmp_path: Path) -> None:
    code = """
import os, signal, sys, warnings
before = dict(os.environ), signal.getsignal(signal.SIGINT), list(warnings.filters), sys.stdout, os.getcwd()
import zoo
for listing in (zoo.list_models, zoo.list_datasets, zoo.list_weights, zoo.list_recipes, zoo.list_analyzers):
    assert listing(), listing
assert zoo.list_plugins()
assert before == (
    dict(os.environ), signal.getsignal(signal.SIGINT), list(warnings.filters), sys.stdout, os.getcwd()
)
assert not {"torch", "matplotlib", "rich", "requests"} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Listing


def test_names_are_short_and_filtered_by_pattern_and_condition() -> None:
    models = zoo.list_models()
    assert {"lstm", "resnet20"} <= {*models}
    assert zoo.list_models("resnet*") == [name for name in models if name.startswith("resnet")]
    assert zoo.list_models("esnet") == [name for name in models if "esnet" in name]
    assert "lstm" not in zoo.list_models(where="task=classification")
    of_several = zoo.list_models(where="task=multi-label")
    assert of_several == zoo.list_models(where="task=classification"), "which serve both"
    of_several = zoo.list_analyzers(where="task=multi-label")
    assert "grad-cam" in of_several
    assert {*of_several}.isdisjoint(zoo.list_analyzers(where="task!=multi-label"))
    assert {"shapes", "stdlib"} <= {*zoo.list_datasets()}
    assert zoo.list_datasets("text/*") == zoo.list_datasets(where="plugin=text")
    assert "nietzsche-lstm" in zoo.list_recipes()
    assert "cifar10-resnet20" in zoo.list_weights()
    assert {"cam", "grad-cam"} <= {*zoo.list_analyzers()}
    assert "mnist-convnet-bn" in zoo.list_weights(where="dataset=mnist and accuracy>0.9")
    assert zoo.list_weights(where="dataset=mnist") == zoo.list_weights(where="dataset=images/mnist")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("task", "'task' is not a comparison"),
        ("accuracy>0.9 and", "'accuracy>0.9 and' is not a comparison"),
        ("accuracy>90%", "accuracy must be compared with a number (got '90%')"),
        ("accuracy>0.9 or loss<1.3", "accuracy must be compared with a number (got '0.9 or loss<1.3')"),
        ("params=many", "params must be compared with a number (got 'many')"),
    ],
)
def test_a_condition_that_means_nothing_is_refused(where: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        zoo.list_weights(where=where)
    assert str(caught.value) == f"where: {message}"


def test_plugins_are_listed_as_data() -> None:
    rows = {row["name"]: row for row in zoo.list_plugins()}
    assert rows["text"]["status"] == "ok"
    assert "dataset text/stdlib" in rows["text"]["provides"]
    assert json.loads(json.dumps(rows)) == rows


MINE = '''
from torch import nn

from zoo import ArchitectureSpec, hookimpl


class Mine(nn.Module):
    """A linear classifier."""

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, bias: bool = True) -> None:
        super().__init__()
        self.head = nn.Linear(in_channels * image_size**2, num_classes, bias=bias)

    def forward(self, images):
        return self.head(images.flatten(1))


@hookimpl
def zoo_architectures():
    return [ArchitectureSpec(name="linear", target="my_models:Mine", task="classification", summary="Linear")]
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Change to a folder whose registry.toml has a recipe for a one-file plugin, which is named."""
    (tmp_path / "my_models.py").write_text(MINE, encoding="utf-8")
    (tmp_path / "registry.toml").write_text(
        "schema = 1\n"
        '[recipes.quick]\narchitecture = "linear"\ndataset = "shapes"\n'
        "data = { train_size = 64, val_size = 8, test_size = 8 }\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_PLUGIN_FILES", "my_models.py")
    yield tmp_path
    sys.modules.pop("my_models", None)


def test_the_registry_toml_of_the_current_folder_counts(mine: Path) -> None:
    assert "linear" in zoo.list_models()
    assert "quick" in zoo.list_recipes()
    module = zoo.create_model("linear", num_classes=3, bias=False)
    assert [tuple(p.shape) for p in module.parameters()] == [(3, 3 * 32 * 32)]
    run = zoo.train("quick", progress=False)
    assert run.directory == Path("runs/quick")
    assert run.model.card.architecture == "my-models/linear"


def test_a_plugin_that_fails_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imports_in_vain.py").write_text("import not_there")
    monkeypatch.setenv("ZOO_PLUGIN_FILES", str(tmp_path / "imports_in_vain.py"))
    with pytest.warns(ZooWarning, match="plugin imports-in-vain .* failed: .*not_there") as caught:
        assert "lstm" in zoo.list_models()
    assert caught[0].filename == __file__


# Building and opening


def test_create_model_builds_a_plain_module_with_the_options_of_the_preset() -> None:
    module = zoo.create_model("resnet32", num_classes=10)
    assert isinstance(module, nn.Module)
    assert module.training
    assert sum(parameter.numel() for parameter in module.parameters()) == 464_154
    logits = zoo.create_model("resnet32", num_classes=3, in_channels=1)(torch.zeros(2, 1, 32, 32))
    assert logits.shape == (2, 3)


def test_create_model_draws_the_weights_from_its_seed() -> None:
    def weights(seed: int | None) -> torch.Tensor:
        return next(zoo.create_model("resnet20", seed=seed).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    torch.manual_seed(3)
    drawn = weights(None)
    torch.manual_seed(3)
    assert torch.equal(weights(None), drawn)
    assert not torch.equal(weights(None), drawn)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dropuot": 0.1}, "has no option 'dropuot'; did you mean 'dropout'?"),
        ({"num_classes": 0}, "num_classes must be at least 1 (got 0)"),
        ({"vocab_size": 9}, "has no option 'vocab_size'"),
    ],
)
def test_create_model_refuses_wrong_options(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        zoo.create_model("resnet20", **given)
    assert message in str(caught.value)


def test_open_dataset_opens_data_with_options(text_file: Path) -> None:
    shapes = zoo.open_dataset("shapes", size=16, train_size=9)
    assert len(shapes.split("train")) == 9
    assert dict(shapes.dims)["image_size"] == 16
    assert len(zoo.open_dataset("files", paths=str(text_file)).split("train")) == len(TEXT) * 8 // 10


# Training


def test_train_returns_its_run(lstm: zoo.Run, text_file: Path) -> None:
    assert [row["epoch"] for row in lstm.history] == [1, 2]
    assert lstm.history[1]["val"]["loss"] < lstm.history[0]["val"]["loss"]
    assert (lstm.recipe.architecture, lstm.recipe.dataset) == ("charrnn/lstm", "text/files")
    assert lstm.recipe.train["epochs"] == 2
    assert lstm.recipe.data == {"paths": str(text_file)}
    assert lstm.result.epochs == 2
    assert lstm.result.metrics["val"] == lstm.history[1]["val"]
    assert Path(lstm.result.weights) == lstm.model.path == lstm.directory / "best.safetensors"
    assert lstm.model.card.progress["epochs"] == lstm.result.epoch
    assert Path(lstm.result.last) == lstm.last.path == lstm.directory / "model.safetensors"
    assert lstm.model is lstm.model, "loaded once"


def test_a_run_shows_itself(lstm: zoo.Run, net: zoo.Run) -> None:
    loss = lstm.history[-1]["val"]["loss"]
    place = f"<Run {lstm.directory}: charrnn/lstm on text/files, 2 epochs"
    assert repr(lstm) == f"{place}, val loss {loss:.4f} nats>"
    assert "camnet on images/shapes, 1 epoch, val accuracy " in repr(net)
    assert isinstance(lstm.plot(), Figure)
    assert (lstm._repr_png_() or b"").startswith(PNG)


def test_a_run_is_opened_by_its_directory(lstm: zoo.Run, tmp_path: Path) -> None:
    again = zoo.Run(lstm.directory)
    assert again.history == lstm.history
    assert again.recipe == lstm.recipe
    assert again.result == lstm.result
    with pytest.raises(RunError, match=r"does not contain a run: it has no config\.toml"):
        zoo.Run(tmp_path)


def test_a_run_that_has_only_begun_has_no_figures_and_no_model(lstm: zoo.Run, tmp_path: Path) -> None:
    shutil.copy(lstm.directory / "config.toml", tmp_path)
    run = zoo.Run(tmp_path)
    assert run.history == []
    assert repr(run) == f"<Run {tmp_path}: charrnn/lstm on text/files, 0 epochs>"
    assert run._repr_png_() is None
    with pytest.raises(RunError, match="has no finished epochs to plot"):
        run.plot()
    for name in ("model", "last", "result"):
        with pytest.raises(WeightsError, match="has no weights: the run stopped before its first save"):
            getattr(run, name)


@pytest.mark.parametrize("damage", ["config.toml", "metrics.jsonl"])
def test_a_damaged_run_is_an_error_that_names_the_file(lstm: zoo.Run, tmp_path: Path, damage: str) -> None:
    shutil.copytree(lstm.directory, tmp_path / "run")
    (tmp_path / "run" / damage).write_text("{\n", encoding="utf-8")
    run = zoo.Run(tmp_path / "run")
    with pytest.raises(RunError, match=f"{damage}( cannot be read|: | is not valid TOML)"):
        _ = run.recipe, run.history


def test_a_name_longer_than_a_file_system_allows_is_an_unknown_one() -> None:
    with pytest.raises(UnknownName, match="unknown architecture 'xx"):
        zoo.train("x" * 5_000, "shapes", progress=False)


def test_runs_without_a_name_are_numbered_and_resume_continues_the_last(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = {"paths": str(text_file)}
    given: dict[str, Any] = {"data": data, "model": SMALL_TEXT, "epochs": 1, "progress": False}
    first = zoo.train("lstm", "files", **given)
    second = zoo.train("lstm", "files", **given, seed=1)
    assert (first.directory, second.directory) == (Path("runs/lstm-files"), Path("runs/lstm-files-2"))
    assert second.recipe.seed == 1
    with pytest.warns(ZooWarning, match="already finished: 1 of 1 epochs"):
        resumed = zoo.train("lstm", "files", **given, seed=1, resume=True)
    assert resumed.directory == second.directory
    with pytest.raises(RunError, match="contains a different run"):
        zoo.train("lstm", "files", **{**given, "epochs": 2}, seed=1, resume=True)
    with pytest.warns(ZooWarning, match="continuing with changed options"):
        longer = zoo.train(
            "lstm", "files", **{**given, "epochs": 2}, seed=1, resume=True, accept_changes=True
        )
    assert longer.result.epochs == 2


def test_a_recipe_of_ones_own_can_be_trained(net: zoo.Run, tmp_path: Path) -> None:
    recipe = zoo.Recipe(architecture="camnet", dataset="shapes", data=SMALL_SHAPES, model={"widths": [4, 8]})
    again = zoo.train(recipe, run=tmp_path / "run", epochs=1, batch_size=32, progress=False)
    assert again.model.card.sha256 == net.model.card.sha256


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"epoch": 3}, OptionError, "no option 'epoch'; did you mean 'epochs'"),
        (
            {"learning_rate": 0.1},
            OptionError,
            "no option 'learning_rate'; did you mean 'lr'",
        ),
        ({"device": "tpu9"}, OptionError, "device 'tpu9'"),
        ({"from_weights": "nowhere"}, WeightsError, "unknown weights 'nowhere'"),
    ],
)
def test_train_checks_everything_before_it_writes(
    given: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        zoo.train("lstm", "stdlib", **given, run=tmp_path / "run", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_from_weights_accepts_files_and_run_directories(net: zoo.Run, tmp_path: Path) -> None:
    for number, weights in enumerate((net.directory, net.model.path, str(net.directory))):
        with pytest.warns(ZooWarning, match="starting from .* of convnet/camnet trained on images/shapes"):
            tuned = zoo.train(
                "camnet", "shapes", data={**SMALL_SHAPES, "objects": 2}, from_weights=weights,
                run=tmp_path / str(number), epochs=1, batch_size=32, progress=False,
            )  # fmt: skip
        assert tuned.model.card.base_model["sha256"] == net.model.card.sha256


def test_a_second_training_in_one_process_is_refused(text_file: Path, tmp_path: Path) -> None:
    refused: list[str] = []

    def train(name: str) -> None:
        zoo.train(
            "lstm", "files", data={"paths": str(text_file)}, model=SMALL_TEXT, run=tmp_path / name, epochs=2,
            batch_size=8, progress=False,
        )  # fmt: skip

    def train_second(*_: object) -> None:
        if not refused:
            with pytest.raises(RunError, match="another training run is active in this process") as caught:
                train("second")
            refused.append(caught.value.hint or "")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.training.clock.Clock.tick", _calling(train_second, Clock.tick))
        train("first")
    assert refused == ["train in a separate process"]
    assert not (tmp_path / "second").exists()
    train("second")


def _calling(before: Callable[[], None], method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        before()
        return method(*arguments)

    return call


# Models


def test_load_accepts_files_and_run_directories(net: zoo.Run) -> None:
    for name in (net.directory, str(net.directory), net.model.path, str(net.model.path)):
        model = zoo.load(name, device="cpu")
        assert model.path == net.model.path
        assert model.name == str(name)
        assert not model.module.training
    with pytest.raises(OptionError, match="device 'tpu9'"):
        zoo.load(net.directory, device="tpu9")


def test_a_model_shows_itself(net: zoo.Run, lstm: zoo.Run) -> None:
    model = net.model
    accuracy = model.card.metrics["val"]["accuracy"]
    about = f"convnet/camnet, {model.num_parameters:,} parameters, trained on images/shapes"
    assert repr(model) == f"<Model {net.directory}: {about}, val accuracy {100 * accuracy:.2f}%>"
    assert ", trained on text/files, val loss " in repr(lstm.model)
    assert len(model.classes) == 8
    assert lstm.model.classes == []
    assert len(lstm.model.vocabulary) == len({*TEXT}) + 2
    assert sum(parameter.numel() for parameter in model.module.parameters()) == model.num_parameters
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 8)
    with pytest.raises(WeightsError, match=r"is not a language model \(task: classification\)"):
        _ = model.vocabulary


def test_evaluate_measures_a_split(net: zoo.Run, lstm: zoo.Run) -> None:
    result = net.model.evaluate("val", progress=False)
    assert result["metrics"] == net.result.metrics["val"]
    assert (result["count"], result["dataset"], result["split"]) == (16, "images/shapes", "val")
    assert result["weights"] == str(net.model.path)
    assert len(result["confusion"]) == 8
    assert net.model.evaluate()["split"] == "test"
    assert net.model.evaluate("val", tta=True)["metrics"] != result["metrics"]
    assert lstm.model.evaluate("val")["metrics"] == lstm.result.metrics["val"]


def test_other_views_are_used_only_of_the_images_that_the_model_is_unsure_of(net: zoo.Run) -> None:
    task, card = make_task(net.registry, "classification"), net.model.card
    assert isinstance(task, HasViews)
    data = zoo.open_dataset(card.dataset.name, progress=False, **card.dataset.options)
    (batch,) = task.eval_batches(data, "val")
    module = net.model.module
    with torch.inference_mode(), evaluating(module):
        logits, of_views = module(batch.inputs), task.views(module)(batch.inputs)
    highest = logits.softmax(1).amax(1)
    below = float(highest.median()) + 1e-4
    unsure = highest < below
    assert 0 < unsure.sum() < len(unsure)
    expected = torch.where(unsure[:, None], of_views, logits)
    found = net.model.evaluate("val", tta=True, tta_below=below, progress=False)["metrics"]
    assert found["loss"] == pytest.approx(F.cross_entropy(expected, batch.targets).item(), rel=1e-5)
    plain = net.model.evaluate("val", progress=False)["metrics"]
    assert net.model.evaluate("val", tta=True, tta_below=0, progress=False)["metrics"] == plain
    assert found != plain


def test_evaluate_refuses_what_does_not_fit(net: zoo.Run) -> None:
    with pytest.raises(OptionError, match=r"tta_below requires tta \(got tta_below=0\.5\)"):
        net.model.evaluate("val", tta_below=0.5)
    with pytest.raises(OptionError, match=r"split must be one of 'test', .* or none \(got 'tset'\)"):
        net.model.evaluate("tset")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="text/stdlib is for language-modeling"):
        net.model.evaluate(dataset="stdlib")
    with pytest.warns(ZooWarning, match="not the images/shapes data that the model was trained on"):
        net.model.evaluate(data={"seed": 1})


def test_sampling_generates_the_same_text_in_every_way(lstm: zoo.Run) -> None:
    text = str(lstm.model.sample("the ", max_new_tokens=30, seed=3))
    assert len(text) == 30
    assert (
        "".join(piece for piece, _ in lstm.model.sample("the ", max_new_tokens=30, seed=3).stream()) == text
    )
    tokens = [*lstm.model.sample("the ", max_new_tokens=30, seed=3).stream()]
    assert "".join(token for token, _ in tokens) == text
    texts = lstm.model.sample("the ", samples=3, max_new_tokens=30, seed=3)
    assert (len(texts), texts[0]) == (3, text)
    assert str(lstm.model.sample("the ", max_new_tokens=30, seed=4)) != text
    assert (
        str(lstm.model.sample("the ", max_new_tokens=30, seed=3, stop=text[9:12]))
        == text.partition(text[9:12])[0]
    )


def test_surprisal_is_the_loss_of_what_is_generated_whatever_it_was_drawn_with(lstm: zoo.Run) -> None:
    drawn = {"max_new_tokens": 40, "temperature": 1.5, "top_k": 5, "seed": 3}
    tokens, surprises = zip(*lstm.model.sample("the ", **drawn).stream(), strict=True)
    (whole,), (prompt,) = (
        lstm.model.predict([text])[0]["predictions"] for text in ("the " + "".join(tokens), "the ")
    )
    total = whole["loss"] * (whole["tokens"] - 1) - prompt["loss"] * (prompt["tokens"] - 1)
    assert sum(surprises) == pytest.approx(total, rel=1e-3)


def test_a_model_names_the_analyzers_that_apply_to_it(net: zoo.Run, lstm: zoo.Run) -> None:
    names = {*net.model.analyzers}
    assert {"grad-cam", "score-cam", "confusion", "neighbors"} <= names
    of_texts = {"dynamic-evaluation", "gradient-through-time", "hidden-units", "surprisal"}
    assert not names & of_texts
    assert {*lstm.model.analyzers} == {"activations", *of_texts}


def test_sampling_warns_of_unknown_characters(lstm: zoo.Run) -> None:
    with pytest.warns(ZooWarning, match="not in the model's vocabulary are read as <unk>: 'Ω'") as caught:
        str(lstm.model.sample("Ωmega", max_new_tokens=3))
    assert caught[0].filename == __file__


def test_analyze_returns_findings_with_an_image(net: zoo.Run, lstm: zoo.Run, tmp_path: Path) -> None:
    findings = net.model.analyze("grad-cam", split="test", indices=[0, 3], classes=["true"], progress=False)
    assert [item["input"] for item in findings.items] == ["test-00000", "test-00003"]
    assert repr(findings) == "<Findings of cam/grad-cam: 2 maps>"
    assert (findings._repr_jpeg_() or b"").startswith(b"\xff\xd8")
    assert findings.write(tmp_path / "out")["items"][0]["overlay"] == "test-00000.png"
    text = lstm.model.analyze("activations", progress=False)
    assert repr(text).startswith("<Findings of analyzers/activations: ")
    with pytest.raises(UnknownName, match="unknown analyzer 'grad-cma'; did you mean 'grad-cam'"):
        net.model.analyze("grad-cma")
    with pytest.raises(OptionError, match="pass either inputs or a split"):
        net.model.analyze("cam", "cat.png", split="test")


def test_analyze_takes_what_predict_takes(net: zoo.Run, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    path = tmp_path / "cat.png"
    Image.fromarray(pixels).save(path)
    (expected,) = net.model.analyze("grad-cam", path, progress=False).items
    given: list[object] = [str(path), path.read_bytes(), Image.open(path), pixels]
    given += [torch.from_numpy(pixels).permute(2, 0, 1), tmp_path / "c*.png", io.BytesIO(path.read_bytes())]
    for one in given:
        found = net.model.analyze("grad-cam", one, progress=False)
        assert [{**found.items[0], "input": str(path)}] == [expected]
        assert np.array_equal(np.array(found.inputs.image(0, at_most=99)), pixels[:, 5:35])
    names = [item["input"] for item in net.model.analyze("cam", given[1:3], progress=False).items]
    assert names == ["input 0", "input 1"]
    with pytest.raises(OptionError, match="expected one or more images"):
        net.model.analyze("cam", 7)


def test_analyze_reads_texts_as_one(lstm: zoo.Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the dog")
    (tmp_path / "b.txt").write_text(" the cat")

    def surprisal(inputs: object) -> str:
        return lstm.model.analyze("surprisal", inputs, progress=False).analysis.text.split("\n", 1)[1]

    assert surprisal("the dog the cat") == surprisal([tmp_path / "a.txt", " the cat"]) == surprisal(tmp_path)
    with pytest.warns(UserWarning, match="2 of 8 characters are not in the model's vocabulary"):
        surprisal("the \N{SNOWMAN}\N{SNOWMAN} d")


# Output


def test_nothing_is_printed_without_progress(
    net: zoo.Run, lstm: zoo.Run, text_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = {"paths": str(text_file)}
    small: dict[str, Any] = {"data": data, "model": SMALL_TEXT, "batch_size": 8, "progress": False}
    zoo.train("lstm", "files", **small, epochs=1, run=tmp_path / "run")
    zoo.lr_find("lstm", "files", **small, steps=25)
    net.model.evaluate(progress=False)
    lstm.model.analyze("dynamic-evaluation", progress=False)
    str(lstm.model.sample("the ", max_new_tokens=3, progress=False))
    net.model.analyze("cam", split="test", progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_goes_to_stderr(text_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = {"paths": str(text_file)}
    zoo.train("lstm", "files", data=data, model=SMALL_TEXT, epochs=1, batch_size=8, run=tmp_path / "run")
    out, err = capfd.readouterr()
    assert out == ""
    title, header, epoch = err.splitlines()
    assert title == f"training charrnn/lstm on text/files in {tmp_path / 'run'} with 1 thread"
    assert header.split() == ["epoch", "train", "loss", "val", "loss", "char/s", "time", "best"]
    assert epoch.split()[0] == "1/1"


def test_notices_are_warnings_that_can_be_errors(lstm: zoo.Run) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZooWarning)
        with pytest.raises(ZooWarning, match="read as <unk>"):
            str(lstm.model.sample("Ω", max_new_tokens=1))
