"""zoo: a plugin-based model zoo for PyTorch.

A complete working use, from nothing to sampled text::

    import zoo
    import zoo.training, zoo.models.weights, zoo.inference.sampling      # these three import torch

    registry = zoo.Registry.discover()
    print([entry.name for entry in registry.entries("architecture")])

    experiment = zoo.Experiment(
        architecture="charrnn/lstm", dataset="text/stdlib", model={"hidden_size": 128}, train={"epochs": 1}
    )
    result = zoo.training.train(experiment, registry, directory="runs/first")
    print(result.metrics)

    model, card = zoo.models.weights.load("runs/first/model.safetensors", registry)
    print("".join(zoo.inference.sampling.sample(model, card.preprocess, prompt="def ", length=200)))

A plugin is a module with hooks, found through the entry-point group `zoo`::

    from zoo import ArchitectureSpec, hookimpl

    @hookimpl
    def zoo_architectures():
        return [ArchitectureSpec(name="mine", target="my_package.mine:Mine", task="classification",
                                 summary="One line for the list")]

Importing zoo does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from zoo.errors import DataError, OptionError, ZooError
from zoo.registry.hookspecs import hookimpl
from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec, DatasetSpec, Recipe

if TYPE_CHECKING:
    from zoo.data.vocabulary import tokenize
    from zoo.files.cards import Card
    from zoo.registry.catalog import Catalog
    from zoo.registry.experiment import Experiment
    from zoo.registry.registry import Registry
    from zoo.seeds import seed_for

__all__ = [
    "AnalyzerSpec",
    "ArchitectureSpec",
    "Card",
    "Catalog",
    "DataError",
    "DatasetSpec",
    "Experiment",
    "OptionError",
    "Recipe",
    "Registry",
    "ZooError",
    "__version__",
    "hookimpl",
    "seed_for",
    "tokenize",
]

__version__ = "0.1.0"

_ON_USE = {
    "Card": "zoo.files.cards",
    "Catalog": "zoo.registry.catalog",
    "Experiment": "zoo.registry.experiment",
    "Registry": "zoo.registry.registry",
    "seed_for": "zoo.seeds",
    "tokenize": "zoo.data.vocabulary",
}
"""What a plugin's hooks do not need is imported when it is first asked for: listing stays instant."""


def __getattr__(name: str) -> object:
    if name not in _ON_USE:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(import_module(_ON_USE[name]), name)
