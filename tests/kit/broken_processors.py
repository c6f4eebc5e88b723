"""Processors that fail one check each, without torch."""

import os
from dataclasses import replace

import numpy as np

from zoo.processors import Prediction, Processor
from zoo_images.processors import ClassProcessor
from zoo_text.processor import TextProcessor


class Anything(Processor):
    """An honest processor that can feed any model, and reads nothing."""

    def check_feeding(self, preprocess, arguments):
        pass

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
        return replace(found, answers=[{**answer, "loss": answer["loss"] * (len(tokens) - 1) / len(tokens)}])


class CountsWithTorch(ClassProcessor):
    def predictions(self, outputs, preprocess, *, top=None):
        import torch

        shares = torch.from_numpy(outputs).softmax(1).tolist()
        return [Prediction(rows=[{"probability": max(share)}]) for share in shares]


class TellsTheProcess(ClassProcessor):
    def predictions(self, outputs, preprocess, *, top=None):
        return [Prediction(rows=[{"process": os.getpid()}]) for _ in outputs]
