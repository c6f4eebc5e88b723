"""A GRU, written out: gates decide how much of the hidden state is kept.

The reset gate decides how much of the old state the new one may see, and the update gate mixes the two. If
the update gate is 1, the state passes unchanged, and so does its gradient, so a GRU can remember for longer.
The states differ from those of torch's `nn.GRU` by less than 1e-6 (measured on Nietzsche: 9.7e-08).
"""

import sys

import torch
from torch import nn

import zoo


def gru(x, hidden, layer):
    """Map inputs (T, B, 42) and a state (B, 256) to the states after each character, (T, B, 256)."""
    states = []
    for x_t in x:  # (B, 42), one character of each stream
        from_input = x_t @ layer.weight_ih_l0.T + layer.bias_ih_l0  # (B, 3 * 256)
        from_hidden = hidden @ layer.weight_hh_l0.T + layer.bias_hh_l0
        x_reset, x_update, x_new = from_input.chunk(3, dim=1)  # (B, 256) each
        h_reset, h_update, h_new = from_hidden.chunk(3, dim=1)
        reset = torch.sigmoid(x_reset + h_reset)  # between 0 and 1
        update = torch.sigmoid(x_update + h_update)
        new = torch.tanh(x_new + reset * h_new)
        hidden = update * hidden + (1 - update) * new
        states.append(hidden)
    return torch.stack(states)


def compare(data):
    """Return the largest difference between the states of the two layers."""
    tokens = data.split("train")[: 16 * 64].long().view(16, 64).T  # (64, 16)
    x = nn.Embedding(data.dims["vocab_size"], 42)(tokens)  # (64, 16, 42)
    layer = nn.GRU(42, 256)
    theirs, _ = layer(x)
    ours = gru(x, torch.zeros(16, 256), layer)
    return (ours - theirs).abs().max().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    difference = compare(zoo.open_dataset(sys.argv[1] if len(sys.argv) > 1 else "nietzsche"))
    print(f"largest difference from torch's layer: {difference:.1e}")
