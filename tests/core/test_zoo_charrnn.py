"""The character models."""

from __future__ import annotations

import pytest
import torch

from zoo_charrnn.lstm import CharLSTM


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture
def model() -> CharLSTM:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CharLSTM(vocab_size=11, embedding_dim=5, hidden_size=7).eval()


TOKENS = torch.randint(0, 11, (12, 3), generator=torch.Generator().manual_seed(0))  # (T, B)


def test_the_lesson_s_sizes_give_the_lesson_s_parameters() -> None:
    assert parameters(CharLSTM(vocab_size=56)) == 3_271_016


def test_shapes_are_those_of_the_interface(model: CharLSTM) -> None:
    logits, (hidden, cell) = model(TOKENS)
    assert logits.shape == (12, 3, 11)
    assert hidden.shape == cell.shape == (2, 3, 7)


def test_a_logit_depends_on_no_later_token_and_on_no_other_lane(model: CharLSTM) -> None:
    changed = TOKENS.clone()
    changed[6, 1] = (changed[6, 1] + 1) % 11
    before, after = model(TOKENS)[0], model(changed)[0]
    differs = (before != after).any(2)
    assert not differs[:6].any()
    assert not differs[:, [0, 2]].any()
    assert differs[6:, 1].all()


def test_reading_in_pieces_with_the_state_carried_is_reading_at_once(model: CharLSTM) -> None:
    whole, end = model(TOKENS)
    first, state = model(TOKENS[:5])
    second, last = model(TOKENS[5:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(last, end)
    assert not torch.allclose(model(TOKENS[5:])[0], second)


def test_no_state_means_zeros(model: CharLSTM) -> None:
    zeros = (torch.zeros(2, 3, 7), torch.zeros(2, 3, 7))
    assert torch.equal(model(TOKENS)[0], model(TOKENS, zeros)[0])


@pytest.mark.parametrize("num_layers", [1, 2])
def test_dropout_is_between_layers_and_only_in_training(num_layers: int) -> None:
    model = CharLSTM(vocab_size=11, hidden_size=7, num_layers=num_layers, dropout=0.5)
    same = torch.equal(model(TOKENS)[0], model(TOKENS)[0])
    assert same == (num_layers == 1)
    model.eval()
    assert torch.equal(model(TOKENS)[0], model(TOKENS)[0])
