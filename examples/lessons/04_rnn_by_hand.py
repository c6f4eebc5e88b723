"""A recurrent layer, written out: h = tanh(W x + b + U h + c), once per character.

The function computes what torch's `nn.RNN` computes, with the weights of that layer. The states for 64
characters of 16 streams differ by less than 1e-6 (measured on Nietzsche: by nothing).
"""

import sys

import torch
from torch import nn

import zoo


def rnn(x, hidden, layer):
    """Map inputs (T, B, 42) and a state (B, 256) to the states after each character, (T, B, 256)."""
    states = []
    for x_t in x:  # (B, 42), one character of each stream
        from_input = x_t @ layer.weight_ih_l0.T + layer.bias_ih_l0  # (B, 256)
        from_hidden = hidden @ layer.weight_hh_l0.T + layer.bias_hh_l0
        hidden = torch.tanh(from_input + from_hidden)
        states.append(hidden)
    return torch.stack(states)


def compare(data):
    """Return the largest difference between the states of the two layers."""
    tokens = data.split("train")[: 16 * 64].long().view(16, 64).T  # (64, 16)
    x = nn.Embedding(data.dims["vocab_size"], 42)(tokens)  # (64, 16, 42)
    layer = nn.RNN(42, 256)
    theirs, _ = layer(x)
    ours = rnn(x, torch.zeros(16, 256), layer)
    return (ours - theirs).abs().max().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    difference = compare(zoo.open_dataset(sys.argv[1] if len(sys.argv) > 1 else "nietzsche"))
    print(f"largest difference from torch's layer: {difference:.1e}")
