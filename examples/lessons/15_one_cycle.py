"""A one-cycle schedule: the learning rate rises to its peak and falls to 0 (Smith 2018).

The network of 13_convnet_bn.py reaches 70.3% after the same 3 epochs, with the same bits as `zoo train`.
"""

import sys
from math import cos, pi

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import zoo


def halve(before, after):
    """Return a layer from (B, before, H, W) to (B, after, H / 2, W / 2)."""
    conv = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(after))


def network(num_classes):
    """Return a network for images (B, 3, H, W)."""
    stem = nn.Conv2d(3, 10, 5, padding=2)
    stages = halve(10, 20), halve(20, 40), halve(40, 80), halve(80, 160)  # (B, 160, H / 16, W / 16)
    return nn.Sequential(stem, *stages, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(160, num_classes))


def one_cycle(position, epochs, peak=0.2):
    """Return the learning rate at a position in epochs, such as 1.5; it rises for 30 % of them."""
    rise = 0.3 * epochs
    if position < rise:
        return peak * (1 / 25 + (1 - 1 / 25) * (1 - (1 + cos(pi * (position / rise))) / 2))
    return peak * ((1 + cos(pi * ((position - rise) / (epochs - rise)))) / 2)


def train(data, epochs=3):
    """Return the network after some epochs."""
    torch.manual_seed(zoo.seed_for(0, "weights"))
    model = network(data.dims["num_classes"]).to(memory_format=torch.channels_last)  # faster on a CPU
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=True)
    mean, std = torch.tensor([data.preprocess["mean"], data.preprocess["std"]])[:, :, None, None]  # (3, 1, 1)
    training, validation = data.split("train"), data.split("val")
    for epoch in range(epochs):
        torch.manual_seed(zoo.seed_for(0, "order", epoch))
        batches = torch.randperm(len(training)).split(128)  # numbers of images
        for index, batch in enumerate(batches):
            optimizer.param_groups[0]["lr"] = one_cycle(epoch + (index + 0.5) / len(batches), epochs)
            logits = model.train()(training.images[batch] * (1 / (255 * std)) - mean / std)  # normalized
            cross_entropy(logits, training.labels[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            predicted = model.eval()(validation.images * (1 / (255 * std)) - mean / std).argmax(1)
        print(f"epoch {epoch + 1}: validation accuracy {(predicted == validation.labels).float().mean():.1%}")
    return model


if __name__ == "__main__":
    train(zoo.open_dataset(sys.argv[1] if len(sys.argv) > 1 else "cifar10"))
