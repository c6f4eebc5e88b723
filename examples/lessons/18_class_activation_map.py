"""Where does a network look? A class activation map, with one hook (Zhou et al. 2016).

The network averages its last feature maps, and a linear layer follows. The same sum can be taken at each
position before the average, with the class's row of weights: a map of the evidence for the class.
It equals the map of `zoo analyze cam shapes-resnet20` to within 1e-5. Draws class_activation_maps.png.
"""

import torch
from matplotlib import pyplot

import zoo


def activation_maps(model, images):
    """Return a map (B, h, w) of the evidence for the predicted class of each image, and the classes (B,)."""
    kept = []

    def keep(_module, _inputs, output):
        kept.append(output)

    hook = model.stages.register_forward_hook(keep)
    with torch.no_grad():
        classes = model(images).argmax(1)  # (B,)
    hook.remove()
    features = kept[0]  # (B, 64, h, w)
    rows = model.out.weight[classes]  # (B, 64)
    maps = (rows[:, :, None, None] * features).sum(1)  # (B, h, w)
    return maps.relu().detach(), classes  # evidence against the class is left out


def prepare(images, preprocess):
    """Turn bytes (B, 3, H, W) into numbers with mean 0 and standard deviation 1 in each channel."""
    mean, std = torch.tensor([preprocess["mean"], preprocess["std"]])[:, :, None, None]  # (3, 1, 1)
    return (images / 255 - mean) / std


if __name__ == "__main__":
    trained = zoo.load("shapes-resnet20")
    data = zoo.open_dataset("shapes", size=64, objects=3, clutter=8, train_size=8, val_size=0, test_size=4)
    images = data.split("test").images
    maps, classes = activation_maps(trained.module, prepare(images, trained.card.preprocess))
    pyplot.figure(figsize=(12, 3))
    for number in range(4):
        axes = pyplot.subplot(1, 4, number + 1)
        axes.imshow(images[number].permute(1, 2, 0))  # (H, W, 3)
        axes.imshow(maps[number], cmap="magma", alpha=0.5, extent=(0, 64, 64, 0), interpolation="bilinear")
        axes.set_title(trained.card.preprocess["classes"][classes[number]])
        axes.axis("off")
        print(f"image {number}: {axes.get_title()}, most evidence {maps[number].max():.1f}")
    pyplot.savefig("class_activation_maps.png", bbox_inches="tight")
