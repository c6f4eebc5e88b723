"""The public names of `zoo`, for type checkers and `zoo._lazy`, which imports names on first use."""

from zoo._version import __version__ as __version__
from zoo.analysis.findings import Findings as Findings
from zoo.api.caching import clear_cache as clear_cache
from zoo.api.caching import list_cache as list_cache
from zoo.api.listing import list_analyzers as list_analyzers
from zoo.api.listing import list_datasets as list_datasets
from zoo.api.listing import list_models as list_models
from zoo.api.listing import list_plugins as list_plugins
from zoo.api.listing import list_recipes as list_recipes
from zoo.api.listing import list_weights as list_weights
from zoo.api.load_weights import load as load
from zoo.api.loading import create_model as create_model
from zoo.api.loading import open_dataset as open_dataset
from zoo.api.model import Model as Model
from zoo.api.results import Features as Features
from zoo.api.results import Predictions as Predictions
from zoo.api.results import Texts as Texts
from zoo.api.run import Run as Run
from zoo.api.training import lr_find as lr_find
from zoo.api.training import resume as resume
from zoo.api.training import train as train
from zoo.config.recipe import Recipe as Recipe
from zoo.config.train_config import TrainConfig as TrainConfig
from zoo.data.vocabulary import tokenize as tokenize
from zoo.errors import DataError as DataError
from zoo.errors import OptionError as OptionError
from zoo.errors import ZooError as ZooError
from zoo.errors import ZooWarning as ZooWarning
from zoo.registry.hookspecs import hookimpl as hookimpl
from zoo.registry.published import WeightsSpec as WeightsSpec
from zoo.registry.registry import Registry as Registry
from zoo.registry.specs import AnalyzerSpec as AnalyzerSpec
from zoo.registry.specs import ArchitectureSpec as ArchitectureSpec
from zoo.registry.specs import CommandSpec as CommandSpec
from zoo.registry.specs import DatasetSpec as DatasetSpec
from zoo.registry.specs import ExporterSpec as ExporterSpec
from zoo.registry.specs import FieldsSpec as FieldsSpec
from zoo.registry.specs import Pretrained as Pretrained
from zoo.registry.specs import TaskSpec as TaskSpec
from zoo.seeds import seed_for as seed_for
from zoo.testing import check as check

__all__: list[str]
