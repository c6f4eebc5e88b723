"""A model card as Markdown, and the same text as an HTML page.

Names and texts in a card can come from a stranger's file, so all of them are escaped where they are written.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from zoo.config import options
from zoo.config.train_config import SPLITS
from zoo.console.figures import figure, interval
from zoo.console.html_page import html_page
from zoo.console.progress import duration
from zoo.console.tables import SHARES, as_typed
from zoo.console.terminal import BLANKS
from zoo.errors import printable, shortened

# Characters that have a meaning within a line of Markdown
_MARKS = re.compile(r"([\\`*_{}\[\]<>|~#&$])")
_ADDRESS = re.compile(r"https://[\w./~?=%-]+", re.ASCII)
# Most rows of a table and items of a list; a card of 1 MB may have a hundred thousand
_MOST = 100
# Most rows of a table that takes the place of a figure
_FEW = 10
_ONE_SEED = "These are the metrics of one seed."

Card = Mapping[str, Any]
Links = Mapping[str, str]


def as_markdown(card: Card, links: Links) -> str:
    """Return the fields of a card as Markdown, as on GitHub and the Hugging Face Hub.

    Args:
        links: the addresses of figures, by name; other figures are left out.
    """
    return f"# {plain(card['name'])}\n\n{_body(card, links)}\n"


def as_html(card: Card, figures: Mapping[str, bytes]) -> str:
    """Return the fields of a card as an HTML page that contains the figures."""
    from markdown_it import MarkdownIt  # only for this

    links = {name: f"figure-{number}" for number, name in enumerate(figures)}
    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(_body(card, links))
    for name, content in figures.items():  # a quotation mark in a text is escaped
        kind, data = "png" if name.endswith(".png") else "jpeg", base64.b64encode(content).decode()
        text = text.replace(f'src="{links[name]}"', f'src="data:image/{kind};base64,{data}"')
    for wide in ("<p><img", "<table>"):  # which can be scrolled by keyboard
        start = wide.replace("<p>", '<p tabindex="0">').replace("<table>", '<div tabindex="0"><table>')
        text = text.replace(wide, start)
    return html_page(card["name"], text.replace("</table>", "</table></div>"))


def _body(card: Card, links: Links) -> str:
    """Return everything below the heading."""
    metric = card.get("primary_metric", "")
    units = {**SHARES, **card.get("units", {})}
    units["interval"] = units.get(metric, "")
    curve = _figures(["learning-curve.png"], "Learning curve", links)
    curve = curve or _table(_epochs(card, metric), dict.fromkeys(SPLITS, units["interval"]))
    fitted = ((_words(name), figure(value)) for name, value in card.get("calibration", {}).items())
    sample = card.get("sample")
    sums = [("sha256 of the file", card["sha256"]), ("sha256 of the data", card["dataset"]["fingerprint"])]
    parts = [
        _summary(card),
        _section(
            "Use", _commands(card.get("use", {})), _code(card["python"], "python") if "python" in card else ""
        ),
        _section("Limits", "\n".join(f"- {plain(limit)}" for limit in card.get("limits", []))),
        _section("Metrics", *_metrics(card, units)),
        _section("Metrics by class", _table(card.get("by_class", []), units)),
        _section("Fitted temperature", _pairs(fitted)),
        *(_findings(found, card, units, links) for found in card.get("findings", [])),
        _section("Generated text", _code(f"$ {sample['command']}\n{sample['text']}") if sample else ""),
        _section("Learning curve", curve, about=f"{_words(metric)} by epoch"),
        _section("Training", *_training(card)),
        _section("Verify and reproduce", _commands(card.get("check", {})), _pairs(sums)),
        _section("Confirmed by", confirmations_table(card.get("confirmations", []))),
    ]
    return "\n\n".join(filter(None, parts))


def confirmations_table(confirmations: Sequence[Mapping[str, str]]) -> str:
    """Return a table of who has confirmed weights, or nothing if nobody has."""
    columns = ("id", "outcome", "by", "date", "conditions")
    return _table([{name: row[name] for name in columns if name in row} for row in confirmations], {})


def _section(title: str, *parts: str, about: str = "") -> str:
    """Return a section, or nothing if it would have only an introduction."""
    written = [part for part in parts if part]
    return "\n\n".join(filter(None, [f"## {plain(title)}", plain(about), *written])) if written else ""


def _summary(card: Card) -> str:
    task, architecture, data = (card[name] for name in ("task", "architecture", "dataset"))
    classes = card.get("classes", [])
    facts = [
        ("task", task.get("summary")),
        ("architecture", architecture.get("summary")),
        ("source", architecture.get("source")),
        ("parameters", f"{card['parameters']:,}" if "parameters" in card else ""),
        ("file", f"{card['bytes']:,} bytes"),
        ("commit on the Hugging Face Hub", card.get("hub_commit")),
        ("license", card.get("license")),
        ("classes", f"{len(classes):,}: {', '.join(_first(classes))}" if classes else ""),
        ("data", data.get("summary")),
        ("source of the data", data.get("source")),
        ("license of the data", data.get("license")),
    ]
    about = f"{architecture['name']} for {task['name']}, trained on {data['name']}."
    summary = f"{plain(card['summary'])}.\n\n" if "summary" in card else ""
    return f"{summary}{plain(about)}\n\n{_pairs(facts)}"


def _metrics(card: Card, units: Mapping[str, str]) -> list[str]:
    measured = card.get("measured", {})
    intervals, baseline = card.get("intervals", {}), measured.get("baseline", {})
    rows = [
        {
            "split": split,
            "metric": _words(name),
            "value": figure(value, units.get(name, "")),
            "interval": interval(intervals.get(split, {}).get(name), units.get(name, "")).strip("()") or None,
            "random baseline": figure(baseline[name], units.get(name, "")) if name in baseline else None,
        }
        for split, metrics in card.get("metrics", {}).items()
        for name, value in metrics.items()
    ]
    if not rows:
        return []
    count = f"The {measured['split']} split has {measured['count']:,} {measured['unit']}." if measured else ""
    spread = f"{card['spread']} (mean and standard deviation)." if "spread" in card else _ONE_SEED
    return [_table(rows, {}), plain(count), plain(spread)]


def _findings(found: Card, card: Card, units: Mapping[str, str], links: Links) -> str:
    """Return the section of an analyzer; its shorter tables stand in place of its figures."""
    scores = [(_words(name), figure(value, units.get(name, ""))) for name, value in found["scores"].items()]
    drawn = _figures(found["figures"], found["summary"], links)
    tables = [
        _table(rows, SHARES)  # as `zoo analyze` prints it; a column such as accuracy_low has no unit
        for name, rows in found["tables"].items()
        if not drawn and len(rows) <= _FEW and not (name == "classes" and "by_class" in card)
    ]
    about = f"{found['summary']}, on the {found['split']} split."
    title = found["analyzer"].rpartition("/")[2].capitalize()
    return _section(title, _pairs(scores), drawn, *tables, about=about)


def _epochs(card: Card, metric: str) -> list[dict[str, Any]]:
    """Return a metric on each split after some of the epochs, among them the last."""
    history = card.get("history", [])
    some = history[:: -max(len(history) // _FEW, 1)][::-1]
    return [
        {"epoch": row["epoch"]} | {split: row[split][metric] for split in SPLITS if split in row}
        for row in some
    ]


def _training(card: Card) -> list[str]:
    environment = dict(card.get("environment", {}))
    times = {"duration": environment.pop("seconds", 0), "processor time": environment.pop("cpu_seconds", 0)}
    facts = [
        ("recipe", card.get("recipe")),
        *(("started from", f"{name} {value}") for name, value in card.get("base_model", {}).items()),
        *((f"{name} trained", f"{count:,}") for name, count in card.get("progress", {}).items()),
        ("seed", str(card["seed"])),
        *((name, duration(seconds)) for name, seconds in times.items() if seconds),
        *as_typed(environment | card.get("versions", {})),
        *(("changed while training", change) for change in card.get("changes", [])),
    ]
    data = {f"data.{name}": value for name, value in card["dataset"]["options"].items()}
    given = data | card.get("training", {})
    lines = [f"{name} = {options.text(value)}" for name, value in given.items()]
    about = "Data options, and training options that differ from zoo's defaults:"
    return [_pairs(facts), *([about, _code("\n".join(map(shortened, _first(lines))))] if lines else [])]


def _commands(commands: Mapping[str, str]) -> str:
    width = max(map(len, commands.values()), default=0)
    lines = [f"{line:<{width}}  # {what}" for what, line in commands.items()]
    return _code("\n".join(lines), "sh") if lines else ""


def _code(text: str, language: str = "text") -> str:
    fence = "`" * max([3, *(len(marks) + 1 for marks in re.findall("`+", text))])
    return f"{fence}{language}\n{printable(text, keep=BLANKS)}\n{fence}"


def _figures(names: Iterable[str], about: str, links: Links) -> str:
    return "\n\n".join(f"![{plain(about)}]({links[name]})" for name in names if name in links)


def _pairs(pairs: Iterable[tuple[str, str | None]]) -> str:
    rows = [[name, value] for name, value in pairs if value]
    return _grid(["property", "value"], rows) if rows else ""


def _table(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> str:
    """Return a table without the columns that are empty in every row."""
    columns = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    cells = [[_cell(row.get(name), units.get(name, "")) for name in columns] for row in rows]
    return _grid([*map(_words, columns)], cells) if columns else ""


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *_first(rows)]
    return "\n".join(f"| {' | '.join(map(plain, line))} |" for line in lines)


def _cell(value: object, unit: str) -> str:
    if isinstance(value, float):
        return figure(value, unit) if unit else f"{value:.3g}"
    if isinstance(value, list):
        return interval(cast("list[float]", value), unit).strip("()")
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ") if name != "interval" else "95% interval"


def _first(items: Sequence[Any]) -> list[Any]:
    """Return the first items, or rows, and how many more there are."""
    if len(items) <= _MOST:
        return [*items]
    more = f"and {len(items) - _MOST:,} more"
    return [*items[:_MOST], more if isinstance(items[0], str) else [more]]


def plain(text: str) -> str:
    """Return text as one line of Markdown that shows the text itself; an address becomes a link."""
    return f"<{text}>" if _ADDRESS.fullmatch(text) else _MARKS.sub(r"\\\1", shortened(text))
