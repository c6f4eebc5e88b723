"""Augmentation, compared with slow references that handle one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.configs import configured
from zoo import OptionError, Registry, TrainConfig
from zoo.config.declarations import option
from zoo.config.layers import YOU, Layers
from zoo.data.draws import Draws
from zoo.registry.methods import augmentations, with_checked_methods
from zoo_images.augmentations import alternating_flip, crop, cutout, flip, translate
from zoo_images.fields import ImageFields
from zoo_images.mixing import mixup
from zoo_images.plugin import zoo_augmentations
from zoo_images.views import Views

NAMES = [spec.name for spec in zoo_augmentations()]


def augment(images: Tensor, names: Sequence[str], draws: Draws, **options: object) -> Tensor:
    """Apply augmentations in order."""
    for _, change in augmentations(configured(augment=names, augment_options=options)):
        images = change(images, draws)
    return images


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(images: torch.Tensor, seed: int = 0) -> Draws:
    return Draws(generator(seed), len(images))


def random_images(count: int, size: int = 16) -> Tensor:
    return torch.randint(1, 256, (count, 3, size, size), generator=generator(9), dtype=torch.uint8)


def slow_crop(image: Tensor, row: int, column: int, pad: int) -> Tensor:
    """Copy each pixel from its source; zero outside."""
    size = image.shape[-1]
    cut = torch.zeros_like(image)
    for y in range(size):
        for x in range(size):
            from_y, from_x = y + row - pad, x + column - pad
            if 0 <= from_y < size and 0 <= from_x < size:
                cut[:, y, x] = image[:, from_y, from_x]
    return cut


def offset(image: Tensor, cut: Tensor, pad: int) -> tuple[int, int]:
    """Return the only offset that gives this cut."""
    places = [(r, c) for r in range(2 * pad + 1) for c in range(2 * pad + 1)]
    (place,) = [place for place in places if torch.equal(slow_crop(image, *place, pad), cut)]
    return place


@pytest.mark.parametrize(("size", "pad"), [(16, 2), (4, 1)])
def test_each_crop_is_a_window_of_the_padded_image_at_its_own_offset(size: int, pad: int) -> None:
    images = random_images(24, size)
    cuts = crop(images, draws(images))
    assert cuts.shape == images.shape
    assert cuts.dtype == images.dtype
    offsets = [offset(image, cut, pad) for image, cut in zip(images, cuts, strict=True)]
    assert len(set(offsets)) > 5
    assert any(row != column for row, column in offsets)


def test_crop_offsets_are_uniform() -> None:
    size, count = 8, 9_000
    ramp = torch.arange(1, size * size + 1, dtype=torch.uint8).view(1, 1, size, size).expand(count, 1, -1, -1)
    middle = crop(ramp, draws(ramp))[:, 0, 4, 4].long() - 1
    rows, columns = middle // size - 3, middle % size - 3
    counts = torch.bincount(rows * 3 + columns, minlength=9)
    expected = count / 9
    assert ((counts - expected) ** 2 / expected).sum() < 26, counts  # chi-squared, p = 0.001, 8 degrees


@pytest.mark.parametrize("change", [flip, alternating_flip])
def test_half_of_the_images_are_flipped(change: Callable[[Tensor, Draws], Tensor]) -> None:
    images = random_images(4_000, 4)
    flipped = change(images, draws(images))
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert abs(mirrored.float().mean() - 0.5) < 0.04  # five deviations


def test_an_alternating_flip_mirrors_the_images_whose_turn_it_is() -> None:
    images = random_images(3)
    turns, places = torch.tensor([True, True, False, False, True]), torch.tensor([4, 1, 3])
    flipped = alternating_flip(images, Draws(generator(), 5, places, turns))
    assert torch.equal(flipped, torch.stack([images[0].flip(2), images[1].flip(2), images[2]]))


def slow_translate(image: Tensor, row: int, column: int, pad: int) -> Tensor:
    """Copy each pixel from its source; outside, the image is reflected at its border pixels."""
    last = image.shape[-1] - 1

    def back(place: int) -> int:
        return last - abs(last - abs(place))

    rows = [back(y + row - pad) for y in range(last + 1)]
    columns = [back(x + column - pad) for x in range(last + 1)]
    return image[:, rows][:, :, columns]


def test_each_image_is_shifted_by_its_own_offset_with_reflected_borders() -> None:
    images = random_images(40, 32)
    offsets: set[tuple[int, int]] = set()
    for image, moved in zip(images, translate(images, draws(images)), strict=True):
        places = [(r, c) for r in range(5) for c in range(5)]
        (place,) = [place for place in places if torch.equal(slow_translate(image, *place, 2), moved)]
        offsets.add(place)
    assert {row for row, _ in offsets} == {column for _, column in offsets} == set(range(5))


def test_each_cutout_is_one_black_square_at_its_own_place() -> None:
    images = random_images(300, 16)
    cut = cutout(images, draws(images))
    black = (cut == 0).all(1)
    assert torch.equal(torch.where(black[:, None], 0, images), cut)  # nothing else changes
    assert torch.equal((cut == 0).any(1), black)
    middles: set[tuple[int, int]] = set()
    for hole in black:
        rows, columns = hole.any(1).nonzero()[:, 0], hole.any(0).nonzero()[:, 0]
        assert hole.sum() == len(rows) * len(columns)  # a rectangle
        assert 2 <= len(rows) <= 4
        assert 2 <= len(columns) <= 4
        inside = rows[0] > 0 and rows[-1] < 15 and columns[0] > 0 and columns[-1] < 15
        assert not inside or len(rows) == len(columns) == 4
        middles.add((int(rows[0]), int(columns[0])))
    assert len(middles) > 80
    assert black.any(0).all()  # every pixel can be hit


def test_mixup_blends_each_image_and_label_with_the_previous_one() -> None:
    images = torch.randn(6, 3, 4, 4)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    blended, targets = mixup(images, labels, classes=3, alpha=1.0, seed=7)
    share = float(targets[1, 0])
    assert 0 < share < 1
    assert torch.allclose(targets.sum(1), torch.ones(6))
    for i in range(6):
        assert torch.allclose(blended[i], (1 - share) * images[i] + share * images[i - 1], atol=1e-6)
        assert targets[i, labels[i]] == pytest.approx(1 - share)
        assert targets[i, labels[i - 1]] == pytest.approx(share)


def test_the_weights_of_mixup_follow_its_beta_distribution() -> None:
    labels = torch.tensor([0, 1])
    drawn = [
        float(mixup(torch.zeros(2, 1, 1, 1), labels, classes=2, alpha=0.2, seed=seed)[1][0, 1])
        for seed in range(400)
    ]
    extreme = sum(not 0.1 < share < 0.9 for share in drawn) / len(drawn)
    assert 0.6 < extreme < 0.8  # 0.67 of Beta(0.2, 0.2)
    assert abs(sum(drawn) / len(drawn) - 0.5) < 0.12


def test_draws_depend_on_the_generator_alone() -> None:
    images = random_images(8)
    names = ("crop", "flip", "translate", "cutout")
    assert torch.equal(augment(images, names, draws(images, 1)), augment(images, names, draws(images, 1)))
    assert not torch.equal(augment(images, names, draws(images, 1)), augment(images, names, draws(images, 2)))
    state = torch.get_rng_state()
    augment(images, names, draws(images))
    assert torch.equal(torch.get_rng_state(), state)


def test_augmentations_are_applied_in_the_order_of_their_names() -> None:
    images = random_images(8)
    drawn = draws(images)
    by_hand = crop(flip(images, drawn), drawn)
    assert torch.equal(augment(images, ("flip", "crop"), draws(images)), by_hand)
    assert augment(images, (), draws(images)) is images


def test_augmentation_does_not_change_its_input() -> None:
    images = random_images(8)
    before = images.clone()
    for name in NAMES:
        augment(images, [name], draws(images))
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_augmented_alike_whatever_the_others_of_its_batch(name: str) -> None:
    images = random_images(24)
    whole = augment(images, [name], Draws(generator(), 24))
    places = torch.tensor([3, 7, 20])
    assert torch.equal(augment(images[places], [name], Draws(generator(), 24, places)), whole[places])


@pytest.mark.parametrize("name", NAMES)
def test_an_augmentation_leaves_the_global_generator_as_it_is(name: str) -> None:
    before = torch.get_rng_state()
    augment(random_images(8), [name], draws(random_images(8)))
    assert torch.equal(torch.get_rng_state(), before)


def test_options_reach_their_augmentation() -> None:
    images = random_images(40)
    erased = augment(images, ["random-erasing"], draws(images), **{"random-erasing.p": 1.0})
    assert all((image == 0).any() for image in erased)
    kept = augment(images, ["random-erasing"], draws(images), **{"random_erasing.p": 0.0})
    assert torch.equal(kept, images)


@dataclass(frozen=True, kw_only=True)
class Late:
    """Options of a plugin, whose augmentations are applied after those of `augment`."""

    late: tuple[str, ...] = option((), "names of augmentations.", names="augmentation")
    late_options: Mapping[str, Any] = option({}, "options of these augmentations.")


def test_the_augmentations_of_each_training_option_have_options_of_their_own() -> None:
    early = ImageFields(augment=("random-erasing",), augment_options={"random-erasing.p": 0.0})
    for p, changed in ((0.0, False), (1.0, True)):
        late = Late(late=("random-erasing",), late_options={"random-erasing.p": p})
        first, second = augmentations(TrainConfig(groups={"images": early, "late": late}))
        images = random_images(4)
        assert torch.equal(first[1](images, draws(images)), images)
        assert torch.equal(second[1](images, draws(images)), images) is not changed


def test_a_crop_of_the_whole_image_changes_its_shape_at_most() -> None:
    images = torch.full((6, 3, 16, 16), 7, dtype=torch.uint8)
    cropped = augment(images, ["random-resized-crop"], draws(images))
    assert torch.equal(cropped, images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"random-erasing.q": 1}, "augmentation images/random-erasing has no option 'q'"),
        ({"random-erasing.p": 2}, "p must be at most 1"),
        ({"crop.p": 1}, "'crop.p' is not an option of the selected augmentations"),
        ({"p": 1}, "'p' is not an option of the selected augmentations"),
    ],
)
def test_a_wrong_option_of_an_augmentation_is_refused(
    options: dict[str, object], message: str, registry: Registry
) -> None:
    chosen = {"augment": ["random-erasing"], "augment_options": options}
    layers = Layers(registry.default_config("classification")).give(YOU, chosen)
    with pytest.raises(OptionError, match=message):
        with_checked_methods(layers)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_images() -> None:
    images = random_images(32)
    names = ["alternating-flip", "crop", "cutout", "flip", "translate"]
    on_gpu = augment(images.cuda(), names, draws(images))
    assert torch.equal(on_gpu.cpu(), augment(images, names, draws(images)))


def test_views_average_the_probabilities_of_six_versions_of_each_image() -> None:
    seen: list[Tensor] = []

    class Corner(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return images[:, 0, 0, :2]

    images = torch.randn(3, 1, 32, 32)
    out = Views(Corner())(images)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    shifted = [images, padded[:, :, :32, :32], padded[:, :, 2:, 2:]]
    expected = [view for shift in shifted for view in (shift, shift.flip(3))]
    assert all(torch.equal(view, wanted) for view, wanted in zip(seen, expected, strict=True))
    mean = sum(view[:, 0, 0, :2].softmax(1) for view in expected) / 6
    torch.testing.assert_close(out.exp(), mean)


def test_the_views_of_extreme_logits_are_finite() -> None:
    class Extreme(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([[300.0, 0.0]])

    torch.testing.assert_close(Views(Extreme())(torch.zeros(1, 1, 8, 8)), torch.tensor([[0.0, -300.0]]))
