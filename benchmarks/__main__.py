"""Measure the numbers of the documentation.

    python -m benchmarks                          lists the benchmarks
    python -m benchmarks listing --rounds 40      measures, compares with the last rows, and writes rows
    python -m benchmarks listing --compare        writes nothing, and fails if a figure is worse beyond noise
    python -m benchmarks starting                 runs all benchmarks of a group, each in its own process
    python -m benchmarks --all                    runs all of them
    python -m benchmarks --tables                 writes the tables and figures of the pages from the rows

Run nothing else beside a benchmark that measures time. ZOO_DATA names the folder with nietzsche.txt,
tinyshakespeare.txt and cifar-10-batches-bin.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import pages
from benchmarks.declared import Declared, declared
from benchmarks.rows import RESULTS, Origin, Row, append, compare, read
from zoo.errors import ZooError


def main() -> int:
    """Run what the command line names; return the exit code."""
    known, words = declared(), sys.argv[1:]
    groups = {one.group for one in known.values()}
    if not words:
        print(listed(known))
        return 0
    if words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if words == ["--tables"]:
        print("\n".join(f"{path}: {'written' if new else 'as the rows give'}" for path, new in pages.write()))
        return 0
    try:
        if words[0] in known:
            return run(known[words[0]], words[1:])
    except ModuleNotFoundError as error:
        print(f"{words[0]} requires {error.name}, which is not installed", file=sys.stderr)
        print("`pip install 'zoo-registry[benchmarks,sweep]'` installs most of them", file=sys.stderr)
        return 1
    except (ZooError, FileNotFoundError) as error:
        print(*filter(None, (error, getattr(error, "hint", None))), sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; no rows were written", file=sys.stderr)
        return 130
    if words[0] == "--all" or words[0] in groups:
        names = [one.name for one in known.values() if words[0] in ("--all", one.group)]
        return run_each(names, words[1:])
    print(f"unknown benchmark {words[0]!r}; `python -m benchmarks` lists them", file=sys.stderr)
    return 2


def listed(known: dict[str, Declared]) -> str:
    """Return the list of benchmarks by group, as wide as the terminal."""
    lines: list[str] = []
    width = shutil.get_terminal_size().columns
    for group in dict.fromkeys(one.group for one in known.values()):
        lines += ["", group]
        for one in known.values():
            if one.group == group:
                text = f"  {one.name:20} {one.minutes:4g} min  {one.summary}"
                text += f" [{one.needs}]" if one.needs else ""
                lines += textwrap.wrap(text, width, subsequent_indent=33 * " ", break_on_hyphens=False)
    lines += ["", "`python -m benchmarks NAME --help` explains a benchmark; a group's name runs all of it"]
    return "\n".join(lines[1:])


def run(one: Declared, words: Sequence[str]) -> int:
    """Measure a benchmark; print, compare and keep its rows."""
    parser = one.parser()
    parser.add_argument("--compare", action="store_true", help="Write nothing; fail if a figure is worse.")
    parser.add_argument("--out", type=Path, default=RESULTS, help="File of the rows.")
    given = vars(parser.parse_args(words))
    only_compare, out = given.pop("compare"), given.pop("out")
    try:
        known = read(out) or read()
    except (OSError, msgspec.MsgspecError) as error:
        print(f"{out} cannot be read: {error}", file=sys.stderr)
        return 1
    if not only_compare and not os.access(out if out.exists() else out.absolute().parent, os.W_OK):
        print(f"{out} cannot be written", file=sys.stderr)  # before what may take hours
        return 1
    command = shlex.join(["python", "-m", "benchmarks", one.name, *_without_file(words)])
    rows: list[Row] = []
    worse: list[str] = []
    warnings.simplefilter("ignore")  # notices of zoo and its peers about small or random models
    for row in one.rows(given):
        found = compare(row, Origin.now(one.name, command), known)
        before = f"   before {found.before.row}" if found.before else ""
        print(f"{row.case:44} {row.figure:24} {row}{before}  {found.verdict}".rstrip(), flush=True)
        rows.append(row)
        if found.verdict == "worse":
            worse.append(" ".join(filter(None, (row.case, row.figure))))
    if worse:
        print(f"worse beyond noise: {', '.join(worse)}")
    if only_compare:
        if not any(compare(row, Origin.now(one.name, command), known).before for row in rows):
            print(f"nothing to compare with: {out} has no rows of {one.name}")
        return int(bool(worse))
    append(rows, Origin.now(one.name, command), out)
    print(f"{len(rows)} rows appended to {out}; `python -m benchmarks --tables` writes the pages")
    return 0


def run_each(names: Sequence[str], words: Sequence[str]) -> int:
    """Run benchmarks, each in a process of its own, and go on after a failure."""
    failed: list[str] = []
    for name in names:
        print(f"\n{name}", flush=True)
        done = subprocess.run([sys.executable, "-m", "benchmarks", name, *words], check=False)
        if done.returncode == 130:  # stopped by Ctrl-C
            return 130
        failed += [name] if done.returncode else []
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall done")
    return int(bool(failed))


def _without_file(words: Sequence[str]) -> list[str]:
    """Return the words of a command without the file of the rows, which changes nothing."""
    kept = [word for word in words if word != "--compare" and not word.startswith("--out=")]
    if "--out" in kept:
        place = kept.index("--out")
        del kept[place : place + 2]
    return kept


if __name__ == "__main__":
    sys.exit(main())
