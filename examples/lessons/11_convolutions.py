"""Convolutions: the same 3x3 weights at every position of the image.

With stride 2, each layer halves the image while the channels double. The maximum over all positions shows
whether a pattern was found, wherever it was. With a third of the fully connected network's weights, the
accuracy on the validation images is 48.6% after 3 epochs on CIFAR-10, with the same bits as `zoo train`.
"""

import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import zoo


def network(num_classes):
    """Return a network for images (B, 3, H, W)."""
    return nn.Sequential(
        nn.Conv2d(3, 20, 3, stride=2, padding=1),  # (B, 20, H / 2, W / 2)
        nn.ReLU(),
        nn.Conv2d(20, 40, 3, stride=2, padding=1),  # (B, 40, H / 4, W / 4)
        nn.ReLU(),
        nn.Conv2d(40, 80, 3, stride=2, padding=1),  # (B, 80, H / 8, W / 8)
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),  # (B, 80, 1, 1)
        nn.Flatten(),
        nn.Linear(80, num_classes),  # (B, K)
    )


def train(data, epochs=3):
    """Return the network after some epochs."""
    torch.manual_seed(zoo.seed_for(0, "weights"))
    model = network(data.dims["num_classes"]).to(memory_format=torch.channels_last)  # faster on a CPU
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    mean, std = torch.tensor([data.preprocess["mean"], data.preprocess["std"]])[:, :, None, None]  # (3, 1, 1)
    training, validation = data.split("train"), data.split("val")
    for epoch in range(epochs):
        torch.manual_seed(zoo.seed_for(0, "order", epoch))
        for batch in torch.randperm(len(training)).split(64):  # numbers of images
            logits = model(training.images[batch] * (1 / (255 * std)) - mean / std)  # normalized
            cross_entropy(logits, training.labels[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            predicted = model(validation.images * (1 / (255 * std)) - mean / std).argmax(1)
        print(f"epoch {epoch + 1}: validation accuracy {(predicted == validation.labels).float().mean():.1%}")
    return model


if __name__ == "__main__":
    train(zoo.open_dataset(sys.argv[1] if len(sys.argv) > 1 else "cifar10"))
