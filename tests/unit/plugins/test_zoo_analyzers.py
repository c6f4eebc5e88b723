"""Diagnoses against what can be counted by hand."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from zoo import OptionError
from zoo.interfaces import Analysis, Batch, Subject
from zoo_analyzers.activations import Activations
from zoo_analyzers.confusion import Confusion
from zoo_analyzers.plots import matrix_plot, pairs_plot
from zoo_analyzers.surprisal import Surprisal, _highest
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

IMAGES = {"size": 4, "mean": [0.5], "std": [0.25], "classes": ["a", "b", "c"]}
TEXT = {"tokens": "char", "lower": False, "vocabulary": ["<unk>", *"abcd<"], "specials": 1}


def subject(task: Any = "classification", **preprocess: Any) -> Subject:
    base = IMAGES if task == "classification" else TEXT
    return Subject(task=task, landmarks={}, preprocess=base | preprocess)


class Guesses(nn.Module):
    """Predicts the class that the first pixel encodes."""

    def forward(self, images: Tensor) -> Tensor:
        answer = (images[:, 0, 0, 0] * 0.25 + 0.5).mul(255).round().long()
        return 3.0 * nn.functional.one_hot(answer, 3)


def images(answers: list[int], labels: list[int]) -> Batch:
    images = torch.zeros(len(answers), 1, 4, 4)
    images[:, 0, 0, 0] = (torch.tensor(answers) / 255 - 0.5) / 0.25
    return Batch(images, torch.tensor(labels), 0, 1, 0)


def confusion(*batches: Batch, **options: Any) -> Analysis:
    return Confusion(**options).analyze(Guesses(), batches, subject=subject())


def test_the_confusion_matrix_counts_true_and_predicted_classes() -> None:
    found = confusion(images([0, 1, 1, 1], [0, 0, 0, 1]), images([2, 0, 2], [2, 1, -1]))
    assert found.details["matrix"] == [[1, 2, 0], [1, 1, 0], [0, 0, 1]]
    assert found.tables["confused"] == [
        {"true": "a", "predicted": "b", "count": 2, "share": pytest.approx(2 / 3)},
        {"true": "b", "predicted": "a", "count": 1, "share": 0.5},
    ]
    first = found.tables["classes"][0]
    assert first == {"class": "a", "count": 3, "precision": 0.5, "recall": pytest.approx(1 / 3)}
    assert found.scores["accuracy"] == 0.5
    right, wrong = -math.log(math.e**3 / (math.e**3 + 2)), -math.log(1 / (math.e**3 + 2))
    assert found.scores["loss"] == pytest.approx((right + wrong) / 2)


def test_a_class_without_images_or_predictions_has_no_recall_or_precision() -> None:
    rows = confusion(images([0, 0], [0, 1])).tables["classes"]
    assert [(row["precision"], row["recall"]) for row in rows] == [(0.5, 1.0), (None, 0.0), (None, None)]


def test_confused_pairs_are_shown_with_images() -> None:
    found = confusion(images([1] * 9, [0] * 9), examples=4, pairs=1)
    sizes = {}
    for name, draw in found.figures.items():
        with Image.open(io.BytesIO(draw())) as image:
            sizes[name] = image.size
    assert sizes.keys() == {"confusion.png", "confused.png"}
    more = confusion(images([1] * 9, [0] * 9), examples=8, pairs=1)
    with Image.open(io.BytesIO(more.figures["confused.png"]())) as image:
        assert image.size[0] > sizes["confused.png"][0]


NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def drawn(figure: Figure) -> Figure:
    """Return a figure after its layout is made."""
    figure.draw_without_rendering()
    return figure


def said(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def test_that_nothing_was_confused_is_said_in_words() -> None:
    assert confusion(images([0], [0])).figures["confused.png"]()
    figure = pairs_plot([], title="net on data, test split")
    assert "net on data, test split" in said(figure)
    assert "No images are confused" in said(figure)


def test_a_matrix_states_what_it_is_of_and_how_many_are_right() -> None:
    figure = matrix_plot([[900, 100], [0, 1000]], ["a", "b"], title="net on data, test split")
    assert said(figure).splitlines()[0] == "net on data, test split"
    assert "1,900 of 2,000 correct (95.0%)" in said(figure)
    assert "darkest orange marks 10.0% of a class" in said(figure)
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.texts} == {"true", "900", "100", "1,000"}, "no zeros"


def test_mistakes_show_beside_a_diagonal_that_dominates() -> None:
    (axes,) = matrix_plot([[997, 2, 1], [0, 1000, 0], [0, 0, 1000]], ["a", "b", "c"], title="").axes
    colors = np.asarray(axes.images[0].get_array())[..., :3]
    assert colors[1, 0].min() > 0.95, "no mistake is nearly white"
    assert colors[0, 1].min() < 0.5, "the most frequent mistake, of 0.2%, is strong"
    assert colors[0, 1].min() < colors[0, 2].min() < 0.9
    right, wrong = colors[0, 0], colors[0, 1]
    assert right[2] > right[0], "blue"
    assert wrong[0] > wrong[2], "orange"


@pytest.mark.parametrize("names", [NAMES, ["yes", "no"], [f"kind {n}" for n in range(100)]])
def test_the_labels_of_a_matrix_are_legible(names: list[str]) -> None:
    figure = drawn(matrix_plot(np.eye(len(names), dtype=int).tolist(), names, title="net on data"))
    (axes,) = figure.axes
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == names
        boxes = [label.get_window_extent() for label in labels]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))
        assert all(figure.bbox.contains(*corner) for box in boxes for corner in box.corners())
        assert min(float(label.get_fontsize()) for label in labels) >= 6
    turned = {label.get_rotation() for label in axes.get_xticklabels()}
    assert turned == ({0} if len(names) <= 10 else {90}), "horizontal where they fit"


def test_labels_too_long_for_a_matrix_are_shortened() -> None:
    names = [f"{n}: a class with a name as long as this sentence, or longer" for n in range(20)]
    (axes,) = matrix_plot(np.eye(20, dtype=int).tolist(), names, title="").axes
    for name, label in zip(names, axes.get_xticklabels(), strict=True):
        assert name.startswith(label.get_text().removesuffix("…"))
        assert label.get_text().endswith("…")


def test_a_thousand_classes_fit_a_screen_and_some_are_named() -> None:
    names = [f"kind {n}" for n in range(1000)]
    figure = matrix_plot(np.eye(1000, dtype=int).tolist(), names, title="")
    assert max(figure.get_size_inches()) < 18
    assert 50 < len(figure.axes[0].get_yticklabels()) < 150


def test_images_without_labels_are_refused() -> None:
    with pytest.raises(
        OptionError, match="the confusion analyzer requires labels, but these images have none"
    ):
        confusion(images([0, 1], [-1, -1]))


class Layers(nn.Module):
    """A constant unit, one that ReLU kills, one that varies, and padding."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Conv2d(1, 3, 1)
        self.relu = nn.ReLU()
        self.body = nn.Sequential(nn.ZeroPad2d(1))
        self.out = nn.Linear(3, 3)
        with torch.no_grad():
            self.scale.weight[:, 0, 0, 0] = torch.tensor([1.0, 1.0, 0.0])
            self.scale.get_parameter("bias").copy_(torch.tensor([0.0, -100.0, 5.0]))

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.body(self.relu(self.scale(images)))[:, :, 1:-1, 1:-1].mean((2, 3)))


def test_layers_are_measured_over_all_batches() -> None:
    images = torch.rand(6, 1, 4, 4)
    batches = [Batch(part, torch.zeros(len(part)), i, 2, 0) for i, part in enumerate(images.split(4))]
    model = Layers()
    found = Activations().analyze(model, batches, subject=subject())
    rows = {row["layer"]: row for row in found.tables["layers"]}
    assert [*rows] == ["scale", "relu", "out"], "padding is no layer"
    with torch.no_grad():
        values = model.relu(model.scale(images))
    assert rows["relu"]["mean"] == pytest.approx(float(values.mean()), rel=1e-5)
    assert rows["relu"]["std"] == pytest.approx(float(values.std(correction=0)), rel=1e-5)
    assert rows["scale"]["dead"] == pytest.approx(1 / 3), "the constant one"
    assert rows["relu"]["dead"] == pytest.approx(2 / 3), "and one that never fires"
    assert rows["relu"]["units"] == 3
    assert found.scores["most_dead"] == pytest.approx(2 / 3)
    with Image.open(io.BytesIO(found.figures["activations.png"]())) as image:
        assert image.size > (400, 400)


def test_every_unit_of_a_wide_layer_is_measured() -> None:
    images, layer = torch.rand(6, 1, 4, 4), nn.Linear(16, 150)
    model = nn.Sequential(nn.Flatten(), layer)
    with torch.no_grad():
        layer.weight[149] = 0  # the last unit is dead
        values = model(images)
    batch = Batch(images, torch.zeros(6), 0, 1, 0)
    (row,) = Activations().analyze(model, [batch], subject=subject()).tables["layers"]
    assert (row["units"], row["dead"]) == (150, pytest.approx(1 / 150))
    assert row["mean"] == pytest.approx(float(values.mean()), abs=1e-6)
    assert row["std"] == pytest.approx(float(values.std(correction=0)), rel=1e-5)


def test_a_unit_with_a_single_value_is_neither_dead_nor_alive() -> None:
    batch = Batch(torch.rand(1, 1, 4, 4), torch.zeros(1), 0, 1, 0)
    rows = Activations().analyze(Layers(), [batch], subject=subject()).tables["layers"]
    assert {row["layer"]: row["dead"] for row in rows}["out"] is None
    assert rows[0]["dead"] is not None


def test_a_layer_that_runs_with_different_numbers_of_units_has_a_row_for_each() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            return self.relu(torch.cat([self.relu(images)] * 2, 1)).mean((2, 3))

    batch = Batch(torch.rand(3, 1, 4, 4), torch.zeros(3), 0, 1, 0)
    found = Activations().analyze(Shared(), [batch], subject=subject())
    assert [(row["layer"], row["units"]) for row in found.tables["layers"]] == [("relu", 1), ("relu", 2)]


def test_vectors_have_their_units_last() -> None:
    tokens = torch.randint(1, 6, (7, 2), generator=torch.Generator().manual_seed(0))
    batch = Batch(tokens[:-1], tokens[1:], 0, 1, 0, fresh=True)
    found = Activations().analyze(Alphabet(), [batch], subject=subject("language-modeling"))
    assert [(row["layer"], row["units"]) for row in found.tables["layers"]] == [("embedding", 6)]


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(OptionError, match="no layer of this model"):
        Activations().analyze(Guesses(), [images([0], [0])], subject=subject())


class Alphabet(nn.Module):
    """Expects b after a and so on, and with more confidence after every batch unless it `forgets`."""

    def __init__(self, *, forgets: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 6)
        self.embedding.weight.data = 4.0 * torch.eye(6).roll(1, 1)
        self.forgets = forgets

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        read = torch.zeros(1) if state is None else state + 1
        return self.embedding(tokens) * (1 if self.forgets else 2**read), read


class Batches(LanguageModeling):
    """Batches of a text."""

    def of(self, text: str, lanes: int) -> list[Batch]:
        numbers = torch.tensor([TEXT["vocabulary"].index(letter) for letter in text])

        return list(self.lane_batches(numbers, lanes=lanes, steps=5))


BATCHES = Batches(LANGUAGE_MODELING)


@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_surprisal_is_listed_token_by_token_in_the_order_of_the_text(lanes: int) -> None:
    text = "abcd" * 5 + "ddd" + "abcd" * 5
    found = Surprisal(passages=1, length=3).analyze(
        Alphabet(), BATCHES.of(text, lanes), subject=subject("language-modeling")
    )
    (passage,) = found.tables["passages"]
    odds = math.log(1 + 5 * math.exp(-4))
    wrong = odds + 4
    assert passage["from"] == 20
    assert passage["text"] == "ddd"
    assert passage["nats"] == pytest.approx(wrong, rel=1e-5)
    rows = {row["token"]: row for row in found.tables["tokens"]}
    assert sum(row["count"] for row in rows.values()) == len(text) - 1
    assert rows["d"]["count"] == text.count("d")
    assert rows["d"]["nats"] == pytest.approx((10 * odds + 3 * wrong) / 13, rel=1e-5)
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    assert "ddd" in _plain(found.text)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_the_page_is_safe_and_whole() -> None:
    text = "abcd<abcd" * 4
    titled = dataclasses.replace(subject("language-modeling"), title="net <1> on my.txt")
    found = Surprisal(passages=2, length=4).analyze(Alphabet(), BATCHES.of(text, 1), subject=titled)
    page = found.figures["surprisal.html"]().decode()
    assert "net &lt;1&gt; on my.txt" in page
    assert "><</span>" not in page
    assert "&lt;</span>" in page
    assert page.count("<pre>") == 1 + len(found.tables["passages"])
    assert page.count("<span") == len(text) - 1 + 2 * 4, "the whole text but its first token, and passages"


def test_state_is_carried_from_batch_to_batch_until_it_is_fresh() -> None:
    batches = BATCHES.of("abcd" * 6, 1)
    assert len(batches) > 2
    learns = Surprisal().analyze(Alphabet(forgets=False), batches, subject=subject("language-modeling"))
    forgets = Surprisal().analyze(Alphabet(), batches, subject=subject("language-modeling"))
    costs = []
    for number, batch in enumerate(batches):
        sure = 4 * 2**number
        wrong = (batch.inputs + 1) % 6 != batch.targets  # d is followed by a
        costs.append(math.log(1 + 5 * math.exp(-sure)) + sure * wrong)
    expected = float(torch.cat(costs).mean()) / math.log(2)
    assert learns.scores["bits_per_char"] == pytest.approx(expected, rel=1e-3)
    assert learns.scores["bits_per_char"] != pytest.approx(forgets.scores["bits_per_char"], rel=0.01)
    assert learns.scores["perplexity"] == pytest.approx(2**expected, rel=1e-3)


def test_newlines_and_control_characters_are_made_visible() -> None:
    vocabulary = {"vocabulary": ["<unk>", *"abc", "<eos>", "\x1b"], "newline_eos": True}
    tokens = torch.tensor([1, 2, 4, 5, 3, 1])
    batch = Batch(tokens[:-1, None], tokens[1:, None], 0, 1, 0, fresh=True)
    given = subject("language-modeling", **vocabulary)
    found = Surprisal(passages=1, length=5).analyze(Alphabet(), [batch], subject=given)
    assert found.tables["passages"][0]["text"] == "b\n\x1bca"
    assert _plain(found.text).endswith("b↵·ca")
    page = found.figures["surprisal.html"]().decode()
    assert "↵</span>\n" in page
    assert "\x1b" not in page


def test_tokens_with_more_nats_are_redder() -> None:
    found = Surprisal(passages=1, length=8).analyze(
        Alphabet(), BATCHES.of("abcddabcd", 1), subject=subject("language-modeling")
    )
    heats = [
        float(heat) for heat in re.findall(r"30, ([\d.]+)\)", found.figures["surprisal.html"]().decode())
    ]
    assert max(heats) > 0.5 > 0.1 > min(heats)
    reds = [int(red) for red in re.findall(r"48;2;(\d+);", found.text)]
    assert max(reds) > 100 > 20 > min(reds)


def test_a_backwards_model_s_passages_are_in_reading_order() -> None:
    found = Surprisal(passages=1, length=3).analyze(
        Alphabet(),
        BATCHES.of("abcdaabcd", 1),
        subject=subject("language-modeling", backwards=True),
    )
    assert found.tables["passages"][0]["text"] == "baa"  # the last token is read first, and not predicted
    assert found.tables["passages"][0]["from"] == 2


def test_passages_do_not_overlap() -> None:
    nats = torch.tensor([0.0, 5, 5, 5, 5, 0, 0, 3, 3, 0])
    assert _highest(nats, count=5, length=2) == [(1, 3), (3, 5), (7, 9), (5, 7)]
    assert _highest(nats[:1], count=5, length=80) == [(0, 1)]
