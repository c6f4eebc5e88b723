"""zoo: a plugin-based model zoo for PyTorch.

A complete example, from training to generated text::

    import zoo

    zoo.list_models("lstm*")
    run = zoo.train("lstm", "stdlib", epochs=1, model={"hidden_size": 128})
    print(run.model.evaluate("test")["metrics"])
    print(run.model.sample("def ", max_new_tokens=200))

    model = zoo.load("cifar10-resnet20")        # published weights, a file, or a run directory
    model.analyze("grad-cam", "cat.jpg")        # an image, in a notebook
    module = zoo.create_model("resnet56", num_classes=10)       # a plain nn.Module

A plugin is a module with hooks that zoo finds through the entry-point group `zoo`::

    from zoo import ArchitectureSpec, hookimpl

    @hookimpl
    def zoo_architectures():
        return [ArchitectureSpec(name="mine", target="my_package.mine:Mine", task="classification",
                                 summary="One line for the list")]

Importing zoo does not import torch and has no side effects.
"""

from zoo._lazy import lazy
from zoo._version import __version__


def _suggest(name: str) -> str:
    from zoo.config.synonyms import meant  # only for a wrong name

    return meant(name, __all__, place="zoo")


__getattr__, __dir__ = lazy(__name__, __file__, _suggest)
__all__ = __dir__()  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = __version__
