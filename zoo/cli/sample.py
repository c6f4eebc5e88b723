"""`zoo sample`: generate text with a language model."""

from collections.abc import Iterable
from itertools import chain
from typing import Any, TextIO

import click
from click.core import ParameterSource

from zoo.api.model import Model
from zoo.cli.flags import ValueType, options_of
from zoo.cli.name_types import weights_argument
from zoo.cli.session import Session, device_option, print_json, standard_options
from zoo.console.tables import print_side_by_side
from zoo.console.terminal import BLANKS, echo
from zoo.errors import DataError


@click.command()
@weights_argument
@click.option("--prompt", help="Text to continue.")
@click.option(
    "--prompt-file",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE",
    help="UTF-8 file to read the prompt from, or - for stdin.",
)
@click.option(
    "--temperatures",
    type=ValueType(tuple[float, ...]),
    metavar="T,T,...",
    help="Sampling temperatures to compare; the texts are printed side by side.",
)
@options_of(Model.sample, skip=["prompt"])
@device_option
@standard_options
def command(
    session: Session,
    weights: str,
    prompt: str | None,
    prompt_file: TextIO | None,
    temperatures: tuple[float, ...] | None,
    device: str | None,
    as_json: bool,
    **sampling: Any,
) -> None:
    """Generate text with WEIGHTS (an id, a file or a run directory).

    A single text is printed after its prompt, as it is generated. Multiple texts are printed once all of them
    are complete, each under a header such as `--- 1 of 3 ---`. A model that reads backward generates the text
    that precedes its prompt. With several temperatures, each column shows the texts at one of them.
    """
    if prompt is not None and prompt_file is not None:
        raise click.UsageError("--prompt and --prompt-file cannot be combined")
    given = click.get_current_context().get_parameter_source("temperature")
    if temperatures and given is not ParameterSource.DEFAULT:
        raise click.UsageError("--temperature and --temperatures cannot be combined")
    prompt = _read(prompt_file) if prompt_file is not None else prompt or ""
    session.begin(f"sampling from {weights}")
    model = session.load(weights, device=device)
    backwards = model.vocabulary.backwards
    before, after = ("", prompt) if backwards else (prompt, "")
    document = {"weights": str(model.path), "prompt": prompt, "seed": sampling["seed"]}
    document["backwards"] = backwards
    if temperatures:
        at_each = [
            [*model.sample(prompt, progress=session.progress, **dict(sampling, temperature=each))]
            for each in temperatures
        ]
        if as_json:
            found = zip(temperatures, at_each, strict=True)
            print_json(document | {"temperatures": [{"temperature": t, "texts": x} for t, x in found]})
            return
        header = [f"temperature {each:g}" for each in temperatures]
        rows = zip(*at_each, strict=True)
        print_side_by_side(header, [[f"{before}{text}{after}" for text in row] for row in rows])
        return
    texts = model.sample(prompt, progress=session.progress, **sampling)
    samples = sampling["samples"]
    if as_json:
        print_json(document | {"text": texts[0], "texts": [*texts]})
        return
    if samples == 1 and not backwards:
        _stream(prompt, (text for text, _ in texts.stream()))
        return
    for number, text in enumerate(texts, 1):
        if samples > 1:
            echo(f"--- {number} of {samples} ---")
        echo(f"{before}{text}{after}", keep=BLANKS)


def _stream(prompt: str, pieces: Iterable[str]) -> None:
    """Print pieces of text as they arrive, and always end the line."""
    try:
        for text in chain([prompt], pieces):
            echo(text, end="", keep=BLANKS)
    finally:
        echo()


def _read(file: TextIO) -> str:
    """Return the text from a file or from stdin. Raises DataError if the content is not text."""
    try:
        text = file.read()
    except UnicodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(f"the prompt file {file.name} is not UTF-8 text")
    return text
