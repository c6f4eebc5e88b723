"""A model's results for the user's own inputs, as lists whose rows are computed lazily."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from zoo.config.arguments import checked
from zoo.console.progress import Bar, quiet
from zoo.data.sources import Source, find, named, require
from zoo.errors import DataError, OptionError, printable
from zoo.inference.embedding import common_shape, require_format, stacked, to_write, warning_of_unread
from zoo.inference.output_files import OutputFile, being_written, opened
from zoo.inference.predicting import UNSURE, PredictedRow
from zoo.inference.sampling import Sampling, sample_many, stream
from zoo.models.runners import Runner
from zoo.processors import InputReader

T = TypeVar("T")

# Rows of a table in a notebook, and numbers of a vector in it
_SHOWN, _NUMBERS = 50, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The inputs of a result, and the model and options that produce it.

    Attributes:
        made_with: the model and the options that determine the content of an output file.
        in_lines: whether a CSV file has a line for each prediction of an input.
        weights: the path of the weights file.
    """

    inputs: object
    reader: InputReader
    weights: str
    made_with: Mapping[str, Any]
    in_lines: bool = False
    progress: bool = True


class _Computed(Sequence[T], ABC):
    """A list that computes its items when it is indexed, compared, printed or passed to `len`."""

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
        """Return all items, and compute them on the first call."""


class Rows(_Computed[dict[str, Any]], Generic[T]):
    """A list with one row per input. Rows are computed lazily.

    Iterating computes the rows one by one without keeping them, so memory use does not grow. Indexing,
    comparing or printing the list, or calling `len` on it, computes all rows once and keeps them.

    Args:
        compute: function that yields a result for each input.
    """

    def __init__(self, given: Given, compute: Callable[[Iterable[Source]], Iterator[T]]) -> None:
        require(given.inputs, given.reader)
        self._given = given
        self._compute = compute
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
        """Return the table cells of a row, other than the input and the error."""

    @abstractmethod
    def _rows(self, sources: Iterable[Source]) -> Iterator[dict[str, Any]]:
        """Compute the rows for some inputs."""

    def _all(self) -> list[dict[str, Any]]:
        if self._kept is None:
            self._kept = [*self._shown(self._rows(self._sources()))]
        return self._kept

    def _sources(self, leave: Sequence[Path] = ()) -> Iterator[Source]:
        """Return the inputs. Raises OptionError for an iterator that has already been read."""
        if self._read and isinstance(self._given.inputs, Iterator):
            message = "the inputs are an iterator, which can be read only once"
            raise OptionError(message, hint="pass the inputs as a list, or store the results in a list")
        self._read = True
        return find(self._given.inputs, self._given.reader, leave=leave)

    def _written(
        self, path: Path, table: OutputFile, compute: Callable[[Iterator[Source]], Iterator[dict[str, Any]]]
    ) -> Generator[dict[str, Any]]:
        """Yield the rows that are still missing from a file, while `compute` writes them."""
        rows = compute(table.rest(self._sources(being_written(path))))
        return self._shown(rows, begun=table.before > 0)

    def _shown(self, rows: Iterator[dict[str, Any]], *, begun: bool = False) -> Generator[dict[str, Any]]:
        """Yield rows, and show the number of finished rows.

        Args:
            begun: whether an earlier call has written rows.

        Raises DataError if there are no inputs, or if none of the named paths can be read.
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
class Predictions(Rows[PredictedRow]):
    """A list of lazily computed rows `{"input", "predictions", "error"}`, one for each input.

    For a classifier, each prediction is `{"class", "probability"}`. For a language model, the only prediction
    contains metrics, such as `loss` in nats per token, and the number of `tokens`. The row of a damaged input
    does not contain predictions, and its `error` contains the reason.

    Iterating computes the rows one by one without keeping them, so memory use does not grow. Indexing,
    comparing or printing the list, or calling `len` on it, computes all rows once and keeps them. A notebook
    displays the rows as a table.

    Reading the rows raises:
        DataError: there are no inputs, or none of the named paths can be read.
        OptionError: the model does not support an option, or an input has an unsupported type.
        Diverged: a prediction is not finite.
    """

    _doing = "predicting"
    _columns = ("predictions",)

    @checked
    def write(self, out: str | Path) -> dict[str, Any]:
        """Write the rows to a file as they are computed.

        If a call that writes a `.csv` or `.jsonl` file is interrupted, repeat the call to resume. Until the
        file is complete, an `.unfinished` file is stored next to it. In a CSV file, each target of a model
        that predicts numbers has a column. Multiple predictions of another kind are separated by `|`, or, if
        the task declares an `output_shape` and no labels, have a line each; such a file is not resumed, but
        written again. A `.npy` file contains the probabilities of all classes, (N, classes), with NaN for
        unreadable inputs. A `.txt` file next to it lists the inputs, and both files are created only when all
        rows are complete. If `out` is a folder, rows are written to `predictions.jsonl` in that folder.
        Images such as masks are written to the same folder, or to `x-images` for `x.csv`.

        Returns:
            `{out, weights, rows, before, errors, unsure}`, where `rows` is the number of rows in the file,
            `before` is the number of rows written before this call, `errors` is the number of new rows with
            an error, and `unsure` is the number of new rows with the prediction `unsure`.

        Raises OutputError if the file is already complete, was started with a different model, options or
        inputs, or cannot be written. A failed call does not leave behind a file that would block the next
        call.
        """
        path = Path(out)
        errors = unsure = 0
        with opened(path, self._given.made_with, in_lines=self._given.in_lines) as table:
            for row in self._written(path, table, lambda sources: map(table.write, self._compute(sources))):
                errors += row["error"] is not None
                unsure += bool(row["predictions"]) and row["predictions"][0].get("class") == UNSURE
        about = {"out": str(out), "weights": self._given.weights, "rows": table.count}
        return {**about, "before": table.before, "errors": errors, "unsure": unsure}

    def _rows(self, sources: Iterable[Source]) -> Iterator[dict[str, Any]]:
        return (predicted.row for predicted in self._compute(sources))

    def _values(self, row: Mapping[str, Any]) -> Sequence[str]:
        return ["; ".join(" ".join(map(_short, one.values())) for one in row["predictions"])]


@final
class Features(Rows[dict[str, Any]]):
    """The features of inputs, as a list whose rows are computed lazily.

    Each row is `{"input", "features", "error"}`; `features` is a float32 array, or None if the input cannot
    be read and `error` contains the reason. `numpy.asarray` stacks the features into one array, (N, F), in
    the order of the inputs. Without pooling, the array contains feature maps (N, F, h, w), or the features of
    each token (N, T, F) if all texts have the same length. In this array, the row of an unreadable input
    contains NaN, and a warning reports the reason.

    Iterating computes the rows one by one without keeping them, so memory use does not grow. Indexing or
    printing the list, or calling `len` on it, computes all rows once and keeps them. A notebook displays the
    rows as a table.

    Reading the rows raises:
        DataError: there are no inputs, or none of the named paths can be read.
        OptionError: an input has an unsupported type, or the features have different shapes and cannot be
            stacked into one array.
        Diverged: a feature is not finite.
    """

    _doing = "computing features"
    _columns = ("features", "shape")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the features as one new array."""
        return stacked(self).astype(dtype or np.float32, copy=False)

    @checked
    def write(self, out: str | Path) -> dict[str, Any]:
        """Write the features to a file as they are computed.

        A `.npy` file contains the features as one array. A `.txt` file next to it lists the inputs, one per
        line, and both files are created only when all features are complete. A `.csv` file has a column for
        each feature, and a `.jsonl` file contains the rows. If a call that writes a `.csv` or `.jsonl` file
        is interrupted, repeat the call to resume. Until the file is complete, an `.unfinished` file is stored
        next to it. Warns about unreadable inputs.

        Returns:
            `{out, weights, layer, rows, before, errors, shape}`, where `rows` is the number of rows in the
            file, `before` is the number of rows written before this call, and `errors` is the number of new
            rows without features. `shape` is the shape of each row's features, with None for each size that
            varies. If no row has features, `shape` is None.

        Raises OutputError if the file is already complete, was started with a different model, options or
        inputs, or cannot be written.
        """
        path = Path(out)
        require_format(path)
        errors = 0
        shape: Sequence[int | None] | None = None
        made_with = self._given.made_with
        with opened(path, made_with) as table:

            def written(sources: Iterator[Source]) -> Generator[dict[str, Any]]:
                for row in self._compute(sources):
                    table.write(to_write(row, path))
                    yield row

            for row in warning_of_unread(self._written(path, table, written)):
                errors += row["error"] is not None
                shape = common_shape(shape, row["features"])
        about = {"out": str(out), "weights": self._given.weights, "layer": made_with["layer"]}
        return {**about, "rows": table.count, "before": table.before, "errors": errors, "shape": shape}

    def _rows(self, sources: Iterable[Source]) -> Iterator[dict[str, Any]]:
        return self._compute(sources)

    def _values(self, row: Mapping[str, Any]) -> Sequence[str]:
        if row["features"] is None:
            return ["", ""]
        some = ", ".join(map(_short, row["features"].flat[:_NUMBERS].tolist()))
        more = ", …" if row["features"].size > _NUMBERS else ""
        return [some + more, "×".join(map(str, row["features"].shape))]


@final
class Texts(_Computed[str]):
    """A list of texts from a language model, sampled when the list is first read and then kept."""

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
        """Sample the first text again, and yield each token with its surprisal as soon as the token is final.

        The surprisal is -log p in nats, where p is the probability that the model assigns to the token before
        temperature, `top_k` and `top_p` are applied. If the model reads backward, the tokens are yielded in
        the order of the text, after all of them have been sampled.
        """
        return self._stream()


def _some_read(rows: Iterator[dict[str, Any]]) -> Generator[dict[str, Any]]:
    """Yield rows, starting when a readable input is found. Raises DataError if all inputs are unreadable."""
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
    """Return a table row as HTML."""
    cells = [f"<{tag}>{html.escape(printable(text))}</{tag}>" for text in texts]
    return f"<tr>{''.join(cells)}</tr>"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
