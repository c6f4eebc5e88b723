"""Optimizers and schedules for the kit's own tests: honest ones, and those that fail a check."""

import collections
import itertools
import math
import random

import torch

from tests.methods import ScheduleFreeSGD


class Plain(torch.optim.Optimizer):
    """SGD with momentum."""

    def __init__(self, groups, *, lr, momentum):
        super().__init__(groups, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.move(weight, group)

    def move(self, weight, group):
        speed = self.state[weight].setdefault("speed", torch.zeros_like(weight))
        speed.mul_(group["momentum"]).add_(weight.grad)
        weight.sub_(speed, alpha=group["lr"])


def needs_more(groups, *, lr, momentum, damping):
    return Plain(groups, lr=lr, momentum=momentum)


def unknown_type(groups, *, lr, momentum, damping: "flot" = 0.0):  # noqa: F821 # pyright: ignore
    return Plain(groups, lr=lr, momentum=momentum)


def makes_and_forgets(groups, *, lr, momentum):
    Plain(groups, lr=lr, momentum=momentum)


def only_matrices(groups, *, lr, momentum):
    some = [group | {"params": [p for p in group["params"] if p.ndim == 2]} for group in groups]
    return Plain(some, lr=lr, momentum=momentum)


def regroups(groups, *, lr, momentum):
    return Plain([{"params": group["params"]} for group in groups], lr=lr, momentum=momentum)


class KeepsItsRate(Plain):
    def __init__(self, groups, *, lr, momentum):
        super().__init__(groups, lr=lr, momentum=momentum)
        self.lr = lr

    def move(self, weight, group):
        super().move(weight, group | {"lr": self.lr})


class Climbs(Plain):
    def move(self, weight, group):
        super().move(weight, group | {"lr": -group["lr"]})


class CountsItsSteps(Plain):
    """A rate that decays with a number of steps that no checkpoint holds."""

    def __init__(self, groups, *, lr, momentum):
        super().__init__(groups, lr=lr, momentum=momentum)
        self.steps = 0

    def step(self, closure=None):
        self.steps += 1
        super().step(closure)

    def move(self, weight, group):
        super().move(weight, group | {"lr": group["lr"] / self.steps})


class ResetsSeldom(CountsItsSteps):
    """A momentum that starts over every 50 steps, which none of a few steps show."""

    def move(self, weight, group):
        momentum = 0.0 if self.steps % 50 == 0 else group["momentum"]
        Plain.move(self, weight, group | {"momentum": momentum})


class CountsInItsGroups(Plain):
    def move(self, weight, group):
        group["count"] = group.get("count", 0) + 1
        super().move(weight, group | {"lr": group["lr"] / group["count"]})


_past = collections.Counter()


class CountsElsewhere(Plain):
    """A counter that is neither in the optimizer nor in a checkpoint."""

    def move(self, weight, group):
        _past[id(self)] += 1
        super().move(weight, group | {"lr": group["lr"] / _past[id(self)]})


class ChangesItsState(ScheduleFreeSGD):
    def eval(self):
        super().eval()
        for state in self.state.values():
            state["z"].mul_(1.000001)


class EvaluatesFarOff(ScheduleFreeSGD):
    def eval(self):
        super().eval()
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data.add_(5.0)


class CallsTheModelAgain(Plain):
    """Moves away from the minimum and asks for the gradient there, as SAM does."""

    def step(self, closure=None):
        assert closure is not None, "SAM needs a closure"
        closure()
        super().step()


class StartsLate(Plain):
    def move(self, weight, group):
        steps = self.state[weight].setdefault("steps", torch.zeros(()))
        steps += 1
        if steps == 6:
            self.state[weight]["late"] = torch.zeros_like(weight)
        super().move(weight, group)


def linear(progress, *, floor: float = 0.0) -> float:
    return max(1 - progress, floor)


def bare(progress, *, floor=0.0):
    return max(1 - progress, floor)


def ignores_its_floor(progress, *, floor: float = 0.0) -> float:
    return 1 - progress


class DecaysNothing(Plain):
    """SGD that accepts weight_decay."""

    def __init__(self, groups, *, lr, momentum, weight_decay):
        super().__init__(
            [group | {"weight_decay": weight_decay} for group in groups], lr=lr, momentum=momentum
        )


def negative(progress):
    return 0.5 - progress


def needs_validation(progress, *, history):
    best = min((row["val/loss"] for row in history), default=0.0)
    return 0.1 if history and history[-1]["val/loss"] > best else 1.0


def a_rate(progress):
    return 100 * (1 - progress)


def nothing(progress):
    return 0 * progress


_calls = itertools.count()


def counts_its_calls(progress):
    return 1 / (1 + next(_calls))


_best = [math.inf]


def remembers_the_best(progress, *, history, metric: str = "val/loss", wait: int = 1) -> float:
    """A tenth of the rate after epochs that were no better than the best one of any run."""
    values = [row[metric] for row in history if metric in row]
    worse = [value for value in values if value >= _best[0]]
    _best[0] = min([*_best, *values])
    return 0.1 if len(worse) > wait else 1.0


def waits(progress, *, history, metric: str = "val/pinball", patience: int = 4) -> float:
    """Honest but for the name of its argument, and a metric that only some tasks have."""
    values = [row[metric] for row in history if metric in row]
    return 0.1 if len(values) > 4 and min(values[-4:]) > min(values) else 1.0


def waits_long(progress, *, history, metric: str = "val/pinball", epochs_to_wait: int = 4) -> float:
    values = [row[metric] for row in history if metric in row]
    return 0.1 if len(values) > epochs_to_wait + 1 else 1.0


def mirrored(images, draws, *, p: float = 0.5):
    chosen = draws.uniform() < p
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def untyped_mirror(images, draws, *, p=0.5):
    return mirrored(images, draws, p=p)


def scaled(images, draws):
    return mirrored(images, draws) / 255


def narrow(images, draws):
    return mirrored(images, draws)[:, :, 1:, 1:]


def drops_one(images, draws):
    return mirrored(images, draws)[1:]


def mirrors_and_forgets(images, draws):
    mirrored(images, draws)


def in_place(images, draws):
    images[draws.uniform() < 0.5] = 0
    return images


def from_torch(images, draws):
    with torch.random.fork_rng(devices=[]):
        torch.seed()
        return images + torch.randint(0, 9, images.shape, dtype=torch.uint8)


def from_python(images, draws):
    return images.flip(3) if random.random() < 0.5 else mirrored(images, draws)


def reseeds(images, draws):
    torch.manual_seed(7)
    return mirrored(images, draws)


def always_alike(images, draws):
    return images.flip(3)


def inverted(images, draws):
    chosen = draws.uniform() < 0.5
    return torch.where(chosen[:, None, None, None], 255 - images, images)


def all_or_none(images, draws):
    return images.roll(int(16 * draws.uniform()[0]), 3)


class ErrorRate:
    def items(self, outputs, targets):
        return {"wrong": outputs.argmax(-1) != targets}

    def value(self, sums, count):
        return sums["wrong"] / count


class WithAnOption(ErrorRate):
    def __init__(self, *, scale=1.0):
        self.scale = scale


class IgnoresItsScale(ErrorRate):
    def __init__(self, *, scale: float = 1.0):
        self.scale = scale


class Percentage(ErrorRate):
    def items(self, outputs, targets):
        return {"right": outputs.argmax(-1) == targets}

    def value(self, sums, count):
        return 100 * (sums["right"] + 1) / (count + 1)


class HundredTimesWrong(ErrorRate):
    def value(self, sums, count):
        return 100 * sums["wrong"] / count


class CountsItself(ErrorRate):
    """It divides by the items of all batches that it has seen, which a second evaluation adds to."""

    count = 0

    def items(self, outputs, targets):
        self.count += len(targets)
        return super().items(outputs, targets)

    def value(self, sums, count):
        return sums["wrong"] / self.count


class ForgetsToDivide(ErrorRate):
    def value(self, sums, count):
        return sums["wrong"]


class OverNothing(ErrorRate):
    def value(self, sums, count):
        return sums["wrong"] / 0.0 if count < 0 else math.nan


class MeanOfTheBatch(ErrorRate):
    def items(self, outputs, targets):
        wrong = (outputs.argmax(-1) != targets).float()
        return {"wrong": wrong.mean().expand_as(wrong).clone()}


class OneMean(ErrorRate):
    def items(self, outputs, targets):
        return {"wrong": (outputs.argmax(-1) != targets).float().mean()}


class ForgetsItsItems(ErrorRate):
    def items(self, outputs, targets):
        super().items(outputs, targets)


class ForgetsItsValue(ErrorRate):
    def value(self, sums, count):
        super().value(sums, count)


class MisnamesItsItems:
    def item(self, outputs, targets):
        return {"wrong": outputs.argmax(-1) != targets}

    def value(self, sums, count):
        return sums["wrong"] / count


def error_rate(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    return (outputs.argmax(-1) != targets).float().mean().item()


class NanLoss:
    def losses(self, outputs, targets):
        return torch.nn.functional.cross_entropy(outputs, targets, reduction="none") * math.nan


class DetachedLoss:
    def losses(self, outputs, targets):
        return torch.nn.functional.cross_entropy(outputs.detach(), targets, reduction="none")


class OneLoss:
    def losses(self, outputs, targets):
        return torch.nn.functional.cross_entropy(outputs, targets)


class WrongSign:
    def losses(self, outputs, targets):
        return -torch.nn.functional.cross_entropy(outputs, targets, reduction="none")


class DividedByTheBatch:
    def losses(self, outputs, targets):
        losses = torch.nn.functional.cross_entropy(outputs, targets, reduction="none")
        return losses / len(targets)


class RelativeError:
    """A mean relative error in the units of the targets, for a task that scales them."""

    def items(self, outputs, targets, *, preprocess):
        mean, std = (torch.tensor(preprocess[f"target_{name}"]) for name in ("mean", "std"))
        true = mean + std * targets
        return {"relative": ((mean + std * outputs - true) / true).abs().mean(1)}

    def value(self, sums, count):
        return sums["relative"] / count


class ErrorOfOnes(RelativeError):
    """The same without the units, for which an output one too large is the better one."""

    def items(self, outputs, targets, *, inputs):
        return {"relative": (outputs - 1 - targets).abs().mean(1) + 0 * inputs.flatten(1).sum(1)}


def letters(text, preprocess):
    return list(text)


def words(text, preprocess):
    return text.split()
