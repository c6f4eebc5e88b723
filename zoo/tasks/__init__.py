"""The two tasks, by name."""

from zoo.interfaces import Task
from zoo.registry.specs import TaskName
from zoo.tasks.classification import Classification
from zoo.tasks.language_modelling import LanguageModelling

__all__ = ["Classification", "LanguageModelling", "make_task"]


def make_task(name: TaskName) -> Task:
    """Return the task of this name."""
    return Classification() if name == "classification" else LanguageModelling()
