"""`zoo sample`: text from a language model, as it is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import click

from zoo.cli.names import NameType
from zoo.cli.output import json_option, notice, print_json
from zoo.cli.session import Session, pass_session
from zoo.errors import DataError, WeightsError


@click.command()
@click.argument("weights", type=NameType("weights", files=True))
@click.option("--prompt", help="Text to go on from.")
@click.option(
    "--prompt-file",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="Read the prompt from a UTF-8 file, all of it; - is stdin.",
)
@click.option(
    "--length", default=400, show_default=True, help="Characters to write; words, if it knows words."
)
@click.option(
    "--temperature", default=0.8, show_default=True, help="Below 1 is safer; 0 takes the likeliest."
)
@click.option("--top-k", default=0, help="Draw among the K likeliest only; 0 is off.")
@click.option("--top-p", default=1.0, help="Draw among the likeliest that hold this share; 1 is off.")
@click.option("--stop", default="", metavar="TEXT", help="End right before TEXT.")
@click.option("--samples", default=1, show_default=True, help="Texts to write, drawn side by side.")
@click.option("--seed", default=0, show_default=True, help="Of the draws.")
@click.option("--device", metavar="NAME", help="cpu or cuda.  [default: cuda if there is one]")
@json_option
@pass_session
def command(
    session: Session,
    weights: str,
    prompt: str | None,
    prompt_file: str | None,
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    stop: str,
    samples: int,
    seed: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Write text with WEIGHTS (a file or a published id), carrying the hidden state along.

    One text is written as it is drawn, after its prompt. Several are written when all are done, each under a
    line `--- 1 of N ---`. A model that reads backwards writes what comes before its prompt.
    """
    if prompt is not None and prompt_file is not None:
        raise click.UsageError("--prompt and --prompt-file are two ways to say the same; give one of them")
    prompt = _read(prompt_file) if prompt_file is not None else prompt or ""

    from zoo.data.vocabulary import Vocabulary
    from zoo.inference.sampling import sample, sample_many
    from zoo.models.precision import pick_device
    from zoo.models.weights import find, load

    path = find(weights, session.catalog)
    device = pick_device(device)
    model, card = load(path, session.registry, device=device)
    if card.task != "language-modelling":
        raise WeightsError(f"{path} does {card.task}; sampling needs a language model")
    vocabulary = Vocabulary(card.preprocess)
    _, unknown = vocabulary.encode(prompt)
    if unknown:
        notice(f"the model never learned {_list(unknown)}; read as <unk>")
    if vocabulary.backwards:
        notice("the model reads backwards: it writes what comes before the prompt, shown when it is whole")
    draw = sample if samples == 1 else partial(sample_many, count=samples)
    drawn = draw(
        model,
        card.preprocess,
        prompt=prompt,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop=stop,
        seed=seed,
        device=device,
    )
    around = ("", prompt) if vocabulary.backwards else (prompt, "")
    if as_json:
        texts = ["".join(drawn)] if samples == 1 else [*drawn]
        document = {"weights": str(path), "prompt": prompt, "seed": seed, "text": texts[0], "texts": texts}
        print_json(document | {"backwards": vocabulary.backwards})
    elif samples == 1:
        _stream(drawn, *around)
    else:
        for number, text in enumerate(drawn, 1):
            click.echo(f"--- {number} of {samples} ---\n{text.join(around)}")


def _stream(pieces: Iterable[str], before: str, after: str) -> None:
    """Print pieces as they come; the line ends however they end."""
    click.echo(before, nl=False)
    try:
        for piece in pieces:
            click.echo(piece, nl=False)
        click.echo(after, nl=False)
    finally:
        click.echo()


def _read(name: str) -> str:
    """Return the text of a file, or of stdin. Raises DataError if there is none."""
    try:
        with click.open_file(name, encoding="utf-8-sig") as file:
            text = file.read()
    except OSError as error:
        raise DataError(f"the prompt file {name} cannot be read: {error.strerror}") from None
    except UnicodeError as error:
        raise DataError(f"the prompt file {name} is not UTF-8 text: {error}") from None
    if "\0" in text:
        raise DataError(f"the prompt file {name} is not text: it holds zero bytes")
    if not text:
        raise DataError(
            f"the prompt file {name} is empty", hint="without a prompt the model begins by itself"
        )
    return text


def _list(texts: list[str]) -> str:
    """Return the first few of some texts."""
    more = f" and {len(texts) - 10} more" if len(texts) > 10 else ""
    return " ".join(map(repr, texts[:10])) + more
