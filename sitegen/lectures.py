"""Draw the figures of the two lessons' pages, and the curves of docs/how-to/choose-a-model.md.

    OMP_NUM_THREADS=1 python -m sitegen.lectures [NAME ...] [--out docs/images/lectures]

Names are those of the functions below, such as `batching`; by default, all figures are drawn. Those of
published models require their data in $ZOO_DATA or the cache, and take about two minutes.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

import zoo
from benchmarks.rows import latest, read
from zoo.files import style
from zoo.interfaces import Subject
from zoo.models.hooks import untouched, watching
from zoo_analyzers.gradient_through_time import GradientThroughTime

__all__ = ["FIGURES"]

LIGHT = {style.BLUE: "#d6e8f4", style.ORANGE: "#fae3d6", style.GREEN: "#d5efe6", style.MUTED: "#eef0f3"}
HORSE = 17
"""The index of a horse among the test images of CIFAR-10."""


def main() -> None:
    """Draw the figures that the command line names."""
    parser = argparse.ArgumentParser(description="Draw the figures of the two lessons' pages.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Figures to draw: {', '.join(FIGURES)}.")
    parser.add_argument("--out", type=Path, default=Path("docs/images/lectures"))
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in FIGURES]
    if unknown:
        parser.error(f"unknown figure {unknown[0]!r}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.names or FIGURES:
        path = chosen.out / f"{name}.png"
        path.write_bytes(FIGURES[name]())
        print(f"{path}  {path.stat().st_size:,} bytes", flush=True)


def canvas(width: float, height: float, *, title: str, subtitle: str) -> tuple[Figure, Axes]:
    """Return a figure, and axes whose unit is an inch, with the origin in the upper left corner."""
    figure = style.figure(width, height, title=title, subtitle=subtitle)
    axes = figure.subplots()
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.axis("off")
    return figure, axes


def png(figure: Figure) -> bytes:
    """Return a figure as PNG; unlike `style.png`, formulas are drawn as formulas."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=style.DPI, metadata={"Software": None})
    return buffer.getvalue()


def box(
    axes: Axes, x: float, y: float, text: str, *, w: float, h: float = 0.36, color: str = style.BLUE
) -> None:
    """Draw a rounded box around a center."""
    shape = FancyBboxPatch(
        (x - w / 2 + 0.04, y - h / 2 + 0.04),
        w - 0.08,
        h - 0.08,
        boxstyle="round,pad=0.04",
        fc=LIGHT[color],
        ec=color,
    )
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", color=style.INK, fontsize=style.TEXT)


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    color: str = style.MUTED,
    bend: float = 0,
) -> None:
    """Draw an arrow."""
    how = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(
        FancyArrowPatch(start, end, color=color, lw=1.1, connectionstyle=f"arc3,rad={bend}", **how)
    )


def note(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    ha: Any = "left",
    size: float = style.TEXT,
    color: str = style.MUTED,
) -> None:
    """Write a text."""
    axes.text(x, y, text, ha=ha, va="center", color=color, fontsize=size)


TEXT = "the will to power is the"


def batching() -> bytes:
    """Draw which characters are read and predicted with each way of batching."""
    figure, axes = canvas(
        9.0,
        5.1,
        title="Three ways to batch a text",
        subtitle="blue is read, orange is predicted; dashed lines carry the hidden state",
    )

    def letters(x: float, y: float, text: str, color: str) -> None:
        for number, letter in enumerate(text):
            left = x + 0.24 * number
            axes.add_patch(Rectangle((left, y), 0.22, 0.26, fc=LIGHT[color], ec=color, lw=0.7))
            shown = "␣" if letter == " " else letter
            axes.text(
                left + 0.11, y + 0.135, shown, ha="center", va="center", fontsize=style.SMALL, color=style.INK
            )

    def heading(y: float, text: str, about: str) -> None:
        axes.text(0.1, y, text, va="center", color=style.INK, fontsize=style.TEXT, fontweight="bold")
        note(axes, 1.05, y, about)

    heading(0.15, "windows", "read 4 characters, predict the next one, move on by one")
    for row in range(3):
        letters(0.1 + 0.24 * row, 0.34 + 0.32 * row, TEXT[row : row + 4], style.BLUE)
        letters(0.1 + 0.24 * (row + 4), 0.34 + 0.32 * row, TEXT[row + 4], style.ORANGE)
    note(axes, 2.1, 0.75, "each prediction knows exactly 4 characters; each character is read 4 times")
    heading(1.65, "sections", "cut the text, and predict after every character; the state starts at zero")
    for part in range(3):
        x = 0.1 + 1.3 * part
        letters(x, 1.84, TEXT[4 * part : 4 * part + 4], style.BLUE)
        letters(x, 2.14, TEXT[4 * part + 1 : 4 * part + 5], style.ORANGE)
    note(axes, 4.15, 2.1, "the first prediction of a section knows one character")
    heading(2.95, "stateful", "read parallel streams; each batch starts where the last one ended")
    for stream in range(2):
        for part in range(3):
            x, y, first = 0.1 + 1.3 * part, 3.16 + 0.94 * stream, 12 * stream + 4 * part
            letters(x, y, TEXT[first : first + 4].ljust(4), style.BLUE)
            letters(x, y + 0.3, TEXT[first + 1 : first + 5].ljust(4), style.ORANGE)
            if part < 2:
                line = {"linestyle": (0, (2, 1.5)), "color": style.GREEN, "lw": 1.4}
                axes.plot([x + 0.96, x + 1.3], [y + 0.28] * 2, **line)
        note(axes, 4.15, 3.44 + 0.94 * stream, f"stream {stream + 1}: the state is kept, the gradient is cut")
    for part in range(3):
        note(axes, 0.57 + 1.3 * part, 4.9, f"batch {part + 1}", ha="center", size=style.SMALL)
    return png(figure)


def unrolled() -> bytes:
    """Draw the recurrent network as a loop, and unrolled over time."""
    figure, axes = canvas(
        9.0,
        2.75,
        title="A recurrent network, as a loop and unrolled",
        subtitle="the same three matrices at every step",
    )

    def step(x: float, inner: str, read: str, told: str) -> None:
        box(axes, x, 2.45, read, w=0.85, color=style.MUTED)
        box(axes, x, 1.4, inner, w=0.85, color=style.BLUE)
        box(axes, x, 0.35, told, w=0.85, color=style.ORANGE)
        arrow(axes, (x, 2.27), (x, 1.58))
        arrow(axes, (x, 1.22), (x, 0.53))

    step(0.95, r"$h$", r"$x$", r"logits")
    arrow(axes, (1.38, 1.3), (1.38, 1.52), bend=-1.9)
    note(axes, 1.0, 1.93, r"$W_{xh}$", ha="left")
    note(axes, 1.0, 0.87, r"$W_{hy}$", ha="left")
    note(axes, 1.72, 1.4, r"$W_{hh}$", ha="left")
    axes.text(2.55, 1.4, "=", ha="center", va="center", fontsize=16, color=style.MUTED)
    for number, (letter, following) in enumerate(["th", "he", "e␣", "␣w"]):
        x = 3.7 + 1.5 * number
        step(x, f"$h_{number + 1}$", f"“{letter}”", f"“{following}”?")
        if number < 3:
            arrow(axes, (x + 0.43, 1.4), (x + 1.07, 1.4), color=style.BLUE)
            note(axes, x + 0.75, 1.24, r"$W_{hh}$", ha="center", size=style.SMALL)
    note(axes, 3.05, 1.2, r"$h_0 = 0$", ha="right", size=style.SMALL)
    arrow(axes, (2.85, 1.4), (3.27, 1.4), color=style.BLUE)
    return png(figure)


GATES = {
    "plain RNN": (r"$h_t = \tanh(W x_t + U h_{t-1} + b)$",),
    "GRU": (
        r"$r_t = \sigma(W_r x_t + U_r h_{t-1} + b_r)$",
        r"$z_t = \sigma(W_z x_t + U_z h_{t-1} + b_z)$",
        r"$n_t = \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + c_n))$",
        r"$h_t = z_t \odot h_{t-1} + (1 - z_t) \odot n_t$",
    ),
    "LSTM": (
        r"$i_t = \sigma(W_i x_t + U_i h_{t-1} + b_i)$",
        r"$f_t = \sigma(W_f x_t + U_f h_{t-1} + b_f)$",
        r"$g_t = \tanh(W_g x_t + U_g h_{t-1} + b_g)$",
        r"$o_t = \sigma(W_o x_t + U_o h_{t-1} + b_o)$",
        r"$c_t = f_t \odot c_{t-1} + i_t \odot g_t$",
        r"$h_t = o_t \odot \tanh(c_t)$",
    ),
}
ROLES = {
    "plain RNN": ("the new state replaces the old one",),
    "GRU": ("reset gate", "update gate", "candidate", "the state is kept where z is 1"),
    "LSTM": (
        "input gate",
        "forget gate",
        "candidate",
        "output gate",
        "cell state: kept, and added to",
        "hidden state",
    ),
}


def gates() -> bytes:
    """Write the equations of the three cells beside the role of each line."""
    lines = sum(map(len, GATES.values()))
    figure, axes = canvas(
        9.0,
        0.32 * lines + 0.75,
        title="Three cells",
        subtitle="σ is the logistic function, from 0 to 1; ⊙ multiplies element by element",
    )
    y = 0.2
    for name, formulas in GATES.items():
        axes.text(0.1, y, name, va="center", color=style.INK, fontsize=style.TEXT, fontweight="bold")
        for formula, role in zip(formulas, ROLES[name], strict=True):
            axes.text(1.25, y, formula, va="center", color=style.INK, fontsize=11)
            note(axes, 5.9, y, role)
            y += 0.32
        y += 0.2
    return png(figure)


def gradient() -> bytes:
    """Plot how far back gradients reach in the published models."""
    curves = {
        name: zoo.load(f"nietzsche-{name}", device="cpu")
        .analyze("gradient-through-time", split="test")
        .analysis.tables["gradient"]
        for name in ("rnn", "gru", "lstm", "min-gru")
    }
    return gradients(curves, "How far back the gradient reaches, after training")


def gradient_untrained() -> bytes:
    """Plot how gradients vanish and explode before training, by the initial recurrent matrix."""
    model = zoo.load("nietzsche-rnn", device="cpu")
    read = model.analyze("gradient-through-time", split="test", options={"sequences": 16, "steps": 2}).inputs
    subject = Subject(task=model.card.task, landmarks={}, preprocess=model.card.preprocess)
    ways: dict[str, tuple[dict[str, Any], float]] = {
        "tanh": ({}, 1),
        "tanh, matrix × 3": ({}, 3),
        "tanh, identity": ({"init": "identity"}, 1),
        "ReLU, identity": ({"nonlinearity": "relu", "init": "identity"}, 1),
    }
    curves: dict[str, list[dict[str, Any]]] = {}
    for name, (options, factor) in ways.items():
        torch.manual_seed(0)
        module: Any = zoo.create_model("rnn", vocab_size=len(model.card.preprocess["vocabulary"]), **options)
        with torch.no_grad():
            module.rnn.weight_hh_l0.mul_(factor)
        found = GradientThroughTime(sequences=64).analyze(module, read, subject=subject)
        curves[name] = found.tables["gradient"]
    return gradients(curves, "How far back the gradient reaches, before training")


def gradients(curves: dict[str, list[dict[str, Any]]], title: str) -> bytes:
    """Plot the norm of the gradient by the number of tokens back, a curve for each name."""
    about = "gradient of the loss with respect to the state before the last tokens were read"
    figure = style.figure(7.5, 3.2, title=title, subtitle=about)
    axes = figure.subplots()
    style.tidy(axes, frame=True)
    colors = (style.BLUE, style.ORANGE, style.GREEN, style.MUTED)
    for (name, rows), color in zip(curves.items(), colors, strict=True):
        axes.plot(
            [row["back"] for row in rows], [row["norm"] for row in rows], color=color, lw=1.8, label=name
        )
        print(name, {row["back"]: float(f"{row['norm']:.2g}") for row in rows if row["back"] in (1, 16, 60)})
    axes.set(xlabel="tokens back", ylabel="norm of the gradient", yscale="log", xlim=(60, 1))
    style.legend(axes)
    return style.png(figure)


def hidden_units() -> bytes:
    """Draw hidden units of the GRU over a text."""
    return drawn("nietzsche-gru", "hidden-units", "hidden-units.png")


def filters_mlp() -> bytes:
    """Draw the filters of the fully connected network."""
    return drawn("cifar10-mlp", "filters", "filters.png", {"count": 6, "examples": 4})


def filters_convnet() -> bytes:
    """Draw the filters of the first convolution."""
    return drawn("cifar10-convnet-bn", "filters", "filters.png", {"count": 10, "examples": 5})


def feature_maps() -> bytes:
    """Draw the feature maps of a horse."""
    options = {"channels": 6}
    return drawn("cifar10-convnet-bn", "feature-maps", "feature-maps-1.png", options, indices=[HORSE])


def batch_statistics() -> bytes:
    """Draw BatchNorm's running statistics beside those of single batches."""
    return drawn("cifar10-convnet-bn", "batch-statistics", "batch-statistics.png", indices=range(256))


def residual_layers() -> bytes:
    """Draw what each residual layer adds to its input."""
    return drawn("cifar10-resnet20", "residual-layers", "residual-layers.png", indices=range(1_000))


def drawn(
    model: str, analyzer: str, name: str, options: dict[str, Any] | None = None, **inputs: Any
) -> bytes:
    """Return a figure of an analyzer on the test split."""
    found = zoo.load(model, device="cpu").analyze(analyzer, split="test", options=options or {}, **inputs)
    return found.analysis.figures[name]()


def residual_block() -> bytes:
    """Draw a plain layer beside a residual layer."""
    figure, axes = canvas(
        6.5,
        2.9,
        title="A layer with and without its skip connection",
        subtitle="the residual layer learns what to add to its input",
    )
    for x, skip in ((1.3, False), (4.3, True)):
        box(axes, x, 2.65, r"$x$", w=0.8, color=style.MUTED)
        box(axes, x, 2.0, "convolution", w=1.3)
        box(axes, x, 1.4, "ReLU, BatchNorm", w=1.5)
        arrow(axes, (x, 2.47), (x, 2.18))
        arrow(axes, (x, 1.82), (x, 1.58))
        top = r"$x + f(x)$" if skip else r"$f(x)$"
        if skip:
            box(axes, x, 0.83, "+", w=0.36, color=style.GREEN)
            arrow(axes, (x, 1.22), (x, 1.01))
            arrow(axes, (x, 0.65), (x, 0.45))
            axes.plot([x + 0.4, x + 1.05, x + 1.05], [2.65, 2.65, 0.83], color=style.ORANGE, lw=1.4)
            arrow(axes, (x + 1.05, 0.83), (x + 0.18, 0.83), color=style.ORANGE)
            note(axes, x + 1.12, 1.75, "skip\nconnection")
        else:
            arrow(axes, (x, 1.22), (x, 0.45))
        box(axes, x, 0.25, top, w=1.1, color=style.MUTED)
    return png(figure)


def cam_as_a_sum() -> bytes:
    """Draw a class activation map as the weighted sum of feature maps."""
    model = zoo.load("shapes-resnet20", device="cpu")
    found = model.analyze("cam", split="test", indices=[1])
    kept: dict[str, Any] = {}
    module: Any = model.module
    with (
        untouched(module) as inner,
        torch.no_grad(),
        watching({"stages": inner.get_submodule("stages")}, kept.__setitem__),
    ):
        batch = next(iter(found.inputs))
        logits = inner(batch.inputs)
    maps, number = kept["stages"][0], int(logits[0].argmax())
    weights = module.out.weight[number].detach()
    total = torch.einsum("c,chw->hw", weights, maps)
    shares = weights * maps.mean((1, 2))
    best = shares.argsort(descending=True)[:3].tolist()
    name = found.items[0]["predicted"]
    figure = style.figure(
        9.6,
        2.0,
        title="A class activation map is a weighted sum",
        subtitle=f"feature maps of the last stage, times the weights of “{name}” in the last layer",
    )
    panels = figure.subplots(1, 7, width_ratios=[1, 1, 1, 1, 0.7, 1, 1])
    image = found.inputs.image(0, at_most=224)
    tiles: list[tuple[Any, str]] = [(image, "input")]
    tiles += [(maps[channel], f"channel {channel} × {float(weights[channel]):.2f}") for channel in best]
    tiles += [
        (None, f"+ {len(weights) - 3} more\nchannels ="),
        (total, "sum"),
        (found.overlay(0), "over the input"),
    ]
    for axes, (tile, text) in zip(panels, tiles, strict=True):
        axes.axis("off")
        if tile is not None:
            axes.imshow(tile, cmap=style.HEAT, interpolation="nearest")
        level = -0.12 if tile is not None else 0.5
        axes.text(
            0.5,
            level,
            text,
            ha="center",
            va="top",
            transform=axes.transAxes,
            fontsize=style.SMALL,
            color=style.INK,
        )
    assert found.analysis.maps is not None
    difference = float((total.clamp(min=0) - found.analysis.maps[0, 0]).abs().max())
    print(f"the sum differs from the analyzer's map by at most {difference:.1e}")
    return style.png(figure)


def within_a_minute() -> bytes:
    """Plot what networks reach in a training of some seconds, from the rows of the benchmark."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {"% accuracy": {}, "nats": {}}
    rows = latest(read())
    for (benchmark, case, figure), found in rows.items():
        if benchmark == "within_a_minute" and figure.startswith("after "):
            points = curves[found.row.unit].setdefault(case.partition("-")[2], [])
            taken = rows[benchmark, case, f"seconds of {figure.split()[1]}"].row.value
            points.append((taken, found.row.value))
    about = "CIFAR-10: accuracy in percent; Nietzsche: loss in nats per character; validation split"
    figure = style.figure(9, 3.6, title="What a training of at most a minute reaches", subtitle=about)
    for axes, (unit, lines) in zip(figure.subplots(1, 2), curves.items(), strict=True):
        style.tidy(axes, frame=True)
        ends = sorted((points[-1][1], name) for name, points in lines.items())
        lowest, highest = ends[0][0], ends[-1][0]
        room, place = (highest - lowest) / 14, float("-inf")
        for value, name in ends:
            seconds, values = zip(*lines[name], strict=True)
            (line,) = axes.plot(seconds, values, marker="o", ms=3, lw=1.5)
            place = max(value, place + room)  # so that names do not overlap
            axes.text(75, place, name, va="center", color=line.get_color(), fontsize=style.SMALL)
        times = (7.5, 15, 30, 60)
        axes.set(
            xscale="log", xlabel="seconds of training", xticks=times, xticklabels=[f"{t:g}" for t in times],
            xlim=(4, 72),
        )  # fmt: skip
        axes.minorticks_off()
        axes.set_ylabel("accuracy, %" if unit == "% accuracy" else "loss, nats per character")
    return style.png(figure)


FIGURES: dict[str, Callable[[], bytes]] = {
    "batching": batching,
    "unrolled": unrolled,
    "gates": gates,
    "gradient-untrained": gradient_untrained,
    "gradient": gradient,
    "hidden-units": hidden_units,
    "filters-mlp": filters_mlp,
    "filters-convnet": filters_convnet,
    "feature-maps": feature_maps,
    "batch-statistics": batch_statistics,
    "residual-block": residual_block,
    "residual-layers": residual_layers,
    "cam-as-a-sum": cam_as_a_sum,
    "within-a-minute": within_a_minute,
}


if __name__ == "__main__":
    main()
