"""A recurrent network is a loop: the network of the first file, for windows of any length.

Each window of 8 characters predicts the ninth. The windows overlap, so each character is read 8 times.
A validation loss of 1.64 nats per character after 2 epochs on Nietzsche: five more characters help.
"""

import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import zoo


class LoopRNN(nn.Module):
    """The layers of ThreeCharacters, applied to one character after another."""

    def __init__(self, vocab_size):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 42)
        self.read = nn.Linear(42, 256)
        self.remember = nn.Linear(256, 256)
        self.out = nn.Linear(256, vocab_size)

    def forward(self, windows):
        """Map windows (B, T) to the logits of the character after each, (B, V)."""
        hidden = torch.zeros(len(windows), 256)  # nothing was read yet
        for tokens in windows.T:  # (B,), one character of each window
            x = torch.relu(self.read(self.embedding(tokens)))  # (B, 256)
            hidden = torch.tanh(self.remember(hidden + x))
        return self.out(hidden)


def train(data, epochs=2, length=8):
    """Return the network after some epochs."""
    model = LoopRNN(data.dims["vocab_size"])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    text = data.split("train")[:500_000].long()  # (N,), all of Nietzsche
    windows = text.unfold(0, length + 1, 1)  # (N - length, length + 1)
    for epoch in range(epochs):
        for batch in windows[torch.randperm(len(windows))].split(512):
            loss = cross_entropy(model(batch[:, :-1]), batch[:, -1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        unseen = data.split("val")[:50_000].long().unfold(0, length + 1, 1)
        with torch.no_grad():
            loss = cross_entropy(model(unseen[:, :-1]), unseen[:, -1])
        print(f"epoch {epoch + 1}: validation loss {loss:.4f}")
    return model


if __name__ == "__main__":
    torch.manual_seed(0)
    train(zoo.open_dataset(sys.argv[1] if len(sys.argv) > 1 else "nietzsche"))
