"""Training options in layers: who sets what, and which value counts.

Some layers only suggest: zoo's defaults, the architecture's training configuration, the weights that
fine-tuning starts from, what suits the data. Above them are the layers that set options: the recipe, and the
user. The values of a layer are checked once, when it is added; one `TrainConfig` is made of all layers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from zoo.config import options
from zoo.config.declarations import Option
from zoo.config.train_config import TrainConfig, stale
from zoo.errors import OptionError, ZooError

# Sources of options; others have names, such as `architecture convnet/resnet20`
ZOO, RECIPE, YOU = "zoo", "recipe", "you"
DATA, FINE_TUNING, DEVICE = "this data", "fine-tuning", "this device"


class Sourced(NamedTuple):
    """The value of an option, and the source of the layer that sets it."""

    value: Any
    source: str


class Layer(NamedTuple):
    """Training options from one source, converted to their types."""

    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Layers:
    """Training options from an ordered list of sources, each of which overrides those before it.

    Attributes:
        defaults: zoo's defaults for the task, which are below all layers.
        suggested: layers with options that suit the architecture, the weights or the data.
        given: layers with the options of the recipe and the user, which override all suggestions.
    """

    defaults: TrainConfig
    suggested: tuple[Layer, ...] = ()
    given: tuple[Layer, ...] = ()

    def suggest(self, source: str, values: Mapping[str, Any]) -> Layers:
        """Return the layers with one more suggestion. Raises OptionError, which names the source."""
        return replace(self, suggested=(*self.suggested, self._layer(source, values)))

    def give(self, source: str, values: Mapping[str, Any]) -> Layers:
        """Return the layers with more options on top. Raises OptionError, which names the source."""
        return replace(self, given=(*self.given, self._layer(source, values)))

    def _layer(self, source: str, values: Mapping[str, Any]) -> Layer:
        with blaming(source):
            checked = {
                name: options.convert(value, self.known[name].type, what=name)
                for name, value in values.items()
            }
        return Layer(source, checked)

    @property
    def known(self) -> Mapping[str, Option]:
        """The training options that apply to the task."""
        return self.defaults.fields

    def converted(self, name: str, value: Any, *, source: str = ZOO) -> Layers:
        """Return the layers with another form of the value of an option where it is set last.

        If no layer sets the option, `source` suggests the new value.
        """
        layers = [*self.suggested, *self.given]
        for number, layer in reversed([*enumerate(layers)]):
            if name in layer.values:
                layers[number] = Layer(layer.source, {**layer.values, name: value})
                count = len(self.suggested)
                return replace(self, suggested=tuple(layers[:count]), given=tuple(layers[count:]))
        return self.suggest(source, {name: value}) if value != self[name] else self

    @functools.cached_property
    def merged(self) -> Mapping[str, Sourced]:
        """Each option's value and source.

        If a layer replaces the optimizer or the schedule, the options of the replaced one are dropped.
        """
        merged = {name: Sourced(option.default, ZOO) for name, option in self.known.items()}
        for source, values in (*self.suggested, *self.given):
            current = {name: merged[name].value for name in ("optimizer", "schedule")}
            dropped = stale(current, values)
            merged |= {name: Sourced({}, source) for name in dropped}
            merged |= {name: Sourced(value, source) for name, value in values.items()}
        return merged

    def __getitem__(self, name: str) -> Any:
        return self.merged[name].value

    def gives(self, name: str) -> bool:
        """Return whether the recipe or the user sets an option."""
        return any(name in layer.values for layer in self.given)

    @property
    def suggestions(self) -> Layers:
        """The layers without those of the recipe and the user."""
        return replace(self, given=())

    def config(self) -> TrainConfig:
        """Return the training configuration.

        Raises OptionError for options that cannot be combined. The message names their sources.
        """
        values: dict[str, dict[str, Any]] = {group: {} for group in ("", *self.defaults.groups)}
        for name, (value, _) in self.merged.items():
            values[self.known[name].group][name] = value
        try:
            groups = {name: type(group)(**values[name]) for name, group in self.defaults.groups.items()}
            return TrainConfig(**values[""], groups=groups, methods=self.defaults.methods)
        except OptionError as error:
            named = _mentioned(self.merged, error)
            sources = "".join(dict.fromkeys(blame(self.merged[name].source) for name in named))
            raise OptionError(f"{sources}{error}", hint=error.hint) from None


def blame(source: str) -> str:
    """Return the start of a message about options: their source, unless these are the user's own."""
    return f"{source}: " if source not in (ZOO, RECIPE, YOU, DATA, FINE_TUNING, DEVICE) else ""


@contextmanager
def blaming(source: str, *, unless: Collection[str] = ()) -> Generator[None]:
    """Name the source of options in an error, unless it mentions one of some other options."""
    try:
        yield
    except ZooError as error:
        other = _mentioned(unless, error)
        raise type(error)(f"{'' if other else blame(source)}{error}", hint=error.hint) from None


def _mentioned(names: Iterable[str], error: ZooError) -> list[str]:
    return [name for name in names if re.search(rf"\b{name}\b", str(error))]
