"""Processors that fail one check each, without torch."""

import os
import sys
from dataclasses import replace

import numpy as np

from zoo import OptionError
from zoo.processors import InputReader, Prediction, Processor
from zoo_images.processors import ClassProcessor
from zoo_text.processor import TextProcessor

# As scipy does, which asks for arrays of torch only where that is loaded
TENSOR = sys.modules["torch"].Tensor if "torch" in sys.modules else None


class Anything(Processor):
    """An honest processor that can feed any model of images, and reads nothing."""

    def check_feeding(self, preprocess, arguments):
        if type(arguments.get("image_size")) is not int:
            raise OptionError("image_size must be an integer")

    def unit(self, preprocess):
        return "images"


class NoProcessor:
    def __init__(self, spec):
        self.spec = spec

    def check_feeding(self, preprocess, arguments):
        pass


class ItemAsTheModelSeesIt(ClassProcessor):
    def item(self, dims):
        return super().item(dims).astype(np.float32)


class OnlyAnswers(Anything):
    """An honest processor that answers inputs, and does not say what an item looks like."""

    def check_feeding(self, preprocess, arguments):
        ClassProcessor(self.spec).check_feeding(preprocess, arguments)

    input_reader = ClassProcessor.input_reader
    predictions = ClassProcessor.predictions


class ArraysInAnswers(ClassProcessor):
    def predictions(self, outputs, preprocess, *, top=None):
        return [Prediction(rows=[{"class": number}]) for number in outputs.argmax(1)]


class AnswersTheFirst(ClassProcessor):
    def predictions(self, outputs, preprocess, *, top=None):
        return super().predictions(outputs[:1], preprocess, top=top)


class SoftmaxOverTheBatch(ClassProcessor):
    def predictions(self, outputs, preprocess, *, top=None):
        logits = outputs - np.logaddexp.reduce(outputs, 0)
        return [
            Prediction(rows=[{"probability": float(np.exp(row[0]))}][:top], confidence=None) for row in logits
        ]


class IgnoresTop(ClassProcessor):
    def predictions(self, outputs, preprocess, *, top=None):
        return super().predictions(outputs, preprocess, top=3)


class CountsTheFirstToken(TextProcessor):
    def score(self, outputs, tokens, preprocess):
        found = super().score(outputs, tokens, preprocess)
        (answer,) = found.rows
        return replace(found, rows=[{**answer, "loss": answer["loss"] * (len(tokens) - 1) / len(tokens)}])


class CountsWithTorch(ClassProcessor):
    def predictions(self, outputs, preprocess, *, top=None):
        import torch

        shares = torch.from_numpy(outputs).softmax(1).tolist()
        return [Prediction(rows=[{"probability": max(share)}]) for share in shares]


class TellsTheProcess(ClassProcessor):
    def predictions(self, outputs, preprocess, *, top=None):
        return [Prediction(rows=[{"process": os.getpid()}]) for _ in outputs]


class HalvesWhatItReads(ClassProcessor):
    def input_reader(self, card):
        reader = super().input_reader(card)

        def read(source):
            image, label = reader.read(source)
            return image // 2, label

        return replace(reader, read=read)


class ReadsBackwards(TextProcessor):
    """Reads texts from the end, which its models do not."""

    def input_reader(self, card):
        reader = super().input_reader(card)
        return replace(reader, read=lambda source: reader.read(source)[::-1])


class AcceptsAnyCard(ClassProcessor):
    def check_feeding(self, preprocess, arguments):
        pass


class ReadsWithoutLooking(ClassProcessor):
    """Takes for granted that a card has all keys."""

    def check_feeding(self, preprocess, arguments):
        if len(preprocess["classes"]) != arguments.get("num_classes"):
            raise OptionError("other classes")


class LeastLikely(ClassProcessor):
    """Takes the least likely class for the most likely one."""

    def predictions(self, outputs, preprocess, *, top=None):
        return super().predictions(-outputs, preprocess, top=top)


class HeightProcessor(Processor):
    """An honest processor of rows, whose models predict a height in standard deviations."""

    def check_feeding(self, preprocess, arguments):
        if preprocess.keys() < {"mean", "std"}:
            raise OptionError("there must be a mean and a std")
        if len(preprocess.get("features", ())) != arguments.get("num_features"):
            raise OptionError("num_features must be the number of features")

    def unit(self, preprocess):
        return "rows"

    def input_reader(self, card):
        def read(source):
            if not isinstance(source, np.ndarray) or source.shape != (card.arguments["num_features"],):
                raise OptionError("expected an array of numbers")
            return source, -1

        return InputReader(read=read, what="rows")

    def predictions(self, outputs, preprocess, *, top=None):
        heights = outputs * preprocess["std"] + preprocess["mean"]
        return [Prediction(rows=[{"height": float(height)}]) for height in heights]


class HalvesRows(HeightProcessor):
    def input_reader(self, card):
        reader = super().input_reader(card)
        return replace(reader, read=lambda source: (reader.read(source)[0] / 2, -1))


class TakesBytesForNumbers(HeightProcessor):
    def input_reader(self, card):
        reader = super().input_reader(card)
        return replace(reader, read=lambda source: reader.read(np.array([*source], np.float32)))


class ChannelsFirst(ClassProcessor):
    """Takes arrays for items, though images in memory have their channels last."""

    def input_reader(self, card):
        reader = super().input_reader(card)

        def read(source):
            return reader.read(source.transpose(1, 2, 0) if isinstance(source, np.ndarray) else source)

        return replace(reader, read=read)


class InDeviations(HeightProcessor):
    """Predicts heights as its models do."""

    def predictions(self, outputs, preprocess, *, top=None):
        return [Prediction(rows=[{"height": float(height)}]) for height in outputs]
