"""The residual networks of He et al. for CIFAR-10, with two convolutions per block."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from zoo_convnet.layers import ACTIVATIONS, Activation, Channels, Norm, Share, make_norm, require_size


class Shortcut(nn.Module):
    """Subsample the image and pad the channels with zeros, without parameters (option A in the paper)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.more = out_channels - in_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))


class Block(nn.Module):
    """Two 3×3 convolutions with a shortcut around them."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: Norm,
        activation: Activation,
        shortcut: Literal["pad", "conv"],
    ) -> None:
        super().__init__()
        bias = norm == "none"
        stride = 1 if in_channels == out_channels else 2
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=bias)
        self.norm1 = make_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.norm2 = make_norm(norm, out_channels)
        self.activation = ACTIVATIONS[activation]
        if stride == 1:
            self.shortcut: nn.Module = nn.Identity()
        elif shortcut == "pad":
            self.shortcut = Shortcut(in_channels, out_channels, stride)
        else:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=bias)
            self.shortcut = nn.Sequential(conv, make_norm(norm, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, out, H, W), or to half the size where the number of channels grows."""
        residual = self.activation(self.norm1(self.conv1(x)))
        residual = self.norm2(self.conv2(residual))
        return self.activation(residual + self.shortcut(x))


class ResNet(nn.Module):
    """A convolution, three stages of blocks at full, half and quarter size, pooling and a linear layer.

    Args:
        in_channels: number of channels of the images.
        image_size: height and width in pixels, at least 4.
        num_classes: number of classes.
        depth: number of layers with weights, 6 n + 2 for n blocks per stage.
        width: channels of the first stage; the next two stages have two and four times as many.
        shortcut: `pad` (option A, no parameters) or `conv` (option B, a 1×1 convolution), between stages.
        norm: `batchnorm` (torch), `scratch` (implemented in zoo), or `none`, in which case convolutions have
            a bias.
        activation: activation function.
        dropout: dropout before the linear layer.

    Raises:
        ValueError: depth is not 6 n + 2, or image_size is below 4.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", arXiv 1512.03385, section 4.2.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        depth: int = 20,
        width: Channels = 16,
        shortcut: Literal["pad", "conv"] = "pad",
        norm: Norm = "batchnorm",
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(
                f"depth must be of the form 6n + 2, such as 8, 14, 20, 32, 44 or 56 (got {depth})"
            )
        require_size(image_size, 2)
        self.conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=norm == "none")
        self.norm = make_norm(norm, width)
        self.activation = ACTIVATIONS[activation]
        self.stages = nn.Sequential()
        before = width
        for after in (width, 2 * width, 4 * width):
            sizes = [before, *[after] * blocks]
            stage = (
                Block(ins, outs, norm=norm, activation=activation, shortcut=shortcut)
                for ins, outs in pairwise(sizes)
            )
            self.stages.append(nn.Sequential(*stage))
            before = after
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        x = self.activation(self.norm(self.conv(images)))
        x = self.stages(x)  # (B, 4 width, H / 4, W / 4)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)  # (B, 4 width)
        return self.out(self.dropout(x))
