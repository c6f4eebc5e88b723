"""`zoo sample`: text from a language model."""

from __future__ import annotations

from collections.abc import Iterable

import click

from zoo.cli.names import NameType
from zoo.cli.output import device_option, json_option, print_json
from zoo.cli.session import Session, pass_session
from zoo.errors import DataError, warn


@click.command()
@click.argument("weights", type=NameType("weights", files=True))
@click.option("--prompt", help="Text to continue.")
@click.option(
    "--prompt-file",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="Read the prompt from a UTF-8 file; - is stdin.",
)
@click.option("--length", default=400, show_default=True, help="Number of tokens to generate.")
@click.option(
    "--temperature", default=0.8, show_default=True, help="Lower is more conservative; 0 is greedy."
)
@click.option("--top-k", default=0, help="Sample from the K most likely tokens only; 0 is off.")
@click.option(
    "--top-p", default=1.0, help="Sample from the most likely tokens with this total probability; 1 is off."
)
@click.option("--stop", default="", metavar="TEXT", help="End right before TEXT.")
@click.option("--samples", default=1, show_default=True, help="Number of texts, drawn side by side.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@device_option
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
    """Generate text with WEIGHTS (an id, a file or a run directory).

    One text is printed as it is generated, after its prompt; several once all are done, each under a line
    `--- 1 of N ---`. A model that reads backwards generates what comes before its prompt.
    """
    if prompt is not None and prompt_file is not None:
        raise click.UsageError("--prompt and --prompt-file exclude each other")
    prompt = _read(prompt_file) if prompt_file is not None else prompt or ""

    from zoo.api.loading import load

    model = load(weights, device=device, registry=session.registry)
    backwards = model.vocabulary.backwards
    if backwards:
        warn("the model reads backwards: it generates what comes before the prompt, shown once it is whole")
    settings = {"length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    before, after = ("", prompt) if backwards else (prompt, "")
    if samples == 1 and not as_json:
        _stream(model.stream(prompt, **settings, stop=stop, seed=seed), before, after)
        return
    texts = model.sample_many(samples, prompt, **settings, stop=stop, seed=seed)
    if as_json:
        document = {"weights": str(model.path), "prompt": prompt, "seed": seed, "text": texts[0]}
        print_json(document | {"texts": texts, "backwards": backwards})
        return
    for number, text in enumerate(texts, 1):
        click.echo(f"--- {number} of {samples} ---\n{before}{text}{after}")


def _stream(pieces: Iterable[str], before: str, after: str) -> None:
    """Print pieces as they come; the line ends whatever happens."""
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
        raise DataError(f"the prompt file {name} is not text: it contains zero bytes")
    if not text:
        raise DataError(f"the prompt file {name} is empty", hint="leave it out to start without a prompt")
    return text
