"""Training: one loop, schedules and optimizers as data, runs that can be stopped anywhere."""

from zoo.training.loop import Progress, Store, evaluate, fit
from zoo.training.run import Result, train
from zoo.training.schedules import learning_rate

__all__ = ["Progress", "Result", "Store", "evaluate", "fit", "learning_rate", "train"]
