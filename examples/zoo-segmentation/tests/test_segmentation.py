import math
from typing import Any

import pytest
import torch
from torch import nn
from zoo_segmentation.augmenting import augmented
from zoo_segmentation.counting import confusion_of, iou_by_class, overlaps
from zoo_segmentation.masks import Masks
from zoo_segmentation.processor import UNKNOWN
from zoo_segmentation.shapes_masks import ShapesMasks
from zoo_segmentation.tiny import TinyMasks
from zoo_segmentation.unet import UNet

import zoo
from zoo import OptionError, Registry, TrainConfig
from zoo.interfaces import Batch, Subject, make_task
from zoo.plugin import Draws, View


@pytest.fixture(scope="module")
def task():
    return make_task(Registry.discover(), "segmentation")


class Brightest(nn.Module):
    """Predicts for each pixel the class whose channel is the brightest."""

    def forward(self, images):
        return images


def batch_of(targets, answers, *, classes=3):
    """Return a batch for which `Brightest` predicts these classes."""
    logits = nn.functional.one_hot(torch.tensor(answers), classes).permute(0, 3, 1, 2).float()
    return Batch(logits, torch.tensor(targets), 0, 1, 0)


def test_iou_is_the_intersection_of_a_class_over_its_union():
    targets = torch.tensor([[0, 0, 1, 1], [0, 0, 1, -1]])
    predicted = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 2]])
    confusion = confusion_of(targets, predicted, classes=3)
    assert confusion.tolist() == [[3, 1, 0], [1, 2, 0], [0, 0, 0]]  # and the unknown pixel nowhere
    ious = iou_by_class(confusion)
    assert ious[:2].tolist() == [3 / 5, 2 / 4]
    assert ious[2].isnan()  # neither present nor predicted: it has no part in the mean
    assert overlaps(confusion) == {"iou": pytest.approx((3 / 5 + 2 / 4) / 2), "pixel_accuracy": 5 / 7}
    assert overlaps(torch.zeros(3, 3)) == {"iou": 0.0, "pixel_accuracy": 0.0}


def test_metrics_are_those_of_all_pixels_together_however_they_are_cut(task):
    data = ShapesMasks(size=16, train_size=8, val_size=0, test_size=40)
    model = UNet(in_channels=3, image_size=16, num_classes=5, width=4, depth=2).eval()
    (whole,) = task.eval_batches(data, "test")
    together = task.step(model, whole)
    parts = [
        task.step(model, Batch(whole.inputs[part], whole.targets[part], 0, 1, 0))
        for part in (slice(0, 7), slice(7, 40))
    ]
    sums = {name: parts[0].sums[name] + parts[1].sums[name] for name in together.sums}
    assert torch.equal(sums["confusion"], together.sums["confusion"])
    torch.testing.assert_close(sums["loss"], together.sums["loss"])
    assert sum(step.count for step in parts) == together.count == 40


def test_a_loss_is_the_mean_over_an_image_and_then_over_images(task):
    batch = batch_of([[[0, 0], [0, 0]], [[1, -1], [-1, -1]]], [[[0, 0], [0, 1]], [[1, 0], [0, 0]]])
    right, wrong = (-torch.tensor([1.0, 0, 0]).log_softmax(0)[k].item() for k in (0, 1))
    step = task.step(Brightest(), batch)
    assert step.loss.item() == pytest.approx(((3 * right + wrong) / 4 + right) / 2)
    assert step.sums["loss"].item() == pytest.approx(2 * step.loss.item())


def test_an_image_whose_mask_is_unknown_teaches_nothing(task):
    step = task.step(Brightest(), batch_of([[[-1, -1]]], [[[0, 1]]]))
    assert step.loss.item() == 0.0
    assert not step.sums["confusion"].any()


def augmenting(*names):
    return Registry.discover().default_config("segmentation").replace({"augment": names})


@pytest.mark.parametrize("name", ["crop", "flip", "translate"])
def test_a_mask_goes_where_its_image_goes(name):
    masks = torch.randint(0, 9, (20, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    draws = Draws(torch.Generator().manual_seed(1), 20)
    images, moved = augmented(20 * masks[:, None] + 20, masks, augmenting(name), draws)
    assert not torch.equal(moved, masks)
    known = moved != UNKNOWN
    assert torch.equal(images[:, 0][known], 20 * moved[known] + 20)
    assert not images[:, 0][~known].any()  # what a crop fills up with zeros is of no class
    assert bool((~known).any()) == (name == "crop")


def test_cutout_hides_a_part_of_the_image_and_leaves_the_mask():
    masks = torch.ones(4, 16, 16, dtype=torch.uint8)
    draws, config = Draws(torch.Generator().manual_seed(0), 4), augmenting("flip", "cutout")
    images, same = augmented(torch.full((4, 3, 16, 16), 9, dtype=torch.uint8), masks, config, draws)
    assert torch.equal(same, masks)
    assert not images.all()


def test_what_changes_colors_and_places_is_refused():
    masks, draws = torch.ones(4, 16, 16, dtype=torch.uint8), Draws(torch.Generator(), 4)
    with pytest.raises(OptionError, match="augment=rand-augment changes colors and places"):
        augmented(torch.ones(4, 3, 16, 16, dtype=torch.uint8), masks, augmenting("rand-augment"), draws)


def test_mixup_is_refused_in_words():
    with pytest.raises(OptionError, match="mixup blends one label per image, but a mask has a label"):
        zoo.train("unet", "shapes-masks", data={"train_size": 8}, mixup_alpha=0.2, progress=False)


def test_batches_are_a_function_of_seed_epoch_and_step(task):
    config = Registry.discover().default_config("segmentation")
    config = config.replace({"batch_size": 5, "augment": ["crop", "flip"]})
    whole = list(task.train_batches(TinyMasks(), config, seed=3, epoch=1))
    rest = list(task.train_batches(TinyMasks(), config, seed=3, epoch=1, start=2))
    assert [len(batch.inputs) for batch in whole] == [5, 5, 5, 5, 4]
    for one, other in zip(whole[2:], rest, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("mask", [torch.full((4, 4), 255, dtype=torch.uint8), -1], ids=["255", "missing"])
def test_a_mask_of_255_and_a_missing_mask_are_unknown(task, mask):
    items, tiny = [(torch.zeros(3, 4, 4, dtype=torch.uint8), mask)], TinyMasks(size=4)
    view = View(dims=tiny.dims, preprocess=tiny.preprocess, split=lambda _: items)
    (batch,) = task.eval_batches(view, "test")
    assert torch.equal(batch.targets, torch.full((1, 4, 4), -1))


def test_the_views_of_an_image_are_answered_in_its_own_place(task):
    class Left(nn.Module):
        def forward(self, images):  # class 1 where the image is bright, and everywhere at the left edge
            logits = torch.cat([-images, images], 1)
            logits[..., 0] += torch.tensor([-9.0, 9.0])[:, None]
            return logits

    image = torch.zeros(1, 1, 1, 4)
    image[..., 1] = 5.0
    answer = task.views(Left())(image).exp()[0, 1, 0].tolist()  # the probability of class 1, pixel by pixel
    assert answer == pytest.approx([0.75, 1.0, 0.5, 0.75], abs=1e-3)  # either end is the left of one view
    torch.testing.assert_close(task.views(Left())(image).exp().sum(1), torch.ones(1, 1, 4))


def test_guessing_is_one_class_everywhere(task):
    assert task.baseline({"classes": ["a", "b", "c", "d"]}) == {"iou": 0.25, "loss": math.log(4)}
    assert task.baseline({"classes": ["a"]}) == {}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"classes": ["a"]}, "1 values in classes, but num_classes=3"),
        ({"std": [0.1, 0.0, 0.1]}, "std finite and greater than 0"),
        ({"mean": [0.5]}, "1 values in mean, but in_channels=3"),
    ],
)
def test_a_card_that_cannot_feed_its_model_is_refused(task, wrong, message):
    tiny = TinyMasks()
    task.processor.check_feeding(tiny.preprocess, tiny.dims)
    with pytest.raises(OptionError, match=message):
        task.processor.check_feeding({**tiny.preprocess, **wrong}, tiny.dims)


@pytest.mark.parametrize("size", [8, 17, 30])
def test_a_unet_answers_for_every_pixel_of_any_size(size):
    model = UNet(in_channels=2, image_size=size, num_classes=4, width=2, depth=3).eval()
    assert model(torch.rand(1, 2, size, size)).shape == (1, 4, size, size)


def test_a_unet_refuses_images_that_it_cannot_halve_so_often():
    with pytest.raises(ValueError, match=r"depth=3 requires at least 8 pixels \(got 7\)"):
        UNet(in_channels=3, image_size=7, num_classes=2)


def test_shapes_are_drawn_anew_by_seed_and_size_and_bounded():
    small: Any = {"size": 16, "train_size": 8, "val_size": 2, "test_size": 2}
    one, same, other = ShapesMasks(**small), ShapesMasks(**small), ShapesMasks(**small, seed=1)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    image, mask = one.split("train")[0]
    assert (image.dtype, image.shape, mask.dtype, mask.shape) == (
        torch.uint8,
        (3, 16, 16),
        torch.uint8,
        (16, 16),
    )
    assert ShapesMasks(**small, kinds=3).dims["num_classes"] == 4
    with pytest.raises(OptionError, match="at most 381 images of 512×512 pixels fit in the 400 MB limit"):
        ShapesMasks(size=512)


def test_the_analyzer_counts_what_is_known_and_draws_a_sheet():
    batch = batch_of([[[0, 1], [-1, -1]]], [[[0, 1], [1, 2]]])
    subject = Subject(
        task="segmentation",
        landmarks={},
        preprocess={"classes": ["a", "b", "c"], "mean": [0.5] * 3, "std": [0.25] * 3},
        names=("one.png",),
    )
    found = Masks().analyze(Brightest(), [batch], subject=subject)
    assert found.scores == {"iou": 1.0, "pixel_accuracy": 1.0}
    assert [row["predicted"] for row in found.tables["classes"]] == [0.25, 0.5, 0.25]
    assert [row["iou"] for row in found.tables["classes"]] == [1.0, 1.0, None]
    assert found.figures["masks.png"]().startswith(b"\x89PNG")
    unknown = Masks().analyze(Brightest(), [batch_of([[[-1]]], [[[0]]])], subject=subject)
    assert unknown.scores == {}
    assert unknown.tables["classes"][0] == {"class": "a", "predicted": 1.0, "true": None, "iou": None}


def test_an_unaugmented_configuration_needs_no_fields_of_images(task):
    assert next(task.train_batches(TinyMasks(), TrainConfig(batch_size=4), seed=0, epoch=0)).count == 4
