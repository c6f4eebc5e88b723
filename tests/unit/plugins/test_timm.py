"""timm's classifiers: their names, landmarks and pretrained weights."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import zoo
from zoo import DataError, OptionError, Registry, ZooWarning
from zoo.analysis.analyzer_run import make_analyzer
from zoo.errors import UnknownName
from zoo.interfaces import Batch, HasLandmarks, LoadsPretrained, Subject
from zoo.models.building import build_model, model_arguments, on_meta

timm = pytest.importorskip("timm")
fake = pytest.importorskip("tests.published")
pretrained = pytest.importorskip("zoo_timm.pretrained")

pytestmark = pytest.mark.usefixtures("timm_models")
REGISTRY = Registry.discover()
FEW = {"train_size": 16, "val_size": 8, "test_size": 8}


def build(name: str, size: int = 64, channels: int = 3, **options: Any) -> Any:
    entry, task = REGISTRY.architecture(f"timm/{name}"), REGISTRY.task("classification")
    dims = {"in_channels": channels, "image_size": size, "num_classes": 5}
    return build_model(entry, model_arguments(entry, task, dims, options), seed=0)


def test_every_model_is_listed_without_importing_timm_or_torch() -> None:
    listing = """
import sys
sys.modules["torch"] = None
from zoo import Registry
entries = Registry.discover().entries("architecture")
print(*(entry.spec.name for entry in entries if entry.plugin.name == "timm"))
assert "timm" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(timm.list_models())


def test_no_model_is_listed_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo_timm import names, plugin

    monkeypatch.setattr(names, "find_spec", lambda name: None)
    monkeypatch.setattr(plugin, "registered", lambda: names.registered())  # or the hook is not called again
    assert plugin.zoo_architectures() == []
    with pytest.raises(UnknownName, match="unknown architecture 'timm/resnet50'") as caught:
        Registry.discover().architecture("timm/resnet50")
    assert str(caught.value.hint).startswith('`pip install "zoo-registry[timm]"` installs the packages')


def test_a_spec_that_is_made_in_a_hurry_is_valid() -> None:
    import dataclasses

    for entry in REGISTRY.entries_of(zoo.ArchitectureSpec):
        if entry.plugin.name == "timm" and entry.spec.name.startswith(("resnet", "crossvit")):
            assert dataclasses.replace(entry.spec) == entry.spec


@pytest.mark.parametrize(
    ("name", "landmarks"),
    [
        ("test_resnet", {"features": "layer4", "mean_head": "fc", "head": "fc"}),
        ("test_efficientnet", {"features": "bn2", "mean_head": "classifier", "head": "classifier"}),
        ("test_convnext2", {"features": "stages", "head": "head.fc"}),
        ("mobilenetv3_small_050", {"features": "blocks", "head": "classifier"}),
        ("test_vit", {"tokens": "blocks.5.norm1", "head": "head"}),
        ("test_mambaout", {"tokens": "stages", "head": "head.fc"}),
        ("deit_tiny_distilled_patch16_224", {"features": "blocks.11.norm1"}),
    ],
)
def test_landmarks_are_found_in_the_model(name: str, landmarks: dict[str, str]) -> None:
    model = build(name).eval()
    assert [isinstance(model, HasLandmarks)] == [True]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with torch.inference_mode():
        found = model.find_landmarks()
    assert found == landmarks
    assert model.find_landmarks() is found, "once"
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]
    subject = Subject(task="classification", landmarks=found, preprocess={}, classes=(3,))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, torch.tensor([-1, -1]), 0, 1, 0)
    analyzer = make_analyzer(REGISTRY.analyzer("grad-cam"), {"rectify": False})
    maps = analyzer.analyze(model, [batch], subject=subject).maps
    assert maps is not None
    assert maps.shape[:2] == (2, 1)
    assert (maps.std((2, 3)) > 0).all()


def test_no_landmark_is_found_without_values() -> None:
    with on_meta():
        assert build("test_resnet").find_landmarks() == {}


def test_images_of_a_size_that_a_model_cannot_read_are_refused() -> None:
    with pytest.raises(OptionError, match="crossvit_9_240 does not accept images of 256×256") as caught:
        build("crossvit_9_240", 256)
    assert caught.value.hint == "use images of 240×240 pixels, for example --data size=240"
    with pytest.raises(OptionError, match="timm/halonet26t needs images of at least 256×256 pixels"):
        build("halonet26t", 64)


@pytest.mark.parametrize("name", ["ghostnetv3_050", "csatv2", "efficientformer_l1", "halonet26t"])
def test_images_of_the_smallest_size_can_be_read_and_smaller_ones_cannot(name: str) -> None:
    from zoo_timm import models
    from zoo_timm.sizes import smallest_image

    size = smallest_image(name)
    assert REGISTRY.architecture(f"timm/{name}").spec.smallest_image == size
    assert models._reads(name, 3, size)
    assert not models._reads(name, 3, size // 2)


def test_gray_images_can_be_read_by_random_weights_only(tmp_path: Path) -> None:
    assert build("test_resnet", channels=1).eval()(torch.zeros(1, 1, 64, 64)).shape == (1, 5)
    for number in range(8):
        file = tmp_path / "images" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (32, 32), 20 * number).save(file)
    options: Any = {"data": {"root": tmp_path / "images", "channels": 1}, "run": tmp_path / "run"}
    with pytest.raises(
        DataError, match="pretrained=True requires images with 3 channels, but the data has 1"
    ):
        zoo.train("timm/test_resnet", "folder", model={"pretrained": True}, progress=False, **options)


Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Return a function that puts random weights of a model into an otherwise empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    return fake.publish


def fine_tune(run: Path, name: str = "test_resnet", tag: object = True, **more: Any) -> zoo.Run:
    still: Any = {"epochs": 1, "lr": 1e-30, "weight_decay": 0.0, "precision": "fp32"}
    options: Any = {"model": {"pretrained": tag}, "data": FEW, "run": run, "progress": False}
    with pytest.warns(ZooWarning):
        return zoo.train(f"timm/{name}", "shapes", **still, **options | more)


@pytest.mark.parametrize(
    ("name", "layer", "head"), [("test_resnet", "conv1.0", "fc"), ("test_vit", "patch_embed.proj", "head")]
)
def test_training_starts_from_pretrained_weights_at_their_size(
    publish: Publish, tmp_path: Path, name: str, layer: str, head: str
) -> None:
    blob = publish(f"{name}.r160_in1k")
    run = fine_tune(tmp_path / "run", name)
    card, weights, published = run.model.card, run.model.module.state_dict(), load_file(blob)
    assert torch.equal(weights[f"{layer}.weight"], published[f"{layer}.weight"])
    assert weights[f"{head}.weight"].shape[0] == 8, "the last layer is for other classes"
    assert card.base_model == {"architecture": f"timm/{name}", "dataset": "r160_in1k", "sha256": blob.name}
    assert (card.preprocess["size"], card.preprocess["mean"]) == (160, [0.5, 0.5, 0.5])
    assert {"grad-cam", "neighbors"} <= {*run.model.analyzers}
    blob.unlink()
    again = zoo.train(
        f"timm/{name}", "shapes", from_weights=run.directory, run=tmp_path / "2", epochs=1, data=FEW
    )
    assert again.model.card.preprocess["size"] == 160, "and without the file"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a safetensors file with random weights of `test_resnet` for seven classes."""
    torch.manual_seed(7)
    (tmp_path / "home").mkdir()
    save_file(timm.create_model("test_resnet", num_classes=7).state_dict(), tmp_path / "home/own.safetensors")
    return tmp_path / "home/own.safetensors"


def test_training_starts_from_a_file_of_the_user(own: Path, tmp_path: Path) -> None:
    theirs, sha256 = load_file(own), hashlib.sha256(own.read_bytes()).hexdigest()
    run = fine_tune(tmp_path / "run", tag=own)
    card, weights = run.model.card, run.model.module.state_dict()
    assert all(
        torch.equal(weights[f"{name}.weight"], theirs[f"{name}.weight"]) for name in ("conv1.0", "bn1")
    )
    assert weights["fc.weight"].shape[0] == 8, "the last layer is for other classes"
    assert card.base_model == {
        "architecture": "timm/test_resnet", "dataset": "own.safetensors", "sha256": sha256,
    }  # fmt: skip
    assert card.arguments["pretrained"] == "own.safetensors"
    assert "home" not in card.to_json(), "no folder of this machine"
    assert (card.preprocess["size"], card.preprocess["mean"]) == (160, [0.5, 0.5, 0.5]), "timm's default"
    own.unlink()
    again = zoo.resume(tmp_path / "run", progress=False)
    assert again.model.card.base_model["sha256"] == sha256, "and without the file"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.safetensors", "there is no file"),
        ("x.pth", "x.pth is not a .safetensors file"),
        ("damaged.safetensors", "is damaged, or its tensors are not those of timm/test_convnext"),
        ("own.safetensors", "is damaged, or its tensors are not those of timm/test_convnext"),
    ],
)
def test_a_file_that_training_cannot_start_from_is_refused(own: Path, name: str, message: str) -> None:
    for other in ("x.pth", "damaged.safetensors"):
        own.with_name(other).write_text("no tensors")
    with pytest.raises(DataError, match=f"pretrained: .*{message}") as caught:
        loading("test_convnext", tag=str(own.with_name(name)))()
    convert = "--architecture timm/test_convnext --preprocess classes=1000` converts it"
    assert (convert in str(caught.value.hint)) == (name == "x.pth")


def test_a_transformer_reads_pretrained_weights_at_another_size(publish: Publish, tmp_path: Path) -> None:
    blob = publish("test_vit.r160_in1k")
    run = fine_tune(tmp_path / "run", "test_vit", data={**FEW, "size": 64})
    weights, published = run.model.module.state_dict(), load_file(blob)
    assert torch.equal(weights["blocks.0.norm1.weight"], published["blocks.0.norm1.weight"])
    assert weights["pos_embed"].shape[1] < published["pos_embed"].shape[1]


def test_the_tags_have_the_size_and_the_statistics_of_timm() -> None:
    spec = REGISTRY.architecture("timm/resnet18").spec
    known = spec.all_pretrained()
    assert [*known][:2] == ["true", "a1_in1k"]
    assert known["true"] == known["a1_in1k"]
    for tag in [*known][1:]:
        config = timm.get_pretrained_cfg(f"resnet18.{tag}")
        assert (known[tag].mean, known[tag].std, known[tag].size) == (
            *(config.mean, config.std, config.input_size[1]),
        )
    with pytest.raises(
        OptionError, match="resnet18 has no pretrained weights 'a1_in1'; did you mean 'a1_in1k'"
    ):
        spec.starts_from({"pretrained": "a1_in1"})
    with pytest.raises(OptionError, match="halonet_h1 has no pretrained weights 'true'"):
        REGISTRY.architecture("timm/halonet_h1").spec.starts_from({"pretrained": True})


def loading(name: str = "test_resnet", tag: object = True) -> Callable[[], object]:
    model = build(name, pretrained=tag)
    assert isinstance(model, LoadsPretrained)
    return model.load_pretrained


def test_nothing_is_loaded_unless_it_is_asked_for() -> None:
    assert loading(tag="none")() is None
    message = "timm/test_resnet starts from random weights; add --model pretrained=true for pretrained ones"
    with pytest.warns(ZooWarning, match=message):
        assert loading(tag=False)() is None
    assert loading("resnet50c", tag=False)() is None, "it has no pretrained weights"


def test_an_architecture_builds_only_its_own_model() -> None:
    entry, task = REGISTRY.architecture("timm/test_resnet"), REGISTRY.task("classification")
    dims = {"in_channels": 3, "image_size": 64, "num_classes": 5}
    assert model_arguments(entry, task, dims, {"name": "test_resnet"})["name"] == "test_resnet"
    with pytest.raises(OptionError, match="name must be 'test_resnet'"):
        model_arguments(entry, task, dims, {"name": "resnet34"})
    with pytest.raises(AttributeError, match="timm has no model 'nosuch'"):
        import_module("zoo_timm.models").nosuch  # noqa: B018


def test_missing_weights_end_in_one_sentence_at_once(
    publish: Publish, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import requests

    def unreachable(*args: object, **options: object) -> None:
        raise requests.ConnectionError("HTTPSConnectionPool(host='huggingface.co'): Max retries exceeded")

    monkeypatch.setattr(requests, "head", unreachable)
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    load = loading()
    with pytest.raises(DataError) as caught:
        load()
    message = (
        "test_resnet.r160_in1k is not in .*hub and cannot be downloaded: huggingface.co cannot be reached\n"
    )
    assert caught.match(message)
    assert str(caught.value.hint).startswith(
        "run `hf download timm/test_resnet.r160_in1k model.safetensors` on a machine with internet "
        "access, and copy its Hugging Face cache to "
    )
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(DataError, match=r"is not in .*hub, and downloads are disabled\n"):
        load()
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_not_on_the_hub_is_no_reason_to_open_a_pickle(
    publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    response = requests.Response()
    response.status_code = 404
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    monkeypatch.setattr(requests, "head", lambda url, timeout: response)
    with pytest.raises(
        DataError, match=r"test_resnet\.r160_in1k is not published as a safetensors file"
    ) as caught:
        loading()()
    assert "zoo does not load pickled weights" in str(caught.value.hint)


def test_weights_that_are_published_only_as_a_pickle_are_refused() -> None:
    pickled = [
        name
        for name in timm.list_pretrained("*")
        if not timm.get_pretrained_cfg(name).hf_hub_id and timm.get_pretrained_cfg(name).url.endswith(".pth")
    ]
    name, _, tag = pickled[0].partition(".")
    with pytest.raises(DataError, match=f"{pickled[0]} is not published as a safetensors file"):
        pretrained._file(pickled[0], pretrained._configs(name)[tag or "default"])


def test_a_damaged_file_and_a_file_of_another_model_are_refused(
    publish: Publish, capfd: pytest.CaptureFixture[str]
) -> None:
    blob = publish("test_resnet.r160_in1k")
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"model\.safetensors is damaged: its sha256 is not "):
        loading()()
    for wrong in (content[:100], load_renamed(blob, content)):
        other = blob.with_name(hashlib.sha256(wrong).hexdigest())
        other.write_bytes(wrong)
        link = blob.parents[1] / "snapshots" / ("0" * 40) / "model.safetensors"
        link.unlink()
        link.symlink_to(other)
        with pytest.raises(DataError, match=r"model\.safetensors cannot be read as test_resnet.r160_in1k: "):
            loading()()
    assert capfd.readouterr() == ("", "")


def load_renamed(blob: Path, content: bytes) -> bytes:
    """Return the weights of a file under other names."""
    blob.write_bytes(content)
    save_file({f"net.{name}": value for name, value in load_file(blob).items()}, blob.with_suffix(".new"))
    return blob.with_suffix(".new").read_bytes()


@pytest.mark.network
def test_weights_are_downloaded(publish: Publish, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(
        ZooWarning, match="downloading test_resnet.r160_in1k from https://huggingface.co/timm/"
    ):
        origin = loading()()
    assert isinstance(origin, dict)
    assert origin["dataset"] == "r160_in1k"
    assert capfd.readouterr() == ("", "")
