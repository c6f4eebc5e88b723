"""`zoo sample`: text from a language model, as it is drawn."""

from __future__ import annotations

import click

from zoo.cli.names import NameType
from zoo.cli.output import json_option, notice, print_json
from zoo.cli.session import Session, pass_session
from zoo.errors import WeightsError


@click.command()
@click.argument("weights", type=NameType("weights", files=True))
@click.option("--prompt", default="", help="Text to go on from.")
@click.option("--length", default=400, show_default=True, help="Characters to write.")
@click.option(
    "--temperature", default=0.8, show_default=True, help="Below 1 is safer; 0 takes the likeliest."
)
@click.option("--top-k", default=0, help="Draw among the K likeliest only; 0 is off.")
@click.option("--top-p", default=1.0, help="Draw among the likeliest that hold this share; 1 is off.")
@click.option("--seed", default=0, show_default=True, help="Of the draws.")
@click.option("--device", metavar="NAME", help="cpu or cuda.  [default: cuda if there is one]")
@json_option
@pass_session
def command(
    session: Session,
    weights: str,
    prompt: str,
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Write text with WEIGHTS (a file or a published id), carrying the hidden state along."""
    from zoo.sampling import sample
    from zoo.training.precision import pick_device
    from zoo.vocabulary import Vocabulary
    from zoo.weights import find, load

    path = find(weights, session.catalog)
    device = pick_device(device)
    model, card = load(path, session.registry, device=device)
    if card.task != "language-modelling":
        raise WeightsError(f"{path} does {card.task}; sampling needs a language model")
    _, unknown = Vocabulary(card.preprocess).encode(prompt)
    if unknown:
        notice(f"the model never learned {' '.join(map(repr, unknown))}; read as <unk>")
    pieces = sample(
        model,
        card.preprocess,
        prompt=prompt,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        device=device,
    )
    if as_json:
        print_json({"weights": str(path), "prompt": prompt, "seed": seed, "text": "".join(pieces)})
        return
    click.echo(prompt, nl=False)
    for piece in pieces:
        click.echo(piece, nl=False)
    click.echo()
