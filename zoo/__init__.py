"""zoo: a plugin-based model zoo for PyTorch.

A complete working use, from nothing to generated text::

    import zoo

    zoo.list_models("lstm*")
    run = zoo.train("lstm", "stdlib", epochs=1, model={"hidden_size": 128})
    print(run.model.evaluate("test")["metrics"])
    print(run.model.sample("def ", length=200))

    model = zoo.load("cifar10-resnet20")        # published weights, a file, or a run directory
    model.analyze("grad-cam", "cat.jpg")        # a picture, in a notebook
    module = zoo.create_model("resnet56", num_classes=10)       # a plain nn.Module

A plugin is a module with hooks, found through the entry-point group `zoo`::

    from zoo import ArchitectureSpec, hookimpl

    @hookimpl
    def zoo_architectures():
        return [ArchitectureSpec(name="mine", target="my_package.mine:Mine", task="classification",
                                 summary="One line for the list")]

Importing zoo does not import torch, and changes nothing in the process.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from zoo._version import __version__

if TYPE_CHECKING:
    from zoo.analysis.findings import Findings
    from zoo.api.caching import clear_cache, list_cache
    from zoo.api.listing import (
        list_analyzers,
        list_datasets,
        list_models,
        list_plugins,
        list_recipes,
        list_weights,
    )
    from zoo.api.loading import create_model, open_dataset
    from zoo.api.model import Model
    from zoo.api.results import Features, Predictions, Texts
    from zoo.api.run import Run
    from zoo.api.training import lr_find, resume, train
    from zoo.api.weights import load
    from zoo.config.recipe import Recipe
    from zoo.config.training import TrainConfig
    from zoo.data.vocabulary import tokenize
    from zoo.errors import DataError, OptionError, ZooError, ZooWarning
    from zoo.registry.hookspecs import hookimpl
    from zoo.registry.published import WeightsSpec
    from zoo.registry.registry import Registry
    from zoo.registry.specs import (
        AnalyzerSpec,
        ArchitectureSpec,
        CommandSpec,
        DatasetSpec,
        ExporterSpec,
        FieldsSpec,
        Pretrained,
        TaskSpec,
    )
    from zoo.seeds import seed_for
    from zoo.testing import check

__all__ = [
    "AnalyzerSpec", "ArchitectureSpec", "CommandSpec", "DataError", "DatasetSpec", "ExporterSpec",
    "Features", "FieldsSpec", "Findings", "Model", "OptionError", "Predictions", "Pretrained", "Recipe",
    "Registry", "Run", "TaskSpec", "Texts", "TrainConfig", "WeightsSpec",
    "ZooError", "ZooWarning", "__version__", "check", "clear_cache", "create_model", "hookimpl",
    "list_analyzers", "list_cache", "list_datasets", "list_models", "list_plugins", "list_recipes",
    "list_weights", "load", "lr_find", "open_dataset", "resume", "seed_for", "tokenize",
    "train",
]  # fmt: skip

# Imported when it is first used, so that listing stays instant
_ON_USE = {
    "zoo.analysis.findings": "Findings",
    "zoo.api.caching": "clear_cache list_cache",
    "zoo.api.listing": "list_analyzers list_datasets list_models list_plugins list_recipes list_weights",
    "zoo.api.loading": "create_model open_dataset",
    "zoo.api.model": "Model",
    "zoo.api.results": "Features Predictions Texts",
    "zoo.api.run": "Run",
    "zoo.api.training": "lr_find resume train",
    "zoo.api.weights": "load",
    "zoo.config.recipe": "Recipe",
    "zoo.config.training": "TrainConfig",
    "zoo.data.vocabulary": "tokenize",
    "zoo.errors": "DataError OptionError ZooError ZooWarning",
    "zoo.registry.hookspecs": "hookimpl",
    "zoo.registry.published": "WeightsSpec",
    "zoo.registry.registry": "Registry",
    "zoo.registry.specs": "AnalyzerSpec ArchitectureSpec CommandSpec DatasetSpec ExporterSpec "
    "FieldsSpec Pretrained TaskSpec",
    "zoo.seeds": "seed_for",
    "zoo.testing": "check",
}


def __getattr__(name: str) -> object:
    for module, names in _ON_USE.items():
        if name in names.split():
            return getattr(import_module(module), name)
    nearest = ""
    if not name.startswith("_"):
        from zoo.config.synonyms import meant

        nearest = meant(name, __all__, place="zoo")
    raise AttributeError(f"module 'zoo' has no attribute {name!r}{nearest}")


def __dir__() -> list[str]:
    return sorted(__all__)
