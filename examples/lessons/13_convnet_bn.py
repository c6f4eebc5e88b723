"""A convolutional network with BatchNorm: a higher learning rate, and so more learned per epoch.

As in the lesson, BatchNorm follows the activation, and a 5x5 convolution at full size comes first. The
accuracy on the validation images is 63.5% after 3 epochs on CIFAR-10, with the same bits as `zoo train` (see
README.md).
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
    """Return a network for images (B, 3, H, W)."""
    stem = nn.Conv2d(3, 10, 5, padding=2)
    stages = halve(10, 20), halve(20, 40), halve(40, 80), halve(80, 160)  # (B, 160, H / 16, W / 16)
    return nn.Sequential(stem, *stages, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(160, num_classes))


def train(data, epochs=3):
    """Return the network after some epochs."""
    torch.manual_seed(zoo.seed_for(0, "weights"))
    model = network(data.dims["num_classes"]).to(memory_format=torch.channels_last)  # faster on a CPU
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    mean, std = torch.tensor([data.preprocess["mean"], data.preprocess["std"]])[:, :, None, None]  # (3, 1, 1)
    training, validation = data.split("train"), data.split("val")
    for epoch in range(epochs):
        torch.manual_seed(zoo.seed_for(0, "order", epoch))
        for batch in torch.randperm(len(training)).split(128):  # numbers of images
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
