"""A range test: which learning rate? Raise it at every step, and watch the loss (Smith 2015).

The loss falls while the rate is useful, and rises again when it is too high. For this network on CIFAR-10, it
is lowest at 0.024. That is a cautious choice: the files before and after this one use 0.1 and 0.2.
"""

import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import zoo


def halve(before, after):
    """Return a layer from (B, before, H, W) to (B, after, H / 2, W / 2)."""
    conv = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(after))


def network(num_classes):
    """Return the network of 13_convnet_bn.py."""
    stem = nn.Conv2d(3, 10, 5, padding=2)
    stages = halve(10, 20), halve(20, 40), halve(40, 80), halve(80, 160)  # (B, 160, H / 16, W / 16)
    return nn.Sequential(stem, *stages, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(160, num_classes))


def range_test(data, steps=200, lowest=1e-4, highest=1.0):
    """Return the rate of each step, and the smoothed loss before it."""
    model = network(data.dims["num_classes"]).to(memory_format=torch.channels_last)  # faster on a CPU
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=True)
    training = data.split("train")
    mean, std = torch.tensor([data.preprocess["mean"], data.preprocess["std"]])[:, :, None, None]  # (3, 1, 1)
    rates, losses, average = [], [], 0.0
    for step in range(steps):
        rate = lowest * (highest / lowest) ** (step / (steps - 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = torch.randint(len(training), (128,))
        logits = model((training.images[batch] / 255 - mean) / std)
        loss = cross_entropy(logits, training.labels[batch])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        average = 0.95 * average + 0.05 * loss.item()
        rates.append(rate)
        losses.append(average / (1 - 0.95 ** (step + 1)))  # the average starts from 0: undo it
        if step % 10 == 0:
            print(f"rate {rate:.5f}: loss {losses[-1]:.3f}")
    return rates, losses


if __name__ == "__main__":
    torch.manual_seed(0)
    rates, losses = range_test(zoo.open_dataset(sys.argv[1] if len(sys.argv) > 1 else "cifar10"))
    print(f"the loss is lowest at a rate of {rates[losses.index(min(losses))]:.3f}")
