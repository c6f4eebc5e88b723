"""Residual layers: x + f(x). A layer learns what to change, and the gradient finds a way past it.

With 24 such layers, the same network is trained with its skip connections and without them, for 2 epochs on
10,000 images of CIFAR-10: an accuracy of 36.6% with, and 25.8% without.
"""

import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import zoo


class Layer(nn.Module):
    """A convolution, an activation and BatchNorm, which the input may skip."""

    def __init__(self, before, after, stride=1, skip=False):
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.skip = skip

    def forward(self, x):
        """Map (B, before, H, W) to (B, after, H / stride, W / stride)."""
        change = self.norm(torch.relu(self.conv(x)))
        return x + change if self.skip else change


def network(num_classes, skip):
    """Return a network with 4 stages: a layer that halves the image, and 6 that keep its size."""
    layers = [nn.Conv2d(3, 10, 5, padding=2)]
    for before, after in ((10, 20), (20, 40), (40, 80), (80, 160)):
        layers += [Layer(before, after, stride=2)]
        layers += [Layer(after, after, skip=skip) for _ in range(6)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(160, num_classes))


def train(data, skip, epochs=2):
    """Return the accuracy on the validation images after some epochs."""
    torch.manual_seed(0)
    model = network(data.dims["num_classes"], skip).to(memory_format=torch.channels_last)  # faster on a CPU
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    training, validation = data.split("train"), data.split("val")
    for _ in range(epochs):
        for batch in torch.randperm(len(training))[:10_000].split(128):
            logits = model(training.images[batch] / 128 - 1)  # from -1 to 1
            cross_entropy(logits, training.labels[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        predicted = model.eval()(validation.images / 128 - 1).argmax(1)
    return (predicted == validation.labels).float().mean().item()


if __name__ == "__main__":
    data = zoo.open_dataset(sys.argv[1] if len(sys.argv) > 1 else "cifar10")
    print(f"accuracy with skip connections: {train(data, skip=True):.1%}")
    print(f"accuracy without: {train(data, skip=False):.1%}")
