"""Batches of images: each image exactly once, whatever the batch size, rank or start."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo.config.train_config import TrainConfig
from zoo.data.views import View
from zoo.errors import DataError, OptionError
from zoo.interfaces import Batch
from zoo_images.classification import Classification
from zoo_images.image_set import ImageSplit
from zoo_images.plugin import CLASSIFICATION, zoo_augmentations

TASK = Classification(CLASSIFICATION)


def numbered(images: Any, count: int, size: int = 4) -> Any:
    """Images whose every pixel is their number."""
    made = images(count, count, 0, size=size)
    items = [(torch.full((3, size, size), n, dtype=torch.uint8), n % 4) for n in range(count)]
    return type(made)({"train": items, "val": items, "test": []}, size)


def numbers(batches: list[Batch], preprocess: Any) -> list[int]:
    """The numbers behind normalized numbered images."""
    red = torch.cat([batch.inputs[:, 0, 0, 0] for batch in batches])
    return ((red * preprocess["std"][0] + preprocess["mean"][0]) * 255).round().int().tolist()


@pytest.mark.parametrize("world_size", [2, 3, 7])
@pytest.mark.parametrize(
    "fields",
    [{}, {"augment": [spec.name for spec in zoo_augmentations()]}, {"augment": ["flip"], "mixup_alpha": 0.4}],
)
def test_the_parts_of_processes_are_the_batches_of_one(
    images: Any, world_size: int, fields: dict[str, Any]
) -> None:
    data, config = images(20), configured(batch_size=9, **fields)
    whole = list(TASK.train_batches(data, config, seed=0, epoch=0))
    parts = [
        list(TASK.train_batches(data, config, seed=0, epoch=0, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for batch, *shares in zip(whole, *parts, strict=True):
        counted = [part for part in shares if part.share]
        assert torch.equal(torch.cat([part.inputs for part in counted]), batch.inputs)
        assert torch.equal(torch.cat([part.targets for part in counted]), batch.targets)
        assert [part.share for part in counted] == [len(part.inputs) / batch.count for part in counted]
        assert {len(part.inputs) for part in shares if not part.share} <= {batch.count}


def test_processes_draw_dropout_apart(images: Any) -> None:
    config = TrainConfig(batch_size=6)
    seeds = [
        batch.seed
        for rank in range(3)
        for batch in TASK.train_batches(images(20), config, seed=0, epoch=0, rank=rank, world_size=3)
    ]
    assert len(set(seeds)) == len(seeds)


def test_every_step_has_its_own_seed(images: Any) -> None:
    config = TrainConfig(batch_size=6)
    seeds = [
        b.seed for epoch in range(3) for b in TASK.train_batches(images(20), config, seed=0, epoch=epoch)
    ]
    assert len(set(seeds)) == len(seeds)


def test_augmentation_draws_anew_for_each_batch_epoch_and_seed(images: Any) -> None:
    image = images(1).split("train")[0]
    data = type(images())({"train": [image] * 32}, 8)  # so that only the draws differ
    config = configured(batch_size=8, augment=("crop", "flip"))
    batches = [
        batch.inputs.numpy().tobytes()
        for seed, epoch in product(range(2), repeat=2)
        for batch in TASK.train_batches(data, config, seed=seed, epoch=epoch)
    ]
    assert len(set(batches)) == len(batches) == 16


def test_an_alternating_flip_shows_both_sides_of_each_image_in_any_two_epochs(images: Any) -> None:
    image = torch.tensor([0, 0, 255, 255], dtype=torch.uint8).expand(3, 4, 4)  # its right half is bright
    data = type(images())({"train": [(image, number) for number in range(50)]}, 4)
    config = configured(batch_size=8, augment=("alternating-flip",))

    def mirrored(seed: int, epoch: int) -> list[bool]:
        sides = {}
        for batch in TASK.train_batches(data, config, seed=seed, epoch=epoch):
            left_is_bright = batch.inputs[:, 0, 0, 0] > batch.inputs[:, 0, 0, 3]
            sides |= dict(zip(batch.targets.tolist(), left_is_bright.tolist(), strict=True))
        return [sides[number] for number in range(50)]

    for seed in range(2):
        for epoch in range(3):
            assert mirrored(seed, epoch + 1) == [not side for side in mirrored(seed, epoch)]
        assert 10 < sum(mirrored(seed, 0)) < 40
    assert mirrored(0, 0) != mirrored(1, 0)


class Whole:
    """A split that returns whole batches."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read_batch(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        return self.images[indices], torch.zeros(len(indices), dtype=torch.int64)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width", [1, 8])
def test_inputs_are_channels_last_whatever_the_layout_of_the_images(channels: int, width: int) -> None:
    images = torch.randint(0, 256, (5, channels, width, width), dtype=torch.uint8)
    for given in (
        images,
        images.contiguous(memory_format=torch.channels_last),
        images.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0),
    ):
        data = View(
            dims={"in_channels": channels, "image_size": width, "num_classes": 1},
            preprocess={"size": width, "mean": [0.4] * channels, "std": [0.2] * channels},
            split=lambda name, given=given: Whole(given),
        )
        (batch,) = TASK.eval_batches(data, "test")
        assert batch.inputs.permute(0, 2, 3, 1).is_contiguous()
        torch.testing.assert_close(batch.inputs, (images / 255 - 0.4) / 0.2, atol=1e-5, rtol=0)


class Fixed(nn.Module):
    """Returns the same logits for any input."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


def test_a_step_sums_and_the_metrics_divide() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    batch = Batch(torch.zeros(3, 3, 4, 4), torch.tensor([0, 1, 1]), 0, 1, 0)
    step = TASK.step(Fixed(logits), batch)
    losses = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(-1)), math.log(1 + math.exp(3))]
    assert step.count == 3
    assert step.sums["accuracy"] == 2
    assert step.sums["loss"].item() == pytest.approx(sum(losses))
    assert step.loss.item() == pytest.approx(sum(losses) / 3)
    assert TASK.metrics({"loss": 6.0, "accuracy": 3.0}, 4, {}) == {"accuracy": 0.75, "loss": 1.5}


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0, 0.5]])
    batch = Batch(torch.zeros(1, 3, 4, 4), torch.tensor([0]), 0, 1, 0)
    log_p = logits.log_softmax(1)[0]
    expected = -(0.9 * log_p[0] + 0.1 * log_p.mean())
    assert TASK.step(
        Fixed(logits), batch, config=configured(label_smoothing=0.1)
    ).loss.item() == pytest.approx(expected.item())


def test_the_confusion_matrix_has_a_row_for_each_label(images: Any) -> None:
    predictions = torch.tensor([0, 1, 1, 2, 2, 2])
    batch = Batch(torch.zeros(6, 3, 4, 4), torch.tensor([0, 0, 1, 2, 2, 1]), 0, 1, 0)
    model = Fixed(torch.eye(4)[predictions])
    assert "confusion" not in TASK.step(model.train(), batch).sums
    sums = TASK.step(model.eval(), batch).sums
    details = TASK.details(sums, images().preprocess)
    assert details["confusion"] == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]
    half, all_ = (pytest.approx(interval, abs=1e-4) for interval in ([0.0945, 0.9055], [0.3424, 1.0]))
    assert details["classes"] == [
        {"class": "a", "count": 2, "accuracy": 0.5, "interval": half},
        {"class": "b", "count": 2, "accuracy": 0.5, "interval": half},
        {"class": "c", "count": 2, "accuracy": 1.0, "interval": all_},
        {"class": "d", "count": 0, "accuracy": None, "interval": None},
    ]


def test_a_blended_target_counts_as_its_likeliest_class(images: Any) -> None:
    data = images(20)
    config = configured(batch_size=20, mixup_alpha=0.4)
    (batch,) = TASK.train_batches(data, config, seed=0, epoch=0)
    assert batch.targets.shape == (20, 4)
    assert batch.count == 20
    logits = batch.targets.log()
    step = TASK.step(Fixed(logits), batch)
    assert step.sums["accuracy"] == 20
    entropy = -(batch.targets * batch.targets.clamp(min=1e-30).log()).sum(1).mean()
    torch.testing.assert_close(
        TASK.step(Fixed(logits.clamp(min=-60)), batch).loss, entropy, atol=1e-4, rtol=1e-4
    )
    (again,) = TASK.train_batches(data, config, seed=0, epoch=0)
    assert torch.equal(again.inputs, batch.inputs)


@pytest.mark.parametrize("side", [0, 2_049, 10**9, "32", True])
def test_a_card_cannot_ask_for_images_of_any_size(side: Any) -> None:
    preprocess = {"size": 32, "mean": [0.5], "std": [0.5], "classes": ["a", "b"]}
    dims = {"in_channels": 1, "num_classes": 2}
    Classification(CLASSIFICATION).processor.check_feeding(preprocess, dims | {"image_size": 2_048})
    with pytest.raises(OptionError, match=r"^image_size must be an integer from 1 to 2,048"):
        Classification(CLASSIFICATION).processor.check_feeding(preprocess, dims | {"image_size": side})
    with pytest.raises(OptionError, match=r"^size must be an integer from 1 to 2,048"):
        Classification(CLASSIFICATION).processor.check_feeding({**preprocess, "size": side}, dims)


def uneven(images: Any) -> Any:
    """50 images: 30 of class a, 12 of b, 8 of d, and none of c."""
    data = images(1, 1, 0, size=4)
    labels = torch.tensor([0] * 30 + [1] * 12 + [3] * 8)
    pixels = torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1).expand(50, 3, 4, 4).contiguous()
    splits = {"train": ImageSplit(pixels, labels)}
    return View(dims=data.dims, preprocess=data.preprocess, split=lambda name: splits.get(name, []))


def test_balanced_class_weights_are_those_of_scikit_learn(images: Any) -> None:
    from sklearn.utils.class_weight import compute_class_weight  # slow to import

    data = uneven(images)
    labels = data.split("train").labels.numpy()
    classes = torch.tensor([0, 1, 3]).numpy()
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    expected = dict(zip([0, 1, 3], weights, strict=True))
    config = configured(batch_size=8, class_weights="balanced")
    batches = list(TASK.train_batches(data, config, seed=0, epoch=0))
    labels = [label for batch in batches for label in batch.targets.tolist()]
    found = torch.cat([batch.weights for batch in batches if batch.weights is not None]).tolist()
    assert dict(zip(labels, found, strict=True)) == pytest.approx(expected)
    assert sum(found) == pytest.approx(50)
    plain = list(TASK.train_batches(data, configured(batch_size=8), seed=0, epoch=0))
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(batches, plain, strict=True))
    assert {batch.weights for batch in plain} == {None}


def test_item_weights_scale_the_loss_of_each_item_and_not_the_counts() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    losses = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(-1)), math.log(1 + math.exp(3))]
    weights = torch.tensor([0.5, 2.0, 1.0])
    batch = Batch(torch.zeros(3, 3, 4, 4), torch.tensor([0, 1, 1]), 0, 1, 0, weights=weights)
    step = TASK.step(Fixed(logits), batch)
    assert step.loss.item() == pytest.approx((0.5 * losses[0] + 2 * losses[1] + losses[2]) / 3)
    assert step.count == 3
    assert step.sums["accuracy"] == 2


def test_a_blended_image_has_the_blended_weight_of_its_labels(images: Any) -> None:
    config = configured(batch_size=50, class_weights="balanced", mixup_alpha=0.4)
    (batch,) = TASK.train_batches(uneven(images), config, seed=0, epoch=0)
    by_class = torch.tensor([50 / (3 * 30), 50 / (3 * 12), 0.0, 50 / (3 * 8)])
    torch.testing.assert_close(batch.weights, (batch.targets * by_class).sum(1))


@pytest.mark.parametrize("option", [{"class_weights": "balanced"}, {"balanced_sampling": True}])
def test_several_processes_weigh_and_draw_as_one(images: Any, option: dict[str, Any]) -> None:
    data, config = uneven(images), configured(batch_size=8, mixup_alpha=0.4, **option)
    whole = list(TASK.train_batches(data, config, seed=0, epoch=1))
    parts = [TASK.train_batches(data, config, seed=0, epoch=1, rank=n, world_size=2) for n in range(2)]
    for batch, several in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.cat([part.inputs for part in several]), batch.inputs)
        if batch.weights is not None:
            torch.testing.assert_close(torch.cat([part.weights for part in several]), batch.weights)


def test_balanced_sampling_draws_each_class_equally_often(images: Any) -> None:
    data, config = uneven(images), configured(batch_size=10, balanced_sampling=True)
    epochs = [
        torch.cat([batch.targets for batch in TASK.train_batches(data, config, seed=0, epoch=epoch)])
        for epoch in range(40)
    ]
    assert {len(epoch) for epoch in epochs} == {50}
    counts = torch.bincount(torch.cat(epochs), minlength=4)
    assert counts[2] == 0
    assert all(abs(count - 2000 / 3) < 4 * math.sqrt(2000 * 2 / 9) for count in counts[[0, 1, 3]].tolist())
    assert not torch.equal(epochs[0], epochs[1])


def test_balanced_sampling_continues_within_an_epoch(images: Any) -> None:
    data, config = uneven(images), configured(batch_size=8, balanced_sampling=True, augment=("flip",))
    whole = list(TASK.train_batches(data, config, seed=3, epoch=2))
    rest = list(TASK.train_batches(data, config, seed=3, epoch=2, start=4))
    assert [batch.index for batch in rest] == [4, 5, 6]
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(rest, whole[4:], strict=True))


def test_a_class_cannot_be_balanced_twice() -> None:
    with pytest.raises(OptionError, match="class_weights=balanced and balanced_sampling=true cannot be"):
        configured(class_weights="balanced", balanced_sampling=True)


@pytest.mark.parametrize("option", [{"class_weights": "balanced"}, {"balanced_sampling": True}])
def test_classes_without_a_tensor_of_labels_cannot_be_balanced(images: Any, option: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="training split with a tensor `labels`"):
        next(TASK.train_batches(images(20), configured(**option), seed=0, epoch=0))


def test_the_metrics_that_weigh_classes_alike_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score

    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (200,), generator=generator).clamp(min=1)  # no image of class 0
    guesses = torch.where(torch.rand(200, generator=generator) < 0.6, labels, labels.roll(1) % 4 + 1)
    guesses[:3] = 5  # a class that is predicted, but has no images
    confusion = torch.zeros(7, 7, dtype=torch.float64)
    confusion.index_put_((labels, guesses), torch.ones(200, dtype=torch.float64), accumulate=True)
    found = TASK.metrics({"loss": 1.0, "accuracy": 1.0, "confusion": confusion}, 200, {})
    assert found["macro_f1"] == pytest.approx(f1_score(labels, guesses, average="macro"))
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = balanced_accuracy_score(labels, guesses)
    assert found["balanced_accuracy"] == pytest.approx(expected)
    assert found["balanced_accuracy"] != pytest.approx(found["macro_f1"])
