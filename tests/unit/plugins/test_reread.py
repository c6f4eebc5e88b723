"""Models that were trained on windows or sections are measured, chosen and sampled as they were trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from tests import shell
from zoo.evaluation.measure import measure
from zoo_charrnn.rnn import CharRNN
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING
from zoo_text.reread import Reread

TASK = LanguageModeling(LANGUAGE_MODELING)
CONTEXTS = pytest.mark.parametrize("context", [1, 3, 8, 16])


def network(vocab_size: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return CharRNN(vocab_size=vocab_size, hidden_size=16).eval()


def losses(model: nn.Module, tokens: Tensor, context: int) -> Tensor:
    """Return the loss of each token after the first `context`, computed one window at a time."""
    ends = range(context, len(tokens))
    with torch.no_grad():
        logits = [model(tokens[end - context : end, None], None)[0][-1] for end in ends]
    return F.cross_entropy(torch.cat(logits), tokens[context:], reduction="none")


@CONTEXTS
def test_the_loss_is_that_of_each_window_alone(text: Any, context: int) -> None:
    data, model = text(10, 10, 700), network()
    measured = measure(model, TASK.with_context(context), data, "test", with_items=True)
    expected = losses(model, data.split("test").long(), context)
    assert measured.count == 700 - context
    torch.testing.assert_close(measured.items["loss"], expected, rtol=1e-5, atol=1e-5)
    assert measured.metrics["loss"] == pytest.approx(float(expected.mean()), abs=1e-5)


def test_windows_that_need_too_much_memory_together_are_read_in_halves(text: Any) -> None:
    data, model = text(10, 10, 700), network(20_000)  # the logits of 512 windows of 8 tokens are 328 MB
    measured = measure(model, TASK.with_context(8), data, "test", with_items=True)
    expected = losses(model, data.split("test").long(), 8)
    torch.testing.assert_close(measured.items["loss"], expected, rtol=1e-5, atol=1e-5)


def test_the_values_of_sections_are_in_the_order_of_the_text(text: Any) -> None:
    data, model = text(10, 10, 43), network()
    task = TASK.as_trained({"batching": "sections", "bptt": 4})
    items = measure(model, task, data, "test", with_items=True).items["loss"]
    tokens = data.split("test").long()
    with torch.no_grad():
        parts = zip(tokens[:-1].split(4), tokens[1:].split(4), strict=True)
        expected = [F.cross_entropy(model(x[:, None], None)[0][:, 0], y, reduction="none") for x, y in parts]
    torch.testing.assert_close(items, torch.cat(expected), rtol=1e-5, atol=1e-5)


def test_the_loss_with_the_state_carried_stands_beside_it(text: Any) -> None:
    data, model = text(10, 10, 700), network()
    limited = measure(model, TASK.with_context(3), data, "test").metrics
    carried = measure(model, TASK, data, "test").metrics
    assert limited["carried_loss"] == carried["loss"] != limited["loss"]
    assert "carried_loss" not in carried


@CONTEXTS
@pytest.mark.parametrize("piece", [1, 2, 5, 40])
def test_each_token_is_predicted_from_the_same_tokens_in_pieces_of_any_length(
    context: int, piece: int
) -> None:
    model, tokens = network(), torch.randint(0, 8, (40, 2), generator=torch.Generator().manual_seed(0))
    state, answers = None, []
    with torch.no_grad():
        for part in tokens.split(piece):
            logits, state = Reread(model, context)(part, state)
            answers.append(logits)
        starts = [max(0, end + 1 - context) for end in range(40)]
        expected = [model(tokens[start : end + 1], None)[0][-1] for end, start in enumerate(starts)]
    torch.testing.assert_close(torch.cat(answers), torch.stack(expected), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    """A small network, trained on windows of 2 characters of a text in which 2 characters tell the next."""
    folder = tmp_path_factory.mktemp("windows")
    book = folder / "book.txt"
    book.write_text("abcadcbdabdcacbd" * 60)
    return zoo.train(
        "rnn",
        "files",
        data={"paths": str(book)},
        model={"hidden_size": 16},
        run=folder / "run",
        progress=False,
        batching="windows",
        bptt=2,
        batch_size=64,
        epochs=2,
        lr=0.01,
        schedule="constant",
    )


def test_training_chooses_by_the_loss_of_windows_and_shows_the_other(run: zoo.Run) -> None:
    assert all({"loss", "carried_loss"} <= row["val"].keys() for row in run.history)
    best = min(row["val"]["loss"] for row in run.history)
    assert run.model.evaluate("val", progress=False)["metrics"]["loss"] == pytest.approx(best, rel=1e-6)


def test_eval_takes_a_context(run: zoo.Run) -> None:
    def result(*options: str) -> dict[str, Any]:
        done = shell.zoo("eval", run.directory, "--json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    usual, carried, long = result(), result("--context=0"), result("--context=7")
    assert [each.get("context") for each in (usual, carried, long)] == [2, None, 7]
    assert usual["metrics"]["carried_loss"] == carried["metrics"]["loss"]
    low, high = usual["intervals"]["carried_loss"]
    assert low < usual["metrics"]["carried_loss"] < high
    assert len({each["metrics"]["loss"] for each in (usual, carried, long)}) == 3
    printed = shell.zoo("eval", run.directory, "--context=7").stdout
    assert "each prediction is based on exactly 7 characters" in " ".join(printed.split())


def test_sampling_reads_as_many_characters_as_training(run: zoo.Run) -> None:
    model, tokens = run.model, torch.tensor([[1], [2], [3], [1], [4], [2], [3]])
    with model._runner.reading() as step:
        _, state = step(tokens[:-1].numpy(), None)
        found, _ = step(tokens[-1:].numpy(), state)
    with torch.no_grad():
        expected, _ = model.module(tokens[-2:], None)
    torch.testing.assert_close(torch.from_numpy(found["logits"])[-1], expected[-1])


def test_such_a_model_cannot_be_exported(run: zoo.Run, tmp_path: Path) -> None:
    done = shell.zoo("export", run.directory, "--out", tmp_path / "model.onnx")
    assert done.returncode == 1
    assert "its context is limited to 2 tokens" in done.stderr


def test_it_is_compared_with_another_model_on_the_tokens_that_both_predict(run: zoo.Run) -> None:
    other = zoo.train(
        "rnn",
        "files",
        data=run.model.own,
        model={"hidden_size": 16},
        run=run.directory.parent / "other",
        progress=False,
        bptt=8,
        batch_size=4,
        epochs=1,
    )
    table = zoo.compare(run.directory, other.directory, split="val", progress=False)
    assert table.count == run.model.evaluate("val", progress=False)["count"]
    assert {pair["metric"] for pair in table.pairs} == {"loss", "bits_per_char", "perplexity"}
