"""AWD-LSTM: an LSTM language model with dropout on embeddings, activations and recurrent weights."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from zoo_charrnn.dropout import drop_locked, drop_rows
from zoo_charrnn.options import Positive, Share, Strength
from zoo_charrnn.weight_drop import LayerState, WeightDropLSTM

State = tuple[LayerState, ...]


class AWDLSTM(nn.Module):
    """LSTM layers with DropConnect on the recurrent weights, and one dropout mask per sequence.

    Args:
        vocab_size: number of tokens in the vocabulary.
        embedding_dim: size of a token's embedding.
        hidden_size: size of each layer's hidden state, except the last layer's if weights are tied.
        num_layers: number of LSTM layers.
        dropout_embedding: probability that a vocabulary token's embedding is zero throughout a batch.
        dropout_input: dropout of the embedded tokens.
        dropout_hidden: dropout between layers.
        dropout_output: dropout of the last layer's output.
        weight_drop: dropout of the recurrent weights.
        activation_penalty: weight of the mean square of the output after dropout (AR).
        temporal_penalty: weight of the mean square of the output's change from step to step (TAR).
        tie_weights: use the embedding matrix for the output layer; the last layer has `embedding_dim` units.
        fused: use torch's LSTM kernel instead of a loop over time.

    Source: Merity, Keskar & Socher 2018, "Regularizing and Optimizing LSTM Language Models", sections 2 and
    4, arXiv 1708.02182. The dropout rates come from the authors' character model, except for a lower weight
    drop.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        embedding_dim: Positive = 42,
        hidden_size: Positive = 512,
        num_layers: Positive = 2,
        dropout_embedding: Share = 0.0,
        dropout_input: Share = 0.1,
        dropout_hidden: Share = 0.25,
        dropout_output: Share = 0.1,
        weight_drop: Share = 0.2,
        activation_penalty: Strength = 0.0,
        temporal_penalty: Strength = 0.0,
        tie_weights: bool = False,
        fused: bool = True,
    ) -> None:
        super().__init__()
        last = embedding_dim if tie_weights else hidden_size
        sizes = [embedding_dim, *[hidden_size] * (num_layers - 1), last]
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.layers = nn.ModuleList(
            WeightDropLSTM(before, after, weight_drop=weight_drop, fused=fused)
            for before, after in pairwise(sizes)
        )
        self.out = nn.Linear(last, vocab_size)
        if tie_weights:
            self.out.weight = self.embedding.weight
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)  # the paper's; torch's is too wide for logits
        self.dropout_embedding = dropout_embedding
        self.dropout_input = dropout_input
        self.dropout_hidden = dropout_hidden
        self.dropout_output = dropout_output
        self.activation_penalty = activation_penalty
        self.temporal_penalty = temporal_penalty

    def forward(
        self, tokens: Tensor, state: State | None = None
    ) -> tuple[Tensor, State] | tuple[Tensor, State, Tensor]:
        """Map tokens (T, B) and a state to logits (T, B, V) and the next state.

        In training mode, the penalty to add to the loss, if any, is returned as a third value.
        """
        training = self.training
        weight = drop_rows(self.embedding.weight, self.dropout_embedding, training=training)
        x = F.embedding(tokens, weight)  # (T, B, E)
        ends: list[LayerState] = []
        for number, layer in enumerate(self.layers):
            dropout = self.dropout_hidden if number else self.dropout_input
            x, end = layer(drop_locked(x, dropout, training=training), state[number] if state else None)
            ends.append(end)  # x: (T, B, H)
        dropped = drop_locked(x, self.dropout_output, training=training)
        logits = self.out(dropped)
        if training and (self.activation_penalty or self.temporal_penalty):
            return logits, tuple(ends), self._penalty(dropped, x)
        return logits, tuple(ends)

    def _penalty(self, dropped: Tensor, raw: Tensor) -> Tensor:
        """Return AR + TAR of the last layer's output (T, B, H). TAR requires at least two time steps."""
        penalty = self.activation_penalty * dropped.float().pow(2).mean()
        if len(raw) > 1:
            penalty = penalty + self.temporal_penalty * raw.float().diff(dim=0).pow(2).mean()
        return penalty
