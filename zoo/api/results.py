"""What a model computes of inputs of the user's own: lists of rows that are computed when they are read."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from zoo.config.arguments import checked
from zoo.console.progress import Bar, quiet
from zoo.data.sources import Source, find, named, require
from zoo.errors import DataError, OptionError, printable, warn
from zoo.inference.embedding import UnreadRows, common_shape, require_format, stacked, to_write
from zoo.inference.predicting import UNSURE, PredictedRow
from zoo.inference.sampling import Sampling, sample_many, stream
from zoo.inference.writing import Table, being_written, opened
from zoo.models.runners import Runner
from zoo.processors import InputReader

T = TypeVar("T")

# Rows of a table in a notebook, and numbers of a vector in it
_SHOWN, _NUMBERS = 50, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The inputs that a model is given, and what is known of it.

    Attributes:
        made_with: the model and the options that the content of a file depends on.
        weights: where the model is.
    """

    inputs: object
    reader: InputReader
    weights: str
    made_with: Mapping[str, Any]
    progress: bool = True


class _Computed(Sequence[T], ABC):
    """A list that is computed when its length, an index, a comparison or printing needs all of it."""

    def __len__(self) -> int:
        return len(self._all())

    def __getitem__(self, index: Any) -> Any:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == [*other]

    __hash__ = None  # type: ignore[assignment]  # it is a list

    def __repr__(self) -> str:
        return repr(self._all())

    @abstractmethod
    def _all(self) -> list[T]:
        """Return all items, computed once."""


class Rows(_Computed[dict[str, Any]]):
    """A list of rows, one for each input, that are computed when they are read.

    Iterating computes one row after the other and keeps none, so that memory does not grow. The length, an
    index, a comparison and printing need all rows, which are computed once and kept.
    """

    def __init__(self, given: Given) -> None:
        require(given.inputs, given.reader)
        if given.reader.notice:
            warn(given.reader.notice)
        self._given = given
        self._kept: list[dict[str, Any]] | None = None
        self._read = False

    def __iter__(self) -> Generator[dict[str, Any]]:
        # decided at the first row: `list` asks for the length in between, and so keeps them
        if self._kept is None:
            yield from self._shown(self._rows(self._sources()))
        else:
            yield from self._kept

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        rows = self._all()
        lines = [_line(["input", *self._columns, "error"], "th")]
        for row in rows[:_SHOWN]:
            lines += [_line([row["input"], *self._values(row), row["error"] or ""], "td")]
        more = f"<p>and {len(rows) - _SHOWN:,} more</p>" if len(rows) > _SHOWN else ""
        return f"<table>{''.join(lines)}</table>{more}"

    _doing: str
    _columns: Sequence[str]

    @abstractmethod
    def _values(self, row: Mapping[str, Any]) -> Sequence[str]:
        """Return what a table shows of a row, besides the input and the error."""

    @abstractmethod
    def _rows(self, sources: Iterable[Source]) -> Iterator[dict[str, Any]]:
        """Compute the rows of some inputs."""

    def _all(self) -> list[dict[str, Any]]:
        if self._kept is None:
            self._kept = [*self._shown(self._rows(self._sources()))]
        return self._kept

    def _sources(self, leave: Sequence[Path] = ()) -> Iterator[Source]:
        """Return the inputs. Raises OptionError for an iterator that was read before."""
        if self._read and isinstance(self._given.inputs, Iterator):
            message = "these inputs are an iterator, which can be read only once"
            raise OptionError(message, hint="make a list of the inputs, or of the rows")
        self._read = True
        return find(self._given.inputs, self._given.reader, leave=leave)

    def _written(
        self, path: Path, table: Table, compute: Callable[[Iterator[Source]], Iterator[dict[str, Any]]]
    ) -> Generator[dict[str, Any]]:
        """Yield the rows that a file lacks, each once `compute` has written it."""
        rows = compute(table.rest(self._sources(being_written(path))))
        return self._shown(rows, begun=table.before > 0)

    def _shown(self, rows: Iterator[dict[str, Any]], *, begun: bool = False) -> Generator[dict[str, Any]]:
        """Yield rows, and show how many are done.

        Args:
            begun: whether an earlier call wrote some.

        Raises DataError if there are none, or if paths were named and none of them can be read.
        """
        given, done = self._given, 0
        if named(given.inputs, given.reader) and not begun:
            rows = _some_read(rows)
        with Bar() if given.progress else quiet() as bar:
            for done, row in enumerate(rows, 1):
                yield row
                bar(self._doing, done, 0, given.reader.what)
        if not (done or begun):
            raise DataError(f"no {given.reader.what} given")


@final
class Predictions(Rows):
    """A list of rows `{"input", "predictions", "error"}` for inputs, computed when it is read.

    A classifier's predictions are `{"class", "probability"}`; a language model's only prediction has its
    metrics, such as `loss` in nats per token, and `tokens`. The error of an input that is damaged says why,
    and there are no predictions.

    Iterating computes one row after the other and keeps none, so that memory does not grow. The length, an
    index, a comparison and printing need all rows, which are computed once and kept. A notebook shows a
    table.

    Reading the rows raises:
        DataError: there are no inputs, or none of those that were named can be read.
        OptionError: an option does not fit the model, or an input is an object that can be none.
        Diverged: a prediction is not finite.
    """

    _doing = "predicting"
    _columns = ("predictions",)

    def __init__(self, given: Given, predict: Callable[[Iterable[Source]], Iterator[PredictedRow]]) -> None:
        self._predict = predict
        super().__init__(given)

    @checked
    def write(self, out: str | Path) -> dict[str, Any]:
        """Write the rows to a file as they are computed.

        A `.csv` or `.jsonl` that was not finished is continued by the same call; until then there is an
        `.unfinished` beside it. A CSV separates several predictions by `|`. A `.npy` has the probabilities of
        all classes, (N, classes), not a number for an unreadable input; a `.txt` beside it names the inputs,
        and both appear once all is done. A folder gets a `predictions.jsonl`. Images such as masks go to that
        folder, or for `x.csv` to `x-images`.

        Returns:
            `{out, weights, rows, before, errors, unsure}`: rows in the file, how many of them an earlier call
            wrote, and how many of the others are unreadable or unsure.

        Raises OutputError if the file is there and finished, was interrupted with another model, options or
        inputs, or cannot be written. A call that fails does not leave a file in the way of the next.
        """
        path = Path(out)
        errors = unsure = 0
        with opened(path, self._given.made_with) as table:
            for row in self._written(path, table, lambda sources: map(table.write, self._predict(sources))):
                errors += row["error"] is not None
                unsure += bool(row["predictions"]) and row["predictions"][0].get("class") == UNSURE
        about = {"out": str(out), "weights": self._given.weights, "rows": table.count}
        return {**about, "before": table.before, "errors": errors, "unsure": unsure}

    def _rows(self, sources: Iterable[Source]) -> Iterator[dict[str, Any]]:
        return (predicted.row for predicted in self._predict(sources))

    def _values(self, row: Mapping[str, Any]) -> Sequence[str]:
        return ["; ".join(" ".join(map(_short, one.values())) for one in row["predictions"])]


@final
class Features(Rows):
    """What a model computes of inputs before its head: a list of rows, computed when it is read.

    Rows are `{"input", "features", "error"}`; features are a float32 array, or None with an error that says
    why. `numpy.asarray` makes one array of them, (N, F) in the order of the inputs; without pooling, feature
    maps (N, F, h, w), or texts of one length (N, T, F). The row of an input that cannot be read is not a
    number there, and a warning says why.

    Iterating computes one row after the other and keeps none, so that memory does not grow. The length, an
    index and printing need all rows, which are computed once and kept. A notebook shows a table.

    Reading the rows raises:
        DataError: there are no inputs, or none of those that were named can be read.
        OptionError: an input is an object that can be none, or the features of one array differ in shape.
        Diverged: features are not finite.
    """

    _doing = "computing features"
    _columns = ("features", "shape")

    def __init__(self, given: Given, embed: Callable[[Iterable[Source]], Iterator[dict[str, Any]]]) -> None:
        self._embed = embed
        super().__init__(given)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the features as one array. It is a new one each time."""
        return stacked(self).astype(dtype or np.float32, copy=False)

    @checked
    def write(self, out: str | Path) -> dict[str, Any]:
        """Write the features to a file as they are computed.

        A `.npy` has them as one array; a `.txt` beside it names the inputs, one a line, and both appear once
        all is done. A `.csv` has a column for each feature, and a `.jsonl` the rows; one that was not
        finished is continued by the same call, and until then there is an `.unfinished` beside it. Warns of
        inputs that cannot be read.

        Returns:
            `{out, weights, layer, rows, before, errors, shape}`: rows in the file, how many of them an
            earlier call wrote, how many of the others are unreadable, and the shape of one's features, None
            if there are none; a size that differs from row to row is None.

        Raises OutputError if the file is there and finished, was interrupted with another model, options or
        inputs, or cannot be written.
        """
        path = Path(out)
        require_format(path)
        unread = UnreadRows()
        shape: Sequence[int | None] | None = None
        made_with = self._given.made_with
        with opened(path, made_with) as table:

            def written(sources: Iterator[Source]) -> Generator[dict[str, Any]]:
                for row in self._embed(sources):
                    table.write(to_write(row, path))
                    yield row

            for row in self._written(path, table, written):
                unread.see(row)
                shape = common_shape(shape, row["features"])
        unread.finish()
        about = {"out": str(out), "weights": self._given.weights, "layer": made_with["layer"]}
        return {**about, "rows": table.count, "before": table.before, "errors": unread.count, "shape": shape}

    def _rows(self, sources: Iterable[Source]) -> Iterator[dict[str, Any]]:
        return self._embed(sources)

    def _values(self, row: Mapping[str, Any]) -> Sequence[str]:
        if row["features"] is None:
            return ["", ""]
        some = ", ".join(map(_short, row["features"].flat[:_NUMBERS].tolist()))
        more = ", …" if row["features"].size > _NUMBERS else ""
        return [some + more, "×".join(map(str, row["features"].shape))]


@final
class Texts(_Computed[str]):
    """Texts that a language model generates: a list, which is drawn when it is read, and kept."""

    def __init__(
        self,
        runner: Runner,
        preprocess: Mapping[str, Any],
        prompt: str,
        sampling: Sampling,
        *,
        unit: str,
        progress: bool,
    ) -> None:
        self._stream = partial(stream, runner, preprocess, prompt=prompt, sampling=sampling)
        self._draw = partial(sample_many, runner, preprocess, prompt=prompt, sampling=sampling)
        self._unit, self._progress = unit, progress

    @cached_property
    def _texts(self) -> list[str]:
        with Bar() if self._progress else quiet() as bar:
            return self._draw(report=lambda done, total: bar("sampling", done, total, self._unit))

    def _all(self) -> list[str]:
        return self._texts

    def __str__(self) -> str:
        return "\n".join(self._texts)

    def stream(self) -> Generator[tuple[str, float]]:
        """Yield each token of the first text, drawn anew, with its surprisal, as soon as it is final.

        The surprisal is -log p in nats, where p is the probability that the model itself gives the token,
        whatever the temperature, `top_k` and `top_p`. The tokens of a model that reads backwards come in the
        order of the text, once all are drawn.
        """
        return self._stream()


def _some_read(rows: Iterator[dict[str, Any]]) -> Generator[dict[str, Any]]:
    """Yield rows, the first ones when an input can be read. Raises DataError if none can."""
    unread = list[dict[str, Any]]()
    for row in rows:
        if row["error"] is None:
            yield from [*unread, row]
            yield from rows
            return
        unread.append(row)
    if unread:
        none = f"none of the {len(unread):,} inputs can be read: " if len(unread) > 1 else ""
        raise DataError(f"{none}{unread[0]['input']}: {unread[0]['error']}")


def _line(texts: Sequence[str], tag: str) -> str:
    """Return the row of a table in HTML."""
    cells = [f"<{tag}>{html.escape(printable(text))}</{tag}>" for text in texts]
    return f"<tr>{''.join(cells)}</tr>"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
