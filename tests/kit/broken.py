"""An honest model of each task, honest data, an honest analyzer; and one small lie for each check."""

from __future__ import annotations

import dataclasses
import random
import uuid

import torch
from torch import nn
from torch.nn import functional as F

from zoo import tokenize
from zoo.interfaces import Analysis, Analyzer
from zoo.testing._tiny import TEXT, TinyImages, TinyText


class Net(nn.Module):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, width: int = 16) -> None:
        super().__init__()
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


class OddWidth(Net):
    def finish(self) -> None:
        raise ValueError("the width must be even")


class BagOfOptions(Net):
    def __init__(self, **options) -> None:
        super().__init__(**options)


class UnseededWeights(Net):
    def finish(self) -> None:
        generator = torch.Generator()
        generator.seed()
        if not self.head.weight.is_meta:
            nn.init.normal_(self.head.weight, std=0.01, generator=generator)


class SqueezesOneAway(Net):
    def forward(self, images):
        return super().forward(images).squeeze()


class LoudLogits(Net):
    def forward(self, images):
        return super().forward(images) * 50


class UnusedLayer(Net):
    def finish(self) -> None:
        self.spare = nn.Linear(4, 4)


class FaintLogits(Net):
    def forward(self, images):
        return super().forward(images) * 1e-4


class ComparesBatchMates(Net):
    def forward(self, images):
        return super().forward(images - images.mean(0))


class DropsOutInEval(Net):
    def forward(self, images):
        return F.dropout(super().forward(images), 0.5)


class ReadsItsWeights(Net):
    def finish(self) -> None:
        self.size = self.head.weight.detach().sum().item()


class PlainAttributeNorm(nn.Module):
    """The batch normalisation of a well-known lesson, whose statistics no state dict sees."""

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


class KeepsItsOutput(Net):
    def forward(self, images):
        self.last = super().forward(images)
        return self.last


class Lstm(nn.Module):
    def __init__(self, *, vocab_size: int, hidden_size: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens, state=None):
        x, state = self.lstm(self.embedding(tokens), state)  # (T, B, H)
        return self.out(x), state


class NoState(Lstm):
    def forward(self, tokens, state=None):
        return super().forward(tokens, state)[0]


class SeesTheFuture(Lstm):
    def forward(self, tokens, state=None):
        logits, state = super().forward(tokens, state)
        return logits - logits.mean(0), state


class ForgetsState(Lstm):
    def forward(self, tokens, state=None):
        return super().forward(tokens)


class StateInDict(Lstm):
    def forward(self, tokens, state=None):
        logits, (hidden, cell) = super().forward(tokens, state and (state["hidden"], state["cell"]))
        return logits, {"hidden": hidden, "cell": cell}


class PenalisesAlways(Lstm):
    def forward(self, tokens, state=None):
        logits, state = super().forward(tokens, state)
        return logits, state, 0.1 * logits.pow(2).mean()


class PenalisesInVain(Lstm):
    def forward(self, tokens, state=None):
        logits, state = super().forward(tokens, state)
        return (logits, state, 0.1 * logits.detach().pow(2).mean()) if self.training else (logits, state)


class PenalisesInFloats(Lstm):
    def forward(self, tokens, state=None):
        logits, state = super().forward(tokens, state)
        return (logits, state, 0.1 * logits.pow(2).mean().item()) if self.training else (logits, state)


class Penalises(Lstm):
    def forward(self, tokens, state=None):
        logits, state = super().forward(tokens, state)
        return (logits, state, 5 + logits.pow(2).mean()) if self.training else (logits, state)


class MisspeltDims(TinyImages):
    @property
    def dims(self):
        return {"in_channels": 3, "image_size": 32, "classes": 10}


class FloatImages(TinyImages):
    def split(self, name):
        return [(image / 255, label) for image, label in super().split(name)]


class LanesOfText(TinyText):
    def split(self, name):
        return super().split(name)[:300].view(3, 100)


class LabelsFromOne(TinyImages):
    def split(self, name):
        return [(image, label + 1) for image, label in super().split(name)]


class TestsOnTraining(TinyImages):
    def split(self, name):
        return super().split("train" if name == "test" else name)


class ValidatesOnTest(TinyText):
    def split(self, name):
        return super().split("test" if name == "val" else name)


class FreshFingerprint(TinyImages):
    def __init__(self) -> None:
        self._fingerprint = uuid.uuid4().hex * 2

    @property
    def fingerprint(self):
        return self._fingerprint


class ShufflesItself(TinyImages):
    def split(self, name):
        items = super().split(name)
        random.shuffle(items)
        return items


class TupleOfClasses(TinyImages):
    @property
    def preprocess(self):
        return {**super().preprocess, "classes": tuple(super().preprocess["classes"])}


class TokenTwice(TinyText):
    @property
    def preprocess(self):
        vocabulary = super().preprocess["vocabulary"]
        return {**super().preprocess, "vocabulary": [*vocabulary[:-1], vocabulary[-2]]}


class WordsBackwards(TinyText):
    """Honest: all that a reading may be besides the usual, and an unknown word."""

    @property
    def dims(self):
        return {"vocab_size": len(self.preprocess["vocabulary"])}

    @property
    def preprocess(self):
        words = sorted({*tokenize(TEXT, "word")} - {"\n", " times"})
        vocabulary = ["<unk>", "<eos>", *words]
        reading = {"tokens": "word", "lower": False, "newline_eos": True, "backwards": True}
        return {**reading, "vocabulary": vocabulary, "specials": 2}

    def split(self, name):
        words = tokenize(TEXT, "word")
        first, last = {"train": (0, 700), "val": (700, 850), "test": (850, 1_000)}[name]
        numbers = {word: number for number, word in enumerate(self.preprocess["vocabulary"])}
        numbers["\n"] = numbers.pop("<eos>")
        return torch.tensor([numbers.get(word, 0) for word in reversed(words[first:last])])


class BytePairs(TinyText):
    @property
    def preprocess(self):
        return {**super().preprocess, "tokens": "bpe"}


class NewlineWithoutEos(TinyText):
    @property
    def preprocess(self):
        return {**super().preprocess, "newline_eos": True}


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
        maps = torch.cat(kept)[:, None]
        return Analysis(
            maps=maps,
            classes=subject.ask(logits, torch.full((len(logits),), -1)),
            logits=logits,
            scores={"mean": maps.mean().item()},
        )


class DividesByZero(MeanFeature):
    def analyze(self, model, batches, *, subject):
        found = super().analyze(model, batches, subject=subject)
        return dataclasses.replace(found, maps=found.maps / 0)


class OwnNoise(MeanFeature):
    def analyze(self, model, batches, *, subject):
        found = super().analyze(model, batches, subject=subject)
        generator = torch.Generator()
        generator.seed()
        return dataclasses.replace(found, scores={"noise": torch.rand((), generator=generator).item()})


class LeavesEval(MeanFeature):
    def analyze(self, model, batches, *, subject):
        return super().analyze(model.eval(), batches, subject=subject)


class LeavesAHook(MeanFeature):
    def analyze(self, model, batches, *, subject):
        model.get_submodule(subject.landmarks["head"]).register_forward_hook(lambda *given: None)
        return super().analyze(model, batches, subject=subject)


class LeavesGradients(MeanFeature):
    def analyze(self, model, batches, *, subject):
        found = super().analyze(model, batches, subject=subject)
        with torch.random.fork_rng(devices=[]):
            model(next(iter(batches)).inputs).sum().backward()
        return found
