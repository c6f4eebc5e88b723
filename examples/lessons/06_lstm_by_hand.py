"""An LSTM, written out: a cell state that is only scaled and added to, and a hidden state that shows it.

The forget gate scales the cell, the input gate admits what is new, and the output gate decides what is shown.
The states differ from those of torch's `nn.LSTM` by less than 1e-6 (measured on Nietzsche: 8.9e-08).
"""

import sys

import torch
from torch import nn

import zoo


def lstm(x, hidden, cell, layer):
    """Map inputs (T, B, 42) and two states (B, 256) to the hidden states, (T, B, 256)."""
    states = []
    for x_t in x:  # (B, 42), one character of each stream
        from_input = x_t @ layer.weight_ih_l0.T + layer.bias_ih_l0  # (B, 4 * 256)
        from_hidden = hidden @ layer.weight_hh_l0.T + layer.bias_hh_l0
        admit, forget, new, show = (from_input + from_hidden).chunk(4, dim=1)  # (B, 256) each
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(admit) * torch.tanh(new)
        hidden = torch.sigmoid(show) * torch.tanh(cell)
        states.append(hidden)
    return torch.stack(states)


def compare(data):
    """Return the largest difference between the hidden states of the two layers."""
    tokens = data.split("train")[: 16 * 64].long().view(16, 64).T  # (64, 16)
    x = nn.Embedding(data.dims["vocab_size"], 42)(tokens)  # (64, 16, 42)
    layer = nn.LSTM(42, 256)
    theirs, _ = layer(x)
    ours = lstm(x, torch.zeros(16, 256), torch.zeros(16, 256), layer)
    return (ours - theirs).abs().max().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    difference = compare(zoo.open_dataset(sys.argv[1] if len(sys.argv) > 1 else "nietzsche"))
    print(f"largest difference from torch's layer: {difference:.1e}")
