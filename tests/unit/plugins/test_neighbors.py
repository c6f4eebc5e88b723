"""The nearest training images of an input."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import zoo
from tests.fakes import Pixels
from zoo.errors import OptionError
from zoo.interfaces import Analysis, Batch, Reference, Subject
from zoo.registry.registry import Registry
from zoo_analyzers.nearest import Nearest
from zoo_analyzers.neighbors import Neighbors
from zoo_analyzers.thumbnails import thumbnail

QUIET: dict[str, Any] = {"progress": False}
PREPROCESS = {"size": 2, "mean": [0.5], "std": [0.25], "classes": ["a", "b", "c"]}


def unit(count: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("sizes", [(40,), (7, 7, 26), (1,) * 40])
def test_the_nearest_are_found_however_the_stream_is_cut(sizes: tuple[int, ...]) -> None:
    vectors, others = unit(30, 0), unit(40, 1)
    found = Nearest(vectors, 3, skip=torch.tensor([]))
    for part in others.split(list(sizes)):
        found.see(part)
    expected = (vectors @ others.T).topk(3)
    torch.testing.assert_close(found.similarities, expected.values)
    assert torch.equal(found.numbers, expected.indices)


def test_of_many_vectors_a_few_are_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_analyzers.nearest._ROWS", 7)
    vectors, others = unit(30, 0), unit(40, 1)
    found = Nearest(vectors, 3, skip=torch.arange(30))
    for part in others.split(9):
        found.see(part)
    own = torch.arange(30)[:, None] == torch.arange(40)
    assert torch.equal(found.numbers, (vectors @ others.T).masked_fill(own, -1).topk(3).indices)


def test_what_is_skipped_is_not_found() -> None:
    vectors = unit(6, 0)
    found = Nearest(vectors[2:4], 2, skip=torch.tensor([2, 3]))
    for part in vectors.split(4):
        found.see(part)
    for row, own in zip(found.numbers.tolist(), (2, 3), strict=True):
        assert own not in row
    assert (found.similarities < 0.999).all()


def test_fewer_than_were_asked_for_are_marked() -> None:
    found = Nearest(unit(2, 0), 4, skip=torch.tensor([]))
    found.see(unit(3, 1))
    assert found.similarities[:, 3].isneginf().all()


def batch(*images: list[float], targets: Tensor) -> Batch:
    return Batch(torch.tensor(images).view(-1, 1, 2, 2), targets, 0, 1, 0)


ONE, OTHER, THIRD = [1.0, 0, 0, 0], [0.0, 1, 0, 0], [0.0, 0, 1, 0.1]
KNOWN = batch(OTHER, ONE, THIRD, targets=torch.tensor([1, 0, 0]))


def found(*batches: Batch, known: Any = KNOWN, own: tuple[int, ...] = (), **options: Any) -> Analysis:
    parts = known if isinstance(known, list) else [known]
    subject = Subject(
        task="classification",
        landmarks={"features": "features"},
        preprocess=PREPROCESS,
        names=tuple(f"test-{n}" for n in range(sum(len(batch.inputs) for batch in batches))),
        reference=Reference(batches=parts, names=[*"xyzrstuvw"], inputs=own),
    )
    return Neighbors(**options).analyze(Pixels(), batches, subject=subject)


def test_neighbors_are_named_with_their_class_and_similarity() -> None:
    near_one, near_third = [0.9, 0.1, 0, 0], [0.0, 0, 0.5, 0]
    asked = batch(near_one, near_third, targets=torch.tensor([0, 1]))
    analysis = found(asked, batch(OTHER, targets=torch.tensor([-1])), count=2)
    first, second, third = analysis.tables["neighbors"]
    similarity = round(0.9 / (0.9**2 + 0.1**2) ** 0.5, 6)
    assert first == {
        "input": "test-0",
        "true": "a",
        "neighbors": [
            {"number": 1, "name": "y", "true": "a", "similarity": pytest.approx(similarity, abs=2e-6)},
            {"number": 0, "name": "x", "true": "b", "similarity": pytest.approx(0.110432, abs=2e-6)},
        ],
    }
    assert second["neighbors"][0]["name"] == "z"
    assert third["true"] is None
    assert analysis.scores == {
        "nearest_similarity": pytest.approx((similarity + 0.995037 + 1) / 3, abs=1e-5),
        "nearest_alike": 0.5,
        "alike": pytest.approx((1 + 0 + 0 + 1) / 4) if second["neighbors"][1]["true"] == "b" else 0.25,
    }
    assert analysis.text.splitlines()[0] == "test-0 (a): nearest y 0.994; 1 a; 1 b"
    assert analysis.text.splitlines()[2] == "test-2: nearest x 1.000; 1 b; 1 a"


def test_a_training_image_is_not_its_own_neighbor() -> None:
    analysis = found(batch(ONE, THIRD, targets=torch.tensor([0, 0])), own=(1, 2))
    names = [[row["name"] for row in one["neighbors"]] for one in analysis.tables["neighbors"]]
    assert [sorted(one) for one in names] == [["x", "z"], ["x", "y"]]


def test_images_of_several_labels_are_alike_if_all_are_the_same() -> None:
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 0, 1]])
    known = batch(ONE, OTHER, THIRD, targets=labels)
    analysis = found(batch(ONE, targets=labels[:1]), known=known)
    (row,) = analysis.tables["neighbors"]
    assert row["true"] == "a, c"
    assert {near["true"] for near in row["neighbors"]} == {"a, c", "none"}
    assert analysis.scores["nearest_alike"] == 1
    assert analysis.scores["alike"] == pytest.approx(2 / 3)


def test_images_without_a_label_are_compared_all_the_same() -> None:
    masks = torch.zeros(3, 2, 2, dtype=torch.int64)
    analysis = found(batch(ONE, targets=masks[:1]), known=batch(ONE, OTHER, THIRD, targets=masks))
    assert analysis.scores.keys() == {"nearest_similarity"}
    assert analysis.text == "test-0: nearest x 1.000"


def size_of(analysis: Analysis) -> tuple[int, int]:
    with Image.open(io.BytesIO(analysis.figures["neighbors.png"]())) as image:
        assert np.asarray(image.convert("L")).std() > 10
        return image.size


def test_the_image_has_a_row_for_each_input_and_grows_with_the_neighbors() -> None:
    asked = batch(*[ONE] * 5, targets=torch.tensor([0, 1, 2, 0, -1]))
    many = batch(*[THIRD] * 9, targets=torch.arange(9) % 3)
    small = size_of(found(asked, known=many, count=9, examples=2))
    wide, high = size_of(found(asked, known=many, count=9, examples=5))
    assert wide == small[0]
    assert high > 2 * small[1]
    assert size_of(found(asked, known=many, count=7, examples=2))[0] < wide


def test_the_same_images_are_drawn_however_the_training_split_is_cut() -> None:
    asked = batch([0.9, 0.2, 0.1, 0], [0.1, 0.2, 0.9, 0], [0.1, 0.5, 0, 0.2], targets=torch.tensor([0, 1, 2]))
    parts = [
        batch(image, targets=target)
        for image, target in zip((OTHER, ONE, THIRD), KNOWN.targets.split(1), strict=True)
    ]
    whole, cut = (found(asked, known=known, count=2, examples=2) for known in (KNOWN, parts))
    assert cut.tables == whole.tables
    assert cut.figures["neighbors.png"]() == whole.figures["neighbors.png"]()


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 200)])
def test_a_thumbnail_is_what_the_model_was_shown(channels: int, side: int) -> None:
    colors = torch.rand(channels, 1, 1).expand(-1, side, side)
    mean, std = [0.4] * channels, [0.3] * channels
    image = (colors - 0.4) / 0.3
    shown = thumbnail(image, {"mean": mean, "std": std})
    torch.testing.assert_close(shown, colors[:, : min(side, 96), : min(side, 96)], atol=1e-5, rtol=0)


def test_inputs_that_are_not_images_are_refused() -> None:
    sequence = Batch(torch.zeros(2, 4), torch.zeros(2), 0, 1, 0)
    with pytest.raises(OptionError, match=r"neighbors analyzer requires images, .* inputs of shape \(2, 4\)"):
        found(sequence)


DATA = {"train_size": 24, "val_size": 0, "test_size": 6}


@pytest.mark.filterwarnings("ignore:this is not the images/shapes data")
def test_inputs_are_compared_with_the_training_split_of_the_data_that_the_user_names(tmp_path: Any) -> None:
    model = zoo.load("shapes-resnet20", **QUIET)
    split = model.analyze("neighbors", split="test", indices=[0, 5], data=DATA, **QUIET)
    rows = split.analysis.tables["neighbors"]
    assert [row["input"] for row in rows] == ["test-00000", "test-00005"]
    assert {near["name"][:6] for row in rows for near in row["neighbors"]} == {"train-"}
    assert split.facts["reference"]["split"] == "train"
    own = model.analyze("neighbors", split="train", indices=[3, 7], data=DATA, **QUIET)
    numbers = [[near["number"] for near in row["neighbors"]] for row in own.analysis.tables["neighbors"]]
    assert 3 not in numbers[0]
    assert 7 not in numbers[1]
    early = model.analyze("neighbors", split="train", indices=[3], layer="conv", data=DATA, **QUIET)
    assert early.analysis.tables != own.analysis.tables
    data = zoo.open_dataset("shapes", **{**model.card.dataset.options, **DATA}, **QUIET)
    path = tmp_path / "mine.png"
    Image.fromarray(data.split("train")[9][0].permute(1, 2, 0).numpy()).save(path)
    mine = model.analyze("neighbors", path, data=DATA, options={"count": 2}, **QUIET)
    (row,) = mine.analysis.tables["neighbors"]
    assert (row["true"], row["neighbors"][0]["number"]) == (None, 9)
    assert row["neighbors"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert mine.facts["inputs"] == [str(path)]
    assert mine.write(tmp_path / "out")["files"].keys() == {"neighbors.png"}
    with pytest.raises(OptionError, match="pass either inputs or a split of the data, not both"):
        model.analyze("neighbors", path, split="test", **QUIET)


def test_it_is_for_every_task_of_images_and_for_no_other() -> None:
    registry = Registry.discover()
    spec = registry.analyzer("neighbors").spec
    assert spec.tasks == ("classification", "multi-label")
    assert spec.fits(registry.architecture("mlp").spec)
    assert not spec.fits(registry.architecture("lstm").spec)
