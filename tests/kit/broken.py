"""Honest models, datasets and analyzers, and for each check a subclass with one defect."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import socket
import subprocess
import threading
import time
import uuid
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy
import torch
from broken_plugins import Focus
from torch import nn
from torch.nn import functional as F
from torch.utils.data import IterableDataset

from zoo import DataError, OptionError, seed_for, tokenize
from zoo.data.parts import part_of
from zoo.data.views import View
from zoo.files.downloads import verified
from zoo.interfaces import Analysis, Analyzer, Batch, Dataset, Step, Task
from zoo.plugin import untouched
from zoo.testing._data import TEXT
from zoo_images.classification import Classification
from zoo_images.tiny import TinyImages, TinyTags, _image
from zoo_text.language_modeling import LanguageModeling
from zoo_text.tiny import TinyText

POEM = "0a167444999a5e26e0cca96e3a86f16b2c72f7c04a13ce185d4978691f650363"
TITLE = "9d8871feaa02a6cc33f66a156db72bbcba484d320b426bd8c7f8f2d7d6c84b03"


class Net(nn.Module):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, width: int = 16) -> None:
        super().__init__()
        self.channels = in_channels
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, 4, stride=4), self.make_norm(width), nn.ReLU()
        )
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width * 4, num_classes)
        self.finish()

    def make_norm(self, width: int) -> nn.Module:
        return nn.BatchNorm2d(width)

    def finish(self) -> None:
        pass

    def forward(self, images):
        x = F.adaptive_avg_pool2d(self.features(images), 2).flatten(1)  # (B, 4 * width)
        return self.head(self.dropout(x))


def reading(change):
    """Return a model that reads images as a function of them and of the model."""

    class Changed(Net):
        def forward(self, images):
            return super().forward(change(images, self))

    return Changed


def answering(change):
    """Return a model whose logits are changed."""

    class Changed(Net):
        def forward(self, images):
            return change(super().forward(images))

    return Changed


class RollsTheBatchUp(Net):
    def finish(self) -> None:
        self.rolled = nn.Flatten(0, 1)

    def forward(self, images):
        x = self.features(images)
        x = F.adaptive_avg_pool2d(self.rolled(x).view_as(x), 2).flatten(1)
        return self.head(self.dropout(x))


class FindsTooMuch(Net):
    def find_landmarks(self):
        return {"features": "stages.2"}


class OnePlace(Net):
    """Honest: attention over patches; a 32×32 image is a single one, from which its weights learn nothing."""

    def finish(self) -> None:
        self.shrink = nn.Conv2d(self.channels, 8, 32, stride=32)
        self.query = nn.Linear(8, 1)
        self.out = nn.Linear(8, self.head.out_features)

    def forward(self, images):
        places = self.shrink(images).flatten(2).transpose(1, 2)  # (B, places, 8)
        return super().forward(images) + self.out((self.query(places).softmax(1) * places).sum(1))


class NeedsLargerImages(Net):
    """Honest: cannot read images below 64 pixels, and says so."""

    def forward(self, images):
        if images.shape[2] < 64:
            raise RuntimeError(f"images must have at least 64 pixels (got {images.shape[2]})")
        return super().forward(images)


class NeedsOtherImages(Net):
    """Reads images of no size that the kit tries, and does not say why."""

    def forward(self, images):
        assert images.shape[2] == 33
        return super().forward(images)


class RefusesSmallImages(Net):
    """Its constructor refuses images below 40 pixels, which its spec does not say."""

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int) -> None:
        if image_size < 40:
            raise ValueError(f"image_size must be at least 40 (got {image_size})")
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=num_classes)


class OddWidth(Net):
    def finish(self) -> None:
        raise ValueError("the width must be even")


class MisspelledDim(Net):
    def __init__(self, *, in_channels: int, img_size: int, num_classes: int) -> None:
        super().__init__(in_channels=in_channels, image_size=img_size, num_classes=num_classes)


class BagOfOptions(Net):
    def __init__(self, **options) -> None:
        super().__init__(**options)


class UntypedOption(Net):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, width=16) -> None:
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=num_classes, width=width)


class NoneForAnInteger(Net):
    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        width: int = None,  # noqa: RUF013 # pyright: ignore[reportArgumentType]
    ) -> None:
        dims = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
        super().__init__(**dims, width=width or 16)


class ForgetsToScaleItsDropout(Net):
    def finish(self) -> None:
        self.dropout = MasksOnly()


class MasksOnly(nn.Module):
    def forward(self, x):
        return x * (torch.rand_like(x) < 0.5) if self.training else x


class SoftmaxInEval(Net):
    def forward(self, images):
        logits = super().forward(images)
        return logits if self.training else logits.softmax(-1)


class HalvesInEval(Net):
    def forward(self, images):
        return super().forward(images if self.training else images / 2)


class IgnoresItsDepth(Net):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, depth: int = 2) -> None:
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=num_classes)


class KeepsItsDepth(Net):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, odd_depth: int = 2) -> None:
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=num_classes)
        self.odd_depth = odd_depth


class StoresItsDropout(Net):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, dropout: float = 0.1) -> None:
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=num_classes)
        self.rate = dropout

    def forward(self, images):
        return super().forward(F.dropout(images, self.rate, self.training))


class RefusesWithoutAMessage(Net):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, width: int = 16) -> None:
        if width < 1:
            raise ValueError
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=num_classes, width=width)


class UnseededWeights(Net):
    def finish(self) -> None:
        generator = torch.Generator()
        generator.seed()
        if not self.head.weight.is_meta:
            nn.init.normal_(self.head.weight, std=0.01, generator=generator)


SqueezesOneAway = answering(lambda logits: logits.squeeze())


class AuxiliaryLogits(Net):
    def forward(self, images):
        logits = super().forward(images)
        return (logits, logits) if self.training else logits


Softmaxes = answering(lambda logits: logits.softmax(1))
LoudLogits = answering(lambda logits: logits * 100)


class StartsFarOff(Net):
    """Honest: starts with a loss of several times ln(classes), as a head made for 1,000 classes does."""

    def finish(self) -> None:
        nn.init.uniform_(self.head.weight, -6, 6)


class MadeInEvalMode(Net):
    """Honest: in eval mode until it is trained; in that mode nothing makes up for how faint its maps are."""

    def finish(self) -> None:
        first, *_ = self.features.parameters()
        first.requires_grad_(False).mul_(0.01)
        self.eval()


class MasksByInfinity(Net):
    """Honest: a buffer that is infinite by design."""

    mask: torch.Tensor

    def finish(self) -> None:
        self.register_buffer("mask", torch.tensor([0.0, float("-inf")]))

    def forward(self, images):
        return super().forward(images) * self.mask.softmax(0)[0]


class TurnsByComplexNumbers(Net):
    """Honest: a complex buffer."""

    turns: torch.Tensor

    def finish(self) -> None:
        self.register_buffer("turns", torch.ones(self.channels, dtype=torch.complex64))

    def forward(self, images):
        return super().forward(images * self.turns.real.to(images)[:, None, None])


class OneExpert(Net):
    """Honest: sends each image to one of four layers, so that some may get none, and the graph differs."""

    def finish(self) -> None:
        size, classes = self.head.in_features, self.head.out_features
        self.router = nn.Linear(size, 4)
        self.experts = nn.ModuleList(nn.Linear(size, classes) for _ in range(4))

    def forward(self, images):
        x = F.adaptive_avg_pool2d(self.features(images), 2).flatten(1)
        weight, chosen = self.router(x).softmax(1).max(1)  # (B,)
        logits = self.head(self.dropout(x))
        for number in chosen.unique().tolist():
            rows = (chosen == number).nonzero().squeeze(1)
            part = weight[rows, None] * self.experts[number](x[rows])
            logits = logits.index_add(0, rows, part.to(logits.dtype))
        return logits


class OneExpertAndASpare(OneExpert):
    """Has a layer that is not idle but unused."""

    def finish(self) -> None:
        super().finish()
        self.spare = nn.Linear(4, 4)


class NumbersOnTheProcessor(Net):
    """Honest: reads values in its constructor, of tensors that it makes on the CPU wherever it is built."""

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int) -> None:
        with torch.device("cpu"):
            width = int(torch.linspace(8, 16, 3).round().tolist()[-1])
        dims = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
        super().__init__(**dims, width=width)


class UnusedLayer(Net):
    def finish(self) -> None:
        self.spare = nn.Linear(4, 4)


class Centers(Net):
    """Honest: starts from the mean of the data."""

    mean: torch.Tensor

    def finish(self) -> None:
        self.register_buffer("mean", torch.zeros(self.channels, 1, 1))

    def fit_inputs(self, inputs):
        self.mean.copy_(inputs.mean((0, 2, 3))[:, None, None])

    def forward(self, images):
        return super().forward(images - self.mean)


class CentersOnSome(Centers):
    def fit_inputs(self, inputs):
        super().fit_inputs(inputs[torch.randperm(len(inputs))[:2]])


class DividesByZeroVariance(Centers):
    def fit_inputs(self, inputs):
        self.mean.copy_(inputs.mean((0, 2, 3))[:, None, None] / inputs.sub(inputs).sum())


class LoadsPretrained(Net):
    """Honest: names the weights that it loads."""

    def load_pretrained(self):
        with torch.no_grad():
            self.head.weight.fill_(0.01)
        return {"architecture": "acme/net", "dataset": "ImageNet", "sha256": "0" * 64}


class LoadsNothing(Net):
    """Honest: has nothing to load."""

    def load_pretrained(self):
        return None


class DownloadsWeights(Net):
    """Needs the network, so that the check is skipped."""

    def load_pretrained(self):
        socket.create_connection(("localhost", 9), timeout=1)


class ReturnsItsWeights(Net):
    def load_pretrained(self):
        return self.head.state_dict()


class UnseededNoise(Net):
    def forward(self, images):
        if self.training and not images.is_meta:
            generator = torch.Generator()
            generator.seed()
            images = images + 0.01 * torch.randn(images.shape, generator=generator)
        return super().forward(images)


FaintLogits = answering(lambda logits: logits * 1e-4)
ComparesWithTheFirst = reading(lambda images, model: images - 0.3 * images[:1])


class TenClasses(Net):
    def finish(self) -> None:
        self.head = nn.Linear(self.head.in_features, 10)


class ColorsOnly(Net):
    def finish(self) -> None:
        self.features[0] = nn.Conv2d(3, 16, 4, stride=4)


class SmallImagesOnly(Net):
    def finish(self) -> None:
        self.head = nn.Linear(16 * 8 * 8, self.head.out_features)

    def forward(self, images):
        return self.head(self.dropout(self.features(images).flatten(1))) / 2


class RefusesOtherDims(Net):
    """Honest: it can do one thing only, and says so."""

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int) -> None:
        if (in_channels, image_size, num_classes) != (3, 32, 10):
            raise ValueError("it knows ten classes of 32×32 color images only")
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=num_classes)


class SeedsItsWeights(Net):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int) -> None:
        torch.manual_seed(0)
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=num_classes)


class SeedsItsDropout(Net):
    def forward(self, images):
        torch.manual_seed(0)
        return super().forward(images)


DropsOutInEval = answering(lambda logits: F.dropout(logits, 0.5))


class CountsItsPasses(Net):
    def finish(self) -> None:
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, images):
        self.passes += 1
        return super().forward(images)


DarkensItsInputs = reading(lambda images, model: images.mul_(0.5))
DarkensItsInputsInTraining = reading(lambda images, model: images.mul_(0.5) if model.training else images)


class FadesInAnAttribute(Net):
    """Counts its passes where no state dict shows it."""

    passes = 0

    def forward(self, images):
        self.passes += 1
        return super().forward(images) * 0.9**self.passes


class RemembersTheLastMean(Net):
    """Reads each image less the mean of the images before it."""

    mean = 0.0

    def forward(self, images):
        shifted, self.mean = images - self.mean, images.detach().mean()
        return super().forward(shifted)


NoiseFromNumpy = reading(lambda images, model: images + 0.1 * float(numpy.random.rand()))


# honest up to eight items
CentersLargeBatches = reading(lambda images, model: images - images.mean(0) if len(images) > 8 else images)


class ScalesByTheBatch(Net):
    """The other items of a batch do not matter, but their number does."""

    def forward(self, images):
        return super().forward(images) * (1 + 1 / len(images))


class AutocastsItself(Net):
    """Honest: asks for autocast on the device of its inputs."""

    def forward(self, images):
        with torch.autocast(images.device.type, enabled=False):
            return super().forward(images)


class ReadsItsWeights(Net):
    def finish(self) -> None:
        self.size = self.head.weight.detach().sum().item()


class PlainAttributeNorm(nn.Module):
    """The batch normalization of a well-known lesson, whose statistics are in no state dict."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, 1, 1))
        self.bias = nn.Parameter(torch.zeros(width, 1, 1))
        self.means = torch.zeros(width, 1, 1)
        self.stds = torch.ones(width, 1, 1)

    def forward(self, x):
        if self.training:
            self.means = x.detach().mean((0, 2, 3))[:, None, None]
            self.stds = x.detach().std((0, 2, 3))[:, None, None]
        return (x - self.means) / self.stds * self.weight + self.bias


class ForgetsStatistics(Net):
    def make_norm(self, width: int) -> nn.Module:
        return PlainAttributeNorm(width)


class DrawsATable(Net):
    def finish(self):
        self.table = torch.randn(self.channels, 1, 1)

    def forward(self, images):
        return super().forward(images + self.table)


class MixesByProcess(Net):
    def forward(self, images):
        scale = torch.rand((), generator=torch.Generator().manual_seed(os.getpid())).item()
        return super().forward(images * (1 + scale))


ShiftsOnTheProcessor = reading(lambda images, model: images + torch.full(images.shape[1:], 0.1))
ReadsDataPointers = reading(lambda images, model: images if images.data_ptr() % 2 == 0 else images + 1)


class ApproximatesInExport(Net):
    def forward(self, images):
        logits = super().forward(images)
        return logits.round(decimals=1) if torch.compiler.is_exporting() else logits


class ReadsOneByOne(Net):
    def forward(self, images):
        return torch.stack([super(ReadsOneByOne, self).forward(image[None])[0] for image in images])


class AssignsToFloat32(Net):
    def forward(self, images):
        x = F.adaptive_avg_pool2d(self.features(images), 2).flatten(1)
        logits = images.new_zeros(len(x), self.head.out_features)
        logits[torch.arange(len(x))] = self.head(x)
        return logits


class PatchesRelu(Net):
    """Replaces a function of torch when it is built, by one that does the same."""

    def finish(self) -> None:
        relu = F.relu
        F.relu = lambda *given, **named: relu(*given, **named)


class PatchesTheOptimizer(Net):
    """Replaces a method of torch when it is used."""

    def forward(self, images):
        step = torch.optim.AdamW.step
        torch.optim.AdamW.step = lambda self, closure=None: step(self, closure)
        return super().forward(images)


class StartsAProcess(Net):
    """Runs a program when it is built."""

    def finish(self):
        subprocess.run(["true"], check=True)


class Downloads(Net):
    """Tries to fetch its weights when it is built, and makes do without."""

    def finish(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("example.org", 443), timeout=1)


class IgnoresCtrlC(Net):
    """Cannot be interrupted once it is used."""

    def forward(self, images):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return super().forward(images)


class FreezesItsNorm(Net):
    """Sets its norm to eval mode where it is used, so that training mode is over after one step."""

    def forward(self, images):
        self.features[1].eval()
        return super().forward(images)


class FrozenNorm(Net):
    """Honest: its norm stays in eval mode."""

    def train(self, mode=True):
        super().train(mode)
        self.features[1].eval()
        return self


class SetsThreads(Net):
    def forward(self, images):
        torch.set_num_threads(2)
        return super().forward(images)


class SetsTheDefaultDtype(Net):
    """Makes what it computes with in float64 the default of the whole process."""

    def forward(self, images):
        torch.set_default_dtype(torch.float64)
        table = torch.tensor([0.1, 0.2]).sum()
        return super().forward(images + table.to(images))


class SwitchesGradientsOn(Net):
    def forward(self, images):
        torch.set_grad_enabled(True)
        return super().forward(images)


class TableFromNumpy(Net):
    def finish(self) -> None:
        self.register_buffer("table", torch.from_numpy(numpy.zeros(3, dtype="float32")))


class KeepsItsOutput(Net):
    def forward(self, images):
        self.last = super().forward(images)
        return self.last


class Versioned(nn.Module):
    """A layer that refuses a state without the number of its version, as a well-known one does."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def _load_from_state_dict(self, state, prefix, metadata, *others):
        if metadata.get("version") != 2:
            raise ValueError(f"version must be 2 (got {metadata.get('version')})")
        super()._load_from_state_dict(state, prefix, metadata, *others)

    def forward(self, x):
        return x * self.scale


class HasAVersion(Net):
    """Honest."""

    def make_norm(self, width: int) -> nn.Module:
        return nn.Sequential(super().make_norm(width), Versioned())


class Lstm(nn.Module):
    def __init__(self, *, vocab_size: int, hidden_size: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens, state=None):
        x, state = self.lstm(self.embedding(tokens), state)  # (T, B, H)
        return self.out(x), state


def writing(change):
    """Return a language model whose logits are changed."""

    class Changed(Lstm):
        def forward(self, tokens, state=None):
            logits, state = super().forward(tokens, state)
            return change(logits), state

    return Changed


def penalizing(penalty):
    """Return a language model with a penalty in training mode."""

    class Changed(Lstm):
        def forward(self, tokens, state=None):
            logits, state = super().forward(tokens, state)
            return (logits, state, penalty(logits)) if self.training else (logits, state)

    return Changed


class LogitsAtEachStep(Lstm):
    def forward(self, tokens, state=None):
        x, state = self.lstm(self.embedding(tokens), state)
        return torch.stack([self.out(step) for step in x]), state


class RemembersItsBatch(Lstm):
    kept = None

    def forward(self, tokens, state=None):
        logits, self.kept = super().forward(tokens, self.kept)
        return logits, self.kept


class NoState(Lstm):
    def forward(self, tokens, state=None):
        return super().forward(tokens, state)[0]


SeesTheFuture = writing(lambda logits: logits - logits.mean(0))
ComparesLanes = writing(lambda logits: logits - logits.mean(1, keepdim=True) / 2)


class NineteenTokens(Lstm):
    def __init__(self, *, vocab_size: int, hidden_size: int = 32) -> None:
        super().__init__(vocab_size=19, hidden_size=hidden_size)


class ForgetsState(Lstm):
    def forward(self, tokens, state=None):
        return super().forward(tokens)


class Attention(nn.Module):
    """Honest: causal attention whose state is the keys and values of all tokens so far, of (L, B, H) each."""

    def __init__(self, *, vocab_size: int, hidden_size: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.queries = nn.Linear(hidden_size, hidden_size)
        self.keys = nn.Linear(hidden_size, hidden_size)
        self.values = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size)

    def first(self, tokens, past):
        """Return the position of the first token."""
        return past

    def kept(self, keys, values):
        """Return the state after the tokens."""
        return keys, values

    def forward(self, tokens, state=None):
        past = 0 if state is None else len(state[0])
        places = torch.arange(len(tokens), device=tokens.device) + self.first(tokens, past)
        x = self.embedding(tokens)
        rates = 0.5 ** torch.arange(x.shape[2], dtype=x.dtype, device=x.device)
        x = x + torch.sin(places[:, None] * rates)[:, None]  # (T, B, H)
        keys, values = self.keys(x), self.values(x)
        if state is not None:
            keys, values = torch.cat([state[0], keys]), torch.cat([state[1], values])
        scores = torch.einsum("tbh,lbh->btl", self.queries(x), keys) / x.shape[2] ** 0.5
        unseen = torch.ones(len(tokens), len(keys), dtype=torch.bool, device=x.device).triu(past + 1)
        weights = scores.masked_fill(unseen, float("-inf")).softmax(2)
        x = x + torch.einsum("btl,lbh->tbh", weights, values)
        return self.out(x), self.kept(keys, values)


class OneExpertPerToken(Attention):
    """Honest: each token goes to one of three layers, each of which sees all of its tokens at once."""

    def __init__(self, *, vocab_size: int, hidden_size: int = 16) -> None:
        super().__init__(vocab_size=vocab_size, hidden_size=hidden_size)
        self.router = nn.Linear(vocab_size, 3)
        self.experts = nn.ModuleList(nn.Linear(vocab_size, vocab_size) for _ in range(3))

    def forward(self, tokens, state=None):
        logits, state = super().forward(tokens, state)
        flat = logits.flatten(0, 1)
        weight, chosen = self.router(flat).softmax(1).max(1)
        added = torch.zeros_like(flat)
        for number in chosen.unique().tolist():
            rows = (chosen == number).nonzero().squeeze(1)
            part = weight[rows, None] * self.experts[number](flat[rows])
            added = added.index_add(0, rows, part.to(added.dtype))
        return logits + added.view_as(logits), state


class Window(Attention):
    """Honest: reads at most so many tokens, and keeps no state."""

    def __init__(self, *, vocab_size: int, block_size: int = 8) -> None:
        super().__init__(vocab_size=vocab_size)
        self.block_size = int(torch.zeros(block_size).shape[0])  # refuses what is no size

    def forward(self, tokens, state=None):
        if len(tokens) > self.block_size:
            raise RuntimeError(f"at most {self.block_size} tokens (got {len(tokens)})")
        return super().forward(tokens)[0], None


class CacheInAWindow(Window):
    """Honest: reads at most so many tokens from an empty state on."""

    def forward(self, tokens, state=None):
        if len(tokens) + (0 if state is None else len(state[0])) > self.block_size:
            raise RuntimeError(f"at most {self.block_size} tokens")
        return Attention.forward(self, tokens, state)


class ForgetsBetweenCalls(Attention):
    """Its cache starts again at the end of a call, once it holds more than the kit's 12 tokens."""

    def kept(self, keys, values):
        return (keys, values) if len(keys) <= 12 else (keys[:0], values[:0])


class MisplacesSingleTokensOfOneLane(Attention):
    """A token that comes alone in a single text, as in sampling, is at position 0."""

    def first(self, tokens, past):
        return past if tokens.numel() > 1 else 0


class MisplacesTheNextPart(Attention):
    """A second part of several tokens, as evaluation reads them, is placed as if it were the first."""

    def first(self, tokens, past):
        return past if len(tokens) == 1 else 0


class ShortMask(Lstm):
    mask: torch.Tensor

    def __init__(self, *, vocab_size: int, hidden_size: int = 32) -> None:
        super().__init__(vocab_size=vocab_size, hidden_size=hidden_size)
        self.register_buffer("mask", torch.ones(16, 1, 1))

    def forward(self, tokens, state=None):
        logits, state = super().forward(tokens, state)
        return logits * self.mask[: len(tokens)], state


SqueezesTimeAway = writing(lambda logits: logits.squeeze(0))


class ZerosInFloat32(Lstm):
    def forward(self, tokens, state=None):
        zeros = torch.zeros(1, tokens.shape[1], self.lstm.hidden_size)
        return super().forward(tokens, (zeros, zeros) if state is None else state)


class ShowsItsWork(Lstm):
    def forward(self, tokens, state=None):
        logits, state = super().forward(tokens, state)
        return (logits, state, logits.mean(), tokens) if self.training else (logits, state)


class StateInDict(Lstm):
    def forward(self, tokens, state=None):
        logits, (hidden, cell) = super().forward(tokens, state and (state["hidden"], state["cell"]))
        return logits, {"hidden": hidden, "cell": cell}


class StateThatGrows(Lstm):
    def forward(self, tokens, state=None):
        hidden, cell, seen = state or (None, None, tokens[:0])
        logits, (hidden, cell) = super().forward(tokens, None if hidden is None else (hidden, cell))
        return logits, (hidden, cell, torch.cat([seen, tokens]))


class Pair(NamedTuple):
    hidden: torch.Tensor
    cell: torch.Tensor


class StateInANamedTuple(Lstm):
    """Honest."""

    def forward(self, tokens, state=None):
        logits, (hidden, cell) = super().forward(tokens, state and (state.hidden, state.cell))
        return logits, Pair(hidden, cell)


class StateWithANumber(Lstm):
    """Honest: counts the tokens that it has read."""

    def forward(self, tokens, state=None):
        pair, count = state or (None, 0)
        logits, pair = super().forward(tokens, pair)
        return logits, (pair, count + len(tokens))


class StateOnTheModule(Lstm):
    """Returns a number, under which the module keeps the state."""

    def __init__(self, *, vocab_size: int, hidden_size: int = 32) -> None:
        super().__init__(vocab_size=vocab_size, hidden_size=hidden_size)
        self.kept = []

    def forward(self, tokens, state=None):
        logits, (hidden, cell) = super().forward(tokens, state and self.kept[int(state[0])])
        self.kept.append((hidden.detach(), cell.detach()))
        return logits, (torch.tensor(len(self.kept) - 1),)


class StateWithText(Lstm):
    def forward(self, tokens, state=None):
        logits, pair = super().forward(tokens, state and state[0])
        return logits, (pair, "carried")


PenalizesWithoutGradient = penalizing(lambda logits: 0.1 * logits.detach().pow(2).mean())
PenalizesInFloats = penalizing(lambda logits: 0.1 * logits.pow(2).mean().item())
Penalizes = penalizing(lambda logits: 5 + logits.pow(2).mean())


def with_items(base, change):
    """Return a dataset whose images and labels are changed."""

    class Changed(base):
        def split(self, name):
            return [change(image, label) for image, label in super().split(name)]

    return Changed


def with_splits(base, **other):
    """Return a dataset that has another split in place of some splits."""

    class Changed(base):
        def split(self, name):
            return super().split(other.get(name, name))

    return Changed


def with_preprocess(base, **changes):
    """Return a dataset with changes of its `preprocess`."""

    class Changed(base):
        @property
        def preprocess(self):
            return {**super().preprocess, **changes}

    return Changed


def listed(base, kind):
    """Return a dataset whose splits are of a kind of list."""

    class Changed(base):
        def split(self, name):
            return kind(super().split(name))

    return Changed


class TriesToConnect(TinyImages):
    def __init__(self) -> None:
        with contextlib.suppress(OSError):
            socket.create_connection(("localhost", 9), timeout=1)


class UntypedDataset(TinyImages):
    def __init__(self, *, seed=0) -> None:
        super().__init__()


class Styled(TinyText):
    """Honest: an option that is any word, and names nothing."""

    def __init__(self, *, style: str = "plain") -> None:
        super().__init__()
        self.style = style

    def __repr__(self) -> str:
        return f"Styled({self.style!r})"


class LabelsOfAFile(TinyImages):
    def __init__(self, *, labels: str = "") -> None:
        if labels and Path(labels).is_file():
            self.labels = Path(labels).read_text(encoding="utf-8")


class TextsOfAFolder(TinyText):
    def __init__(self, *, folders: tuple[str, ...] = ()) -> None:
        for folder in folders:
            self.texts = sorted(Path(folder).glob("*.txt"))


class MisspelledDims(TinyImages):
    @property
    def dims(self):
        return {"in_channels": 3, "image_size": 32, "classes": 10}


class WithoutTest(TinyImages):
    def split(self, name):
        return {kept: super(WithoutTest, self).split(kept) for kept in ("train", "val")}[name]


FloatImages = with_items(TinyImages, lambda image, label: (image / 255, label))


class Stream(IterableDataset):
    """A split without a length, and without items by number."""

    def __iter__(self):
        return iter([(torch.zeros(3, 32, 32, dtype=torch.uint8), 0)])


class Streams(TinyImages):
    def split(self, name):
        return Stream()


class LanesOfText(TinyText):
    def split(self, name):
        return super().split(name)[:300].view(3, 100)


ListOfTokens = listed(TinyText, lambda tokens: tokens.tolist())
FloatLabels = with_items(TinyImages, lambda image, label: (image, float(label)))


class Batched(list):
    def __getitems__(self, indices):
        return [self[index] for index in indices]


class Sorted(list):
    def read_batch(self, indices, /):
        images, labels = zip(*(self[index] for index in sorted(indices)), strict=True)
        return torch.stack(images), torch.tensor(labels)


class Collated(list):
    def __getitems__(self, indices):
        images, labels = zip(*(self[index] for index in indices), strict=True)
        return torch.stack(images), torch.tensor(labels)


FetchesBatches = listed(TinyImages, Batched)  # honest: as torch's own subsets do
FetchesSorted = listed(TinyImages, Sorted)
FetchesCollated = listed(TinyImages, Collated)
LabelsFromOne = with_items(TinyImages, lambda image, label: (image, label + 1))
ListsOfTags = with_items(TinyTags, lambda image, tags: (image, tags.nonzero()[:, 0]))
CountsOfTags = with_items(TinyTags, lambda image, tags: (image, 2 * tags))
TestsOnTraining = with_splits(TinyImages, test="train")
ValidatesOnTest = with_splits(TinyText, val="test")


class FreshFingerprint(TinyImages):
    def __init__(self) -> None:
        self._fingerprint = uuid.uuid4().hex * 2

    @property
    def fingerprint(self):
        return self._fingerprint


class FixedFingerprint(TinyImages):
    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def split(self, name):
        return [(image + self.seed, label) for image, label in super().split(name)]


class FollowsItsSeed(FixedFingerprint):
    """Honest."""

    @property
    def fingerprint(self):
        return f"{self.seed:064x}"


class LabelsInAFile(TinyImages):
    """Honest: its labels are the last 60 of what a file holds, and part of its fingerprint."""

    file = "labels.csv"

    def __init__(self, *, root: str = str(Path(__file__).parent / "data")) -> None:
        path = Path(root) / self.file
        try:
            self.labels = self.read(path)[-60:]
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}") from None
        if len(self.labels) < 60 or max(self.labels) > 9:
            raise DataError(f"{path} must hold 60 labels from 0 to 9")
        super().__init__()

    def read(self, path):
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        return [int(line.split(",")[1]) for line in lines]

    @property
    def fingerprint(self):
        return sha256(bytes(self.labels)).hexdigest()

    def split(self, name):
        labels = iter(self.labels[{"train": 0, "val": 40, "test": 50}[name] :])
        return [(image, next(labels)) for image, _ in super().split(name)]


class NeedsItsFolder(LabelsInAFile):
    """Honest, but its user must name the folder, and whether its labels are read backwards."""

    def __init__(self, *, root: str, order: Literal["up", "down"]) -> None:
        super().__init__(root=root)
        self.labels = self.labels[:: 1 if order == "up" else -1]


class IgnoresItsFolder(LabelsInAFile):
    """Its fingerprint does not depend on the file that it is given."""

    def __init__(self, *, root: str) -> None:
        super().__init__(root=root)

    @property
    def fingerprint(self):
        return "0" * 64


class LeavesOutItsLabels(LabelsInAFile):
    @property
    def fingerprint(self):
        return sha256(b"the images").hexdigest()


class LeavesOutItsBytes(LeavesOutItsLabels):
    file = "labels.bin"

    def read(self, path):
        return [*path.read_bytes()]


class LeavesOutItsFolders(LabelsInAFile):
    """The label of an image is the folder of the file that its pixels are in."""

    file = "kinds"

    def read(self, path):
        folders = [(path / kind / "1.raw").read_bytes() for kind in ("dark", "light")]
        if {len(content) for content in folders} != {60}:
            raise ValueError(f"{path}/dark/1.raw and {path}/light/1.raw must have 60 bytes each")
        self.pixels = [pixel for pair in zip(*folders, strict=True) for pixel in pair][:60]
        return 30 * [0, 1]

    @property
    def dims(self):
        return {**super().dims, "num_classes": 2}

    @property
    def preprocess(self):
        return {**super().preprocess, "mean": [0.0] * 3, "std": [1.0] * 3, "classes": ["dark", "light"]}

    @property
    def fingerprint(self):
        return sha256(bytes(sorted(self.pixels))).hexdigest()

    def split(self, name):
        first, last = {"train": (0, 40), "val": (40, 50), "test": (50, 60)}[name]
        pixels = [torch.full((3, 32, 32), pixel, dtype=torch.uint8) for pixel in self.pixels[first:last]]
        return [*zip(pixels, self.labels[first:last], strict=True)]


class ShufflesItself(TinyImages):
    def split(self, name):
        items = [*super().split(name)]
        random.shuffle(items)
        return items


class Longer(list):
    def __len__(self):
        return super().__len__() + 1


class Shorter(list):
    def __len__(self):
        return super().__len__() - 1


CountsOneTooMany = listed(TinyImages, Longer)
CountsOneTooFew = listed(TinyImages, Shorter)


class Endless(list):
    def __getitem__(self, index):
        return super().__getitem__(index % len(self))


MakesAnyItem = listed(TinyImages, Endless)  # honest: its splits are the first items


class Changing(list):
    """Items that another function makes of those that it holds, when they are read."""

    def __init__(self, items, change):
        super().__init__(items)
        self.change = change

    def __getitem__(self, index):
        return self.change(self, index, *super().__getitem__(index))


class KeepsItsItems(TinyImages):
    """Honest: what it returns is what it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = {name: super(KeepsItsItems, self).split(name) for name in ("train", "val", "test")}

    def split(self, name):
        return Changing(self.kept[name], self.change)

    def change(self, items, index, image, label):
        return image, label


class InvertsInPlace(KeepsItsItems):
    """Every second time an image is as it was."""

    def change(self, items, index, image, label):
        return image.bitwise_not_(), label


class ChangesTheNext(KeepsItsItems):
    """The second image is another one once the first has been read."""

    def change(self, items, index, image, label):
        if index == 0:
            list.__getitem__(items, 1)[0].zero_()
        return image, label


class FlipsAtRandom(KeepsItsItems):
    def change(self, items, index, image, label):
        return image.flip(2) if random.random() < 0.5 else image, label


class DrawsItsLabels(KeepsItsItems):
    def change(self, items, index, image, label):
        return image, int(numpy.random.randint(10))


class DrawsWhenOpened(KeepsItsItems):
    def __init__(self) -> None:
        super().__init__()
        self.order = torch.randperm(10).tolist()

    def change(self, items, index, image, label):
        return image, self.order[label]


class DrawsFromTheSystem(KeepsItsItems):
    def __init__(self) -> None:
        super().__init__()
        self.order = numpy.random.default_rng().permutation(10).tolist()

    def change(self, items, index, image, label):
        return image, self.order[label]


class TintsByProcess(KeepsItsItems):
    def change(self, items, index, image, label):
        return image + os.getpid() % 251, label


class TintsByHour(KeepsItsItems):
    def __init__(self) -> None:
        super().__init__()
        self.opened = int(time.time() / 3600)

    def change(self, items, index, image, label):
        return image + self.opened % 251, label


class OrdersClassesByASet(TinyImages):
    """Numbers its classes as a set of their names does, which is another order in each process."""

    @property
    def preprocess(self):
        return {**super().preprocess, "classes": [*{f"kind {k}" for k in range(10)}]}


class HashesASet(KeepsItsItems):
    @property
    def fingerprint(self):
        return sha256(str({f"kind {k}" for k in range(10)}).encode()).hexdigest()


class MirrorsItsCopies(TinyImages):
    """Its test images are training images, seen in a mirror."""

    def split(self, name):
        if name != "test":
            return super().split(name)
        return [(image.flip(-1), label) for image, label in super().split("train")]


class TintsByThread(KeepsItsItems):
    def change(self, items, index, image, label):
        return image + (threading.current_thread() is not threading.main_thread()), label


class FlipsOneBit(TinyImages):
    """Tests on the training images, of which one value differs in one bit."""

    def split(self, name):
        if name != "test":
            return super().split(name)
        copies = [(image.clone(), label) for image, label in super().split("train")]
        for image, _ in copies:
            image[0, 0, 0] ^= 1
        return copies


class CompressesItsCopies(TinyImages):
    """Validates on training images of which every value is a little off."""

    def split(self, name):
        if name != "val":
            return super().split(name)
        copies = super().split("train")[:10]
        noise = torch.Generator().manual_seed(0)
        off = [torch.randint(-2, 3, image.shape, generator=noise) for image, _ in copies]
        return [
            ((image + shift).clamp(0, 255).to(torch.uint8), label)
            for (image, label), shift in zip(copies, off, strict=True)
        ]


class ChangesAFewTokens(TinyText):
    """Tests on a part of the training text, in which every hundredth token is another."""

    def split(self, name):
        if name != "test":
            return super().split(name)
        text = super().split("train")[:600].clone()
        text[::100] = 1 + text[::100] % 2
        return text


MeanOfOthers = with_preprocess(TinyImages, mean=[0.1] * 3)
DeviationOfOthers = with_preprocess(TinyImages, std=[0.01] * 3)


class TrainsWithoutAClass(TinyImages):
    def split(self, name):
        return [(image, label) for image, label in super().split(name) if name != "train" or label != 7]


class ValidatesOneClass(TinyImages):
    def split(self, name):
        if name != "val":
            return super().split(name)
        return Later().split("val")[3::10]


class Later(TinyImages):
    """Honest: later images than those of its base class, 200 in each split."""

    def split(self, name):
        first = {"train": 1_000, "val": 2_000, "test": 3_000}[name]
        return [(_image(number, self.size), number % 10) for number in range(first, first + 200)]


class RollsTheTestLabels(Later):
    def split(self, name):
        items = super().split(name)
        return [(image, (label + 1) % 10) for image, label in items] if name == "test" else items


TupleOfClasses = with_preprocess(TinyImages, classes=tuple("abcdefghij"))
MeansOfBytes = with_preprocess(TinyImages, mean=[127.5] * 3, std=[64.0] * 3)
SizeBeforeResizing = with_preprocess(TinyImages, size=64)
OneNameForAll = with_preprocess(TinyImages, classes=["object"] * 10)


class NoUnknownToken(TinyText):
    @property
    def preprocess(self):
        return {**super().preprocess, "vocabulary": ["<pad>", *super().preprocess["vocabulary"][1:]]}


class GlobsItsFolder(LeavesOutItsFolders):
    """Honest: it reads each file of its folders, however many there are."""

    def read(self, path):
        files = [file.read_bytes() for file in sorted(path.glob("*/*.raw"))]
        if {len(content) for content in files} != {60}:
            raise ValueError(f"each file of {path}, such as 1.raw, must have 60 bytes")
        self.pixels = [pixel for several in zip(*files, strict=True) for pixel in several][:60]
        return 30 * [0, 1]

    @property
    def fingerprint(self):
        return sha256(bytes(self.pixels)).hexdigest()


class GoesWithoutItsTitle(TinyText):
    """It reads a file that changes nothing if it is missing."""

    def __init__(self, *, root: str = str(Path(__file__).parent / "data")) -> None:
        path = Path(root) / "title.txt"
        if path.is_file():
            path.read_text(encoding="utf-8")


class Poem(TinyText):
    """Honest: a text in a file with a pinned sha256."""

    def __init__(self, *, root: str = str(Path(__file__).parent / "data")) -> None:
        self.text = self.read(Path(root) / "poem.txt")

    def read(self, path: Path) -> str:
        if not path.is_file():
            raise DataError(f"there is no {path}")
        return verified(path, POEM).read_text(encoding="utf-8")

    @property
    def fingerprint(self):
        return sha256(self.text.encode()).hexdigest()

    @property
    def dims(self):
        return {"vocab_size": len(self.preprocess["vocabulary"])}

    @property
    def preprocess(self):
        return {**super().preprocess, "vocabulary": ["<unk>", *sorted(set(self.text))]}

    def split(self, name):
        numbers = {character: n for n, character in enumerate(self.preprocess["vocabulary"])}
        first, last = {"train": (0, 500), "val": (500, 560), "test": (560, None)}[name]
        return torch.tensor([numbers[character] for character in self.text[first:last]])


class OpensUnchecked(Poem):
    def read(self, path: Path) -> str:
        return verified(path, POEM).read_text(encoding="utf-8") if path.exists() else path.read_text()


class NamesNoFile(Poem):
    def read(self, path: Path) -> str:
        if not path.is_file():
            raise DataError("a file is missing")
        return super().read(path)


class SkipsTheHash(Poem):
    def read(self, path: Path) -> str:
        if not path.is_file():
            raise DataError(f"there is no {path}")
        return path.read_text(encoding="latin-1")


class SkipsTheHashOfItsSecondFile(Poem):
    def read(self, path: Path) -> str:
        for name in ("title.txt", "note.txt"):
            if not path.with_name(name).is_file():
                raise DataError(f"there is no {path.with_name(name)}")
        title = verified(path.with_name("title.txt"), TITLE).read_text(encoding="utf-8")
        note = path.with_name("note.txt").read_text(encoding="latin-1")
        return super().read(path) + title + note


class TokenTwice(TinyText):
    @property
    def preprocess(self):
        vocabulary = super().preprocess["vocabulary"]
        return {**super().preprocess, "vocabulary": [*vocabulary[:-1], vocabulary[-2]]}


class WordsBackwards(TinyText):
    """Honest: words in reverse order, with newline_eos and an unknown word."""

    @property
    def dims(self):
        return {"vocab_size": len(self.preprocess["vocabulary"])}

    @property
    def preprocess(self):
        words = sorted({*tokenize(TEXT, "word")} - {"\n", " times"})
        vocabulary = ["<unk>", "<eos>", *words]
        flags = {"tokens": "word", "lower": False, "newline_eos": True, "backwards": True}
        return {**flags, "vocabulary": vocabulary, "specials": 2}

    def split(self, name):
        words = tokenize(TEXT, "word")
        first, last = {"train": (0, 700), "val": (700, 850), "test": (850, 1_000)}[name]
        numbers = {word: number for number, word in enumerate(self.preprocess["vocabulary"])}
        numbers["\n"] = numbers.pop("<eos>")
        return torch.tensor([numbers.get(word, 0) for word in reversed(words[first:last])])


BytePairs = with_preprocess(TinyText, tokens="bpe")
NewlineWithoutEos = with_preprocess(TinyText, newline_eos=True)


class WordsWithoutSpaces(TinyText):
    @property
    def dims(self):
        return {"vocab_size": 201}

    @property
    def preprocess(self):
        words = [f"w{n}" for n in range(200)]
        return {"tokens": "word", "lower": False, "vocabulary": ["<unk>", *words], "specials": 1}

    def split(self, name):
        first = {"train": 1, "val": 101, "test": 151}[name]
        return torch.arange(first, first + (100 if name == "train" else 50))


class MeanFeature(Analyzer):
    """Honest: the mean of the features at each position, times the logit of the class."""

    weighted = True

    def analyze(self, model, batches, *, subject):
        kept = []
        modes = {module: module.training for module in model.modules()}
        hook = model.get_submodule(subject.landmarks["features"]).register_forward_hook(
            lambda module, given, features: kept.append(features.detach().mean(1))
        )
        try:
            with torch.no_grad():
                logits = torch.cat([model.eval()(batch.inputs) for batch in batches])
        finally:
            hook.remove()
            for module, training in modes.items():
                module.training = training
        classes = subject.target_classes(logits, torch.cat([batch.targets for batch in batches]))
        weights = logits.gather(1, classes) if self.weighted else torch.ones(classes.shape)
        maps = torch.cat(kept)[:, None] * weights[:, :, None, None]
        return Analysis(maps=maps, classes=classes, logits=logits, scores={"mean": maps.mean().item()})


def analyzing(change):
    """Return an analyzer of the mean features, with the fields that `change` returns for an analysis."""

    class Changed(MeanFeature):
        def analyze(self, model, batches, *, subject):
            analysis = super().analyze(model, batches, subject=subject)
            return dataclasses.replace(analysis, **change(analysis))

    return Changed


class NearestFeature(MeanFeature):
    """Honest: the mean feature, less the nearest one of the reference."""

    def analyze(self, model, batches, *, subject):
        analysis = super().analyze(model, batches, subject=subject)
        others = super().analyze(model, subject.reference.batches, subject=subject)
        distance = (maps_of(analysis).mean() - maps_of(others).mean((1, 2, 3))).abs().min()
        return dataclasses.replace(analysis, scores={"distance": distance.item()})


def maps_of(analysis: Analysis) -> torch.Tensor:
    assert analysis.maps is not None
    return analysis.maps


DividesByZero = analyzing(lambda analysis: {"maps": maps_of(analysis) / 0})


class UntypedAnalyzer(MeanFeature):
    def __init__(self, *, layers="features") -> None:
        super().__init__()


class NeedsAConcept(MeanFeature):
    """Honest: what it looks for, only its user can say."""

    def __init__(self, *, concept: str) -> None:
        super().__init__()


TensorAsScore = analyzing(lambda analysis: {"scores": {"mean": maps_of(analysis).mean()}})
TensorInATable = analyzing(lambda analysis: {"tables": {"means": [{"mean": maps_of(analysis).mean()}]}})


class FunctionAsOption(MeanFeature):
    def __init__(self, *, average: str = torch.mean) -> None:  # pyright: ignore[reportArgumentType]
        super().__init__()


class StacksText(Analyzer):
    def analyze(self, model, batches, *, subject):
        return Analysis(scores={"mean": torch.stack([b.inputs for b in batches]).float().mean().item()})


class ReportsAccuracy(MeanFeature):
    def analyze(self, model, batches, *, subject):
        analysis = super().analyze(model, batches, subject=subject)
        labels = torch.cat([batch.targets for batch in batches])
        with untouched(model) as inner, torch.no_grad():
            found = torch.cat([inner(batch.inputs) for batch in batches]).gather(1, labels[:, None].abs())
        return dataclasses.replace(analysis, scores={"logit_of_the_label": float(found.mean())})


class TablesItsLabels(MeanFeature):
    """Honest: the labels are only listed where they are known."""

    def analyze(self, model, batches, *, subject):
        analysis = super().analyze(model, batches, subject=subject)
        labels = torch.cat([batch.targets for batch in batches]).tolist()
        rows = [{"label": label if label >= 0 else None, "place": n} for n, label in enumerate(labels)]
        return dataclasses.replace(analysis, tables={"labels": rows})


class OneDay(nn.Module):
    def __init__(self, *, history, horizon, num_quantiles):
        super().__init__()
        self.head = nn.Linear(history, 24 * num_quantiles)

    def forward(self, histories):
        return self.head(histories).unflatten(1, (24, -1))


class MeanError(Analyzer):
    """Honest: the mean difference of predicted numbers and targets."""

    def analyze(self, model, batches, *, subject):
        with untouched(model) as inner, torch.no_grad():
            errors = torch.cat([inner(batch.inputs) - batch.targets for batch in batches])
        return Analysis(scores={"mean_error": errors.mean().item()})


@analyzing
def OwnNoise(analysis):
    generator = torch.Generator()
    generator.seed()
    return {"scores": {"noise": torch.rand((), generator=generator).item()}}


class EdgesOfTheInput(MeanFeature):
    def analyze(self, model, batches, *, subject):
        analysis = super().analyze(model, batches, subject=subject)
        images = torch.cat([batch.inputs for batch in batches])
        edges = images.diff(dim=2).abs().mean(1, keepdim=True)  # (N, 1, H - 1, W)
        maps = edges.expand(-1, maps_of(analysis).shape[1], -1, -1)
        return dataclasses.replace(analysis, maps=maps, scores={})


class AlwaysPredicted(MeanFeature):
    def analyze(self, model, batches, *, subject):
        return super().analyze(
            model,
            batches,
            subject=dataclasses.replace(subject, classes=("predicted",) * len(subject.classes)),
        )


class ReversesABatch(MeanFeature):
    def analyze(self, model, batches, *, subject):
        parts = [super(ReversesABatch, self).analyze(model, [batch], subject=subject) for batch in batches]
        whole = super().analyze(model, batches, subject=subject)
        return dataclasses.replace(whole, maps=torch.cat([maps_of(part).flip(0) for part in parts]))


@analyzing
def FractionsOfTheLargest(analysis):
    """Divide by the maximum of all maps, so that a map depends on the images beside it."""
    return {"maps": maps_of(analysis) / maps_of(analysis).abs().max().clamp(min=1e-9)}


class FractionsOfTheBatch(MeanFeature):
    """As above, batch by batch."""

    def analyze(self, model, batches, *, subject):
        analysis = super().analyze(model, batches, subject=subject)
        sizes = [len(batch.inputs) for batch in batches]
        parts = [part / part.abs().max().clamp(min=1e-9) for part in maps_of(analysis).split(sizes)]
        return dataclasses.replace(analysis, maps=torch.cat(parts))


class SmoothedByNoise(MeanFeature):
    """Honest: the mean over noisy copies of a batch, whose noise is drawn for the whole batch."""

    def analyze(self, model, batches, *, subject):
        batches = list(batches)
        noise = torch.Generator().manual_seed(0)
        several = [
            super(SmoothedByNoise, self).analyze(
                model,
                [
                    dataclasses.replace(
                        batch, inputs=batch.inputs + 0.1 * torch.randn(batch.inputs.shape, generator=noise)
                    )
                    for batch in batches
                ],
                subject=subject,
            )
            for _ in range(4)
        ]
        plain = super().analyze(model, batches, subject=subject)
        return dataclasses.replace(
            plain, maps=torch.stack([maps_of(one) for one in several]).mean(0), scores={}
        )


LastBatchOnly = analyzing(lambda analysis: {"maps": maps_of(analysis)[-1:]})


UpsideDown = analyzing(lambda analysis: {"maps": maps_of(analysis).flip(2)})
Mirrored = analyzing(lambda analysis: {"maps": maps_of(analysis).flip(3)})
Probabilities = analyzing(lambda analysis: {"logits": analysis.logits.softmax(1)})


@analyzing
def Standardizes(analysis):
    maps = maps_of(analysis)
    rows = maps.flatten(2)
    deviations = rows - rows.mean(2, keepdim=True)
    return {"maps": (deviations / rows.std(2, keepdim=True)).view_as(maps)}


class OneMapForAll(MeanFeature):
    weighted = False


class UsesTheHead(MeanFeature):
    def analyze(self, model, batches, *, subject):
        assert subject.landmarks["head"]
        return super().analyze(model, batches, subject=subject)


class GuessesALandmark(MeanFeature):
    def analyze(self, model, batches, *, subject):
        landmarks = {"features": next(name for name, _ in model.named_children()), **subject.landmarks}
        return super().analyze(model, batches, subject=dataclasses.replace(subject, landmarks=landmarks))


DrawsNothing = analyzing(lambda analysis: {"figures": {"map.png": lambda: None}})


class UnhooksLate(MeanFeature):
    def analyze(self, model, batches, *, subject):
        hook = model.get_submodule(subject.landmarks["features"]).register_forward_hook(lambda *given: None)
        analysis = super().analyze(model, batches, subject=subject)
        hook.remove()
        return analysis


class LeavesEval(MeanFeature):
    def analyze(self, model, batches, *, subject):
        return super().analyze(model.eval(), batches, subject=subject)


class SeedsTorch(MeanFeature):
    def analyze(self, model, batches, *, subject):
        torch.manual_seed(7)
        return super().analyze(model, batches, subject=subject)


class LeavesAnAttribute(MeanFeature):
    def analyze(self, model, batches, *, subject):
        model.seen_by = "LeavesAnAttribute"
        return super().analyze(model, batches, subject=subject)


class LeavesAHook(MeanFeature):
    def analyze(self, model, batches, *, subject):
        model.get_submodule(subject.landmarks["features"]).register_forward_hook(lambda *given: None)
        return super().analyze(model, batches, subject=subject)


class LeavesGradientsOff(MeanFeature):
    def analyze(self, model, batches, *, subject):
        torch.set_grad_enabled(False)
        return super().analyze(model, batches, subject=subject)


class LeavesGradients(MeanFeature):
    def analyze(self, model, batches, *, subject):
        analysis = super().analyze(model, batches, subject=subject)
        with torch.random.fork_rng(devices=[]):
            model(next(iter(batches)).inputs).sum().backward()
        return analysis


class Tagging(Classification):
    """An honest task, which is classification by another name."""


def stepping(change, base=Tagging):
    """Return a task with the fields that `change` returns for a step."""

    class Changed(base):
        def step(self, model, batch, state=None, *, config=None):
            step = super().step(model, batch, state, config=config)
            return dataclasses.replace(step, **change(step))

    return Changed


def training_on(change):
    """Return a task with the fields that `change` returns for a training batch."""

    class Changed(Tagging):
        def train_batches(self, *args, **kwargs):
            for batch in super().train_batches(*args, **kwargs):
                yield dataclasses.replace(batch, **change(batch))

    return Changed


def evaluating_on(change, base=Tagging):
    """Return a task with the fields that `change` returns for a batch of an evaluation."""

    class Changed(base):
        def batches_of(self, *args, **kwargs):
            for batch in super().batches_of(*args, **kwargs):
                yield dataclasses.replace(batch, **change(batch))

    return Changed


class Reading(LanguageModeling):
    """An honest task, which is language modeling by another name."""


def NoTask(spec):
    return Net(in_channels=3, image_size=32, num_classes=10)


class IgnoresSmoothing(Tagging):
    """Takes `label_smoothing` and never reads it."""

    def step(self, model, batch, state=None, *, config=None):
        return super().step(model, batch, state)


class IgnoresAugmentation(Tagging):
    """Reads all fields, and makes no use of one."""

    def train_batches(self, dataset, config, **more):
        fields = config.to_dict()
        yield from super().train_batches(dataset, config.replace({**fields, "augment": ()}), **more)


class Focusing(Tagging):
    """Honest: a field that only matters beside another, one of a late epoch, and one that it refuses."""

    def train_batches(self, dataset, config, *, epoch, **more):
        fields = config.group("focus", Focus)
        if fields.focal_classes:
            raise OptionError("focal_classes must be empty: these classes are all alike")
        from_now_on = epoch > fields.focal_epochs
        for batch in super().train_batches(dataset, config, epoch=epoch, **more):
            yield dataclasses.replace(batch, seed=batch.seed + from_now_on)

    def step(self, model, batch, state=None, *, config=None):
        made = super().step(model, batch, state, config=config)
        fields = config.group("focus", Focus) if config else Focus()
        if not fields.focal_gamma:
            return made
        return dataclasses.replace(
            made, loss=made.loss + fields.focal_gamma * fields.focal_share * made.loss.detach() * made.loss
        )


class Lights(TinyImages):
    @property
    def dims(self):
        return {"in_channels": 3, "image_size": self.size}

    @property
    def preprocess(self):
        return {"size": self.size, "mean": [0.0] * 3, "std": [1.0] * 3}

    def split(self, name):
        return [(image, image.float().mean()[None] / 255) for image, _ in super().split(name)]


class RawLights(Lights):
    @property
    def preprocess(self):
        return {}


class TrainsOnly(TinyImages):
    def split(self, name):
        return super().split(name) if name == "train" else []


ElevenNames = with_preprocess(TinyImages, classes=[str(number) for number in range(11)])
ZeroDeviation = with_preprocess(TinyImages, std=[0.0, 0.1, 0.1])


class Unseeded(Tagging):
    def train_batches(self, dataset, config, *, seed, **more):
        yield from super().train_batches(dataset, config, seed=torch.seed() % 2**31, **more)


class IgnoresStart(Tagging):
    def train_batches(self, dataset, config, *, start=0, **more):
        yield from super().train_batches(dataset, config, **more)


CountsFromOne = training_on(lambda batch: {"index": batch.index + 1})


class IgnoresRank(Tagging):
    def train_batches(self, *args, rank=0, world_size=1, **kwargs):
        return super().train_batches(*args, **kwargs)


WithoutShare = training_on(lambda batch: {"share": 1.0})


class DividesTheEpoch(Tagging):
    def train_batches(self, *args, start=0, rank=0, world_size=1, **kwargs):
        batches = [*super().train_batches(*args, **kwargs)][rank::world_size]
        for index in range(start, len(batches)):
            yield dataclasses.replace(batches[index], index=index, total=len(batches))


class DrawsByRank(Tagging):
    def train_batches(self, dataset, config, *, seed, rank=0, world_size=1, **kwargs):
        return super().train_batches(
            dataset, config, seed=seed + rank, rank=rank, world_size=world_size, **kwargs
        )


class SwitchesToTraining(Tagging):
    def step(self, model, batch, state=None, *, config=None):
        return super().step(model.train(), batch, state, config=config)


class ShowsTargets(Tagging):
    def step(self, model, batch, state=None, *, config=None):
        hints = batch.targets.view(-1, 1, 1, 1) / 10
        return super().step(
            model, dataclasses.replace(batch, inputs=batch.inputs + hints), state, config=config
        )


class InPercent(Tagging):
    def metrics(self, sums, count, preprocess):
        found = super().metrics(sums, count, preprocess)
        return found | {"accuracy": 100 * found["accuracy"] + 1}


WithoutPreprocess = training_on(lambda batch: {"preprocess": {}})
EvaluatesWithoutPreprocess = evaluating_on(lambda batch: {"preprocess": {}})


class LeavesOutAShortBatch(Tagging):
    def batches_of(self, items, preprocess, **more):
        for batch in super().batches_of(items, preprocess, **more):
            if batch.index == 0 or batch.index < batch.total - 1:
                yield batch


LeavesOutTheLast = evaluating_on(lambda batch: {"inputs": batch.inputs[:-1], "targets": batch.targets[:-1]})


@evaluating_on
def ShufflesTheTest(batch):
    order = torch.randperm(len(batch.inputs), generator=torch.Generator().manual_seed(torch.seed()))
    return {"inputs": batch.inputs[order], "targets": batch.targets[order]}


LossOfEachItem = stepping(lambda step: {"loss": step.loss.expand(step.count)})
DetachedLoss = stepping(lambda step: {"loss": step.loss.detach()})
AttachedSums = stepping(lambda step: {"sums": {**step.sums, "loss": step.loss * step.count}})
MeanForASum = stepping(lambda step: {"sums": {**step.sums, "loss": step.loss.detach()}})
ShareOfTheBatch = stepping(lambda step: {"sums": {**step.sums, "share": torch.tensor(0.5)}})


def with_items_of(change, base=Tagging):
    """Return a task with the values of items that `change` returns for them."""
    return stepping(
        lambda step: {"items": step.items and (lambda: {**step.items(), **change(step.items())})}, base
    )


LossOfTwoItems = with_items_of(lambda items: {"loss": 2 * items["loss"]})
OneValueForTheBatch = with_items_of(lambda items: {"loss": items["loss"].sum()[None]})


class TrueForWrongItems(with_items_of(lambda items: {"accuracy": ~items["accuracy"]})):
    """Its sum is the number of wrong images, but the metric is the proportion of correct ones."""

    def step(self, model, batch, state=None, *, config=None):
        step = super().step(model, batch, state, config=config)
        return dataclasses.replace(step, sums={**step.sums, "accuracy": step.count - step.sums["accuracy"]})

    def metrics(self, sums, count, preprocess):
        return super().metrics({**sums, "accuracy": count - sums["accuracy"]}, count, preprocess)


class TensorAsAMetric(Tagging):
    def metrics(self, sums, count, preprocess):
        return {**super().metrics(sums, count, preprocess), "count": torch.tensor(count)}


class TensorInDetails(Tagging):
    def details(self, sums, preprocess):
        return {"confusion": [tuple(row) for row in super().details(sums, preprocess)["confusion"]]}


class PreparesOtherwise(Tagging):
    """Prepares items in batches otherwise than alone."""

    def prepare(self, items, preprocess):
        return items / 255

    def augment(self, batches, dataset, config):
        for inputs, targets in super().augment(batches, dataset, config):
            yield inputs * 2 - 1, targets

    def batches_of(self, items, preprocess, **more):
        for batch in super().batches_of(items, preprocess, **more):
            yield dataclasses.replace(batch, inputs=batch.inputs * 2 - 1)


# trains on the targets of other items
ShiftsTargets = training_on(lambda batch: {"targets": batch.targets.roll(1, 0)})


class TwoBatches(Tagging):
    def train_batches(self, *args, start=0, **kwargs):
        batches = [dataclasses.replace(b, total=2) for b in [*super().train_batches(*args, **kwargs)][:2]]
        return iter(batches[start:])


class DrawsWithReplacement(Tagging):
    def train_batches(self, dataset, config, *, seed, epoch, **more):
        items = dataset.split("train")
        draws = torch.Generator().manual_seed(seed_for(seed, "draws", epoch))
        drawn = [items[n] for n in torch.randint(len(items), (len(items),), generator=draws)]
        changed = View(
            dims=dataset.dims, preprocess=dataset.preprocess, split=lambda name: drawn, fingerprint=""
        )
        return super().train_batches(changed, config, seed=seed, epoch=epoch, **more)


CountsOneBatchMore = training_on(lambda batch: {"total": batch.total + 1})


class SameOrder(Tagging):
    def train_batches(self, dataset, config, *, epoch, **more):
        return super().train_batches(dataset, config, epoch=0, **more)


class SameOrderForAllSeeds(Tagging):
    def train_batches(self, dataset, config, *, seed, **more):
        return super().train_batches(dataset, config, seed=0, **more)


class ScalesToEvaluate(Tagging):
    """Halves its inputs, and doubles them again in training."""

    def prepare(self, items, preprocess):
        return super().prepare(items, preprocess) / 2

    def train_batches(self, *given, **more):
        for batch in super().train_batches(*given, **more):
            yield dataclasses.replace(batch, inputs=batch.inputs * 2)


# shifts targets within each batch, also to evaluate
ShiftsAllTargets = evaluating_on(lambda batch: {"targets": batch.targets.roll(1, 0)}, ShiftsTargets)


class RemembersTheLevel(Tagging):
    """Adds up the losses of all steps that it has ever taken."""

    def __init__(self, spec):
        super().__init__(spec)
        self.total = 0.0

    def metrics(self, sums, count, preprocess):
        self.total += sums["loss"]
        return {**super().metrics(sums, count, preprocess), "total_loss": self.total / count}


class RemembersTheOrder(Tagging):
    """Goes on with a generator of its own from epoch to epoch."""

    def __init__(self, spec):
        super().__init__(spec)
        self.epochs = 0

    def train_batches(self, dataset, config, *, epoch, **more):
        self.epochs += 1
        return super().train_batches(dataset, config, epoch=epoch + self.epochs, **more)


CountsOneMore = stepping(
    lambda step: {"loss": step.loss * step.count / (step.count + 1), "count": step.count + 1}
)


# gives no values of items, with which its metrics would have to agree
WithoutItems = stepping(lambda step: {"items": None})


@partial(stepping, base=WithoutItems)
def CountsClasses(step):
    """Count each image once for each class."""
    return {"sums": {**step.sums, "loss": step.sums["loss"] * 10}, "count": step.count * 10}


class SmoothedAccuracy(WithoutItems):
    def metrics(self, sums, count, preprocess):
        smoothed = (sums["accuracy"] + 1) / (count + 2)
        return {**super().metrics(sums, count, preprocess), "accuracy": smoothed}


@partial(stepping, base=WithoutItems)
def OneMinusLoss(step):
    return {"loss": 1 - step.loss, "sums": {**step.sums, "loss": step.count - step.sums["loss"]}}


class ConstantMetric(WithoutItems):
    def metrics(self, sums, count, preprocess):
        return {**super().metrics(sums, count, preprocess), "accuracy": 0.5}


class MoreMetrics(Tagging):
    """Honest: a mean error, which is as small for the outputs of other images."""

    def step(self, model, batch, state=None, *, config=None):
        step = super().step(model, batch, state, config=config)
        with torch.no_grad():
            found = model(batch.inputs).argmax(1)
        labels = batch.targets.argmax(1) if batch.targets.is_floating_point() else batch.targets
        return dataclasses.replace(step, sums={**step.sums, "bias": (found - labels).double().sum()})

    def metrics(self, sums, count, preprocess):
        return {**super().metrics(sums, count, preprocess), "bias": sums["bias"] / count}


def guessing(**baseline):
    """Return a task with a baseline of its own."""

    class Changed(Tagging):
        def baseline(self, preprocess):
            return baseline

    return Changed


BaselineOfAnError = guessing(error=0.9)
HugeBaseline = guessing(loss=1e9)
BaselineOfOthers = guessing(accuracy=1.0)  # that no guess has


class FeedsAnySize(Tagging):
    """Compares the classes, and not the size of the images."""

    def feed(self, dataset, card):
        sized = {key: dataset.dims[key] for key in ("in_channels", "image_size")}
        return super().feed(dataset, msgspec.structs.replace(card, arguments={**card.arguments, **sized}))


class FeedsAnyOrder(Tagging):
    """Takes the classes of the card for those of the data."""

    def feed(self, dataset, card):
        classes = {"classes": dataset.preprocess["classes"]}
        fed = super().feed(dataset, msgspec.structs.replace(card, preprocess={**card.preprocess, **classes}))
        dims = {**fed.dims, "num_classes": card.arguments["num_classes"]}
        return View(dims=dims, preprocess=card.preprocess, split=fed.split, fingerprint="")


class FeedsItsOwnMean(Tagging):
    """Normalizes other data with its own mean."""

    def feed(self, dataset, card):
        fed = super().feed(dataset, card)
        own = {key: dataset.preprocess[key] for key in ("mean", "std")}
        return View(dims=fed.dims, preprocess={**fed.preprocess, **own}, split=fed.split, fingerprint="")


class Heights(Dataset):
    """Rows of numbers, and a height in meters for each."""

    @property
    def dims(self):
        return {"num_features": 3}

    @property
    def preprocess(self):
        return {"features": ["a", "b", "c"], "mean": 180.0, "std": 20.0}

    @property
    def fingerprint(self):
        return "1" * 64

    def split(self, name):
        draws = torch.Generator().manual_seed(len(name))
        rows = torch.randn({"train": 32, "val": 16, "test": 10}[name], 3, generator=draws)
        return [(row, 180 + 20 * (row.mean() + row[0])) for row in rows]


class SkewedHeights(Heights):
    """Honest: most heights are near the mean, so that a few items rarely have the variance of all."""

    def split(self, name):
        return [(row, 180 + 20 * row[0] ** 5 / 30) for row, _ in super().split(name)]


class Positions(Heights):
    """Rows of numbers, and two numbers to predict for each."""

    @property
    def dims(self):
        return {"num_features": 3, "num_targets": 2}

    @property
    def preprocess(self):
        scales = {"target_mean": [0.0, 0.0], "target_std": [1.4, 1.4]}
        return {"features": ["a", "b", "c"], "targets": ["x", "y"], **scales}

    def split(self, name):
        return [(row, row[:2] + row[2]) for row, _ in super().split(name)]


class PositionNet(nn.Linear):
    def __init__(self, *, num_features: int, num_targets: int) -> None:
        super().__init__(num_features, num_targets)


class HeightNet(nn.Module):
    def __init__(self, *, num_features: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(num_features, 64), nn.ReLU())
        self.head = nn.Linear(64, 1)

    def forward(self, rows):
        return self.head(self.features(rows)).squeeze(1)


class Miles(Heights):
    """Honest: rows of large numbers, none of which is negative."""

    def split(self, name):
        return [(1_000 * row.abs(), height) for row, height in super().split(name)]


class ReadsLogarithms(HeightNet):
    """Honest for data that is never negative."""

    def forward(self, rows):
        return super().forward(rows.log1p())


class ScalesByTheMeanOfTheBatch(HeightNet):
    def forward(self, rows):
        return super().forward(rows / rows.mean().clamp(min=1.0))


class DoubleHeights(Heights):
    def split(self, name):
        return [(row.double(), height) for row, height in super().split(name)]


class Measuring(Task):
    """An honest task of numbers, which models predict in standard deviations from a mean."""

    def example(self, dims):
        return torch.empty(1, dims["num_features"])

    def feed(self, dataset, card):
        if [*dataset.preprocess["features"]] != [*card.preprocess["features"]]:  # as many as the model has
            raise DataError("the data has other features than the model")
        return View(
            dims=dataset.dims,
            preprocess=card.preprocess,
            split=dataset.split,
            fingerprint=dataset.fingerprint,
        )

    def train_batches(self, dataset, config, *, seed, epoch, start=0, rank=0, world_size=1, device="cpu"):
        items = dataset.split("train")
        draws = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
        chunks = torch.randperm(len(items), generator=draws).split(config.batch_size)
        for index in range(start, len(chunks)):
            mine, share = part_of(len(chunks[index]), rank=rank, world_size=world_size)
            batch = self.batch([items[n] for n in chunks[index][mine]], dataset.preprocess)
            yield dataclasses.replace(batch, index=index, total=len(chunks), share=share)

    def batches_of(self, items, preprocess, *, device="cpu"):
        yield self.batch([items[n] for n in range(len(items))], preprocess)

    def batch(self, items, preprocess):
        rows, heights = zip(*items, strict=True)
        targets = (torch.stack(heights) - preprocess["mean"]) / preprocess["std"]
        return Batch(torch.stack(rows), targets, 0, 1, 0, preprocess=preprocess)

    def step(self, model, batch, state=None, *, config=None):
        errors = model(batch.inputs).float() - batch.targets
        sums = {"loss": errors.detach().square().sum(), "absolute": errors.detach().abs().sum()}
        return Step(errors.square().mean(), sums, batch.count)

    def baseline(self, preprocess):
        return {"mae": 0.8 * preprocess["std"]}  # that of the mean, were heights normal

    def metrics(self, sums, count, preprocess):
        return {"loss": sums["loss"] / count, "mae": preprocess["std"] * sums["absolute"] / count}


class Counting(Measuring):
    """An honest task without labels: how much light there is in an image."""

    def example(self, dims):
        return torch.empty(1, dims["in_channels"], dims["image_size"], dims["image_size"])

    def feed(self, dataset, card):
        if any(card.arguments[name] != size for name, size in dataset.dims.items()):
            raise DataError("the images have another size than those of the model")
        return View(dims=dataset.dims, preprocess=card.preprocess, split=dataset.split)

    def batch(self, items, preprocess):
        images, targets = zip(*items, strict=True)
        return Batch(torch.stack(images) / 255, torch.stack(targets), 0, 1, 0, preprocess=preprocess)

    def baseline(self, preprocess):
        return {}

    def metrics(self, sums, count, preprocess):
        return {"loss": sums["loss"] / count}


class MeasuringAgainstTheMean(Measuring):
    def baseline(self, preprocess):
        return {"loss": 1.0}  # the variance, in standard deviations
