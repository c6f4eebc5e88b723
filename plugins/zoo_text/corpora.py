"""The corpora. Each is a function from options to a Corpus."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from zoo import DataError
from zoo.files.downloads import data_file
from zoo_text.corpus import Corpus, read_corpus
from zoo_text.reading import Reading, Tokens

MinFreq = Annotated[int, Meta(ge=1)]


def nietzsche(
    *,
    root: str | None = None,
    tokens: Tokens = "char",
    lower: bool = True,
    newline_eos: bool = False,
    backwards: bool = False,
    min_freq: MinFreq = 3,
    vocabulary: Sequence[str] = (),
    splits: Sequence[int] = (80, 10, 10),
) -> Corpus:
    """600,893 characters of Nietzsche; 56 tokens as the lesson has it.

    Args:
        root: folder that holds nietzsche.txt.
        tokens: `"char"`, or `"word"` for words and runs of punctuation with the space before them.
        lower: turn everything into lower case.
        newline_eos: a newline is the special token `<eos>`, and is written as a newline again.
        backwards: for a model that reads from right to left; each split is reversed by itself.
        min_freq: tokens rarer than this in the training split become `<unk>`.
        vocabulary: tokens to use instead of counting any, as a trained model's card lists them.
        splits: percent of the tokens for train, val and test, in this order from the beginning of the text.
    """
    path = data_file(
        "nietzsche.txt",
        url="https://s3.amazonaws.com/text-datasets/nietzsche.txt",
        sha256="23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647",
        root=root,
    )
    reading = Reading(
        tokens=tokens,
        lower=lower,
        newline_eos=newline_eos,
        backwards=backwards,
        min_freq=min_freq,
        vocabulary=vocabulary,
        splits=splits,
    )
    return read_corpus([path], reading)


def tinyshakespeare(
    *,
    root: str | None = None,
    tokens: Tokens = "char",
    lower: bool = False,
    newline_eos: bool = False,
    backwards: bool = False,
    min_freq: MinFreq = 1,
    vocabulary: Sequence[str] = (),
    splits: Sequence[int] = (80, 10, 10),
) -> Corpus:
    """1,115,394 characters of Shakespeare. Options as for `nietzsche`; splits=[90, 10, 0] are nanoGPT's."""
    path = data_file(
        "tinyshakespeare.txt",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        root=root,
    )
    reading = Reading(
        tokens=tokens,
        lower=lower,
        newline_eos=newline_eos,
        backwards=backwards,
        min_freq=min_freq,
        vocabulary=vocabulary,
        splits=splits,
    )
    return read_corpus([path], reading)


def stdlib(
    *,
    tokens: Tokens = "char",
    lower: bool = False,
    newline_eos: bool = False,
    backwards: bool = False,
    min_freq: MinFreq = 20,
    vocabulary: Sequence[str] = (),
    splits: Sequence[int] = (80, 10, 10),
) -> Corpus:
    """The top-level modules of the running Python's standard library, in name order.

    Options as for `nietzsche`. The text differs between Python versions; a weights file's fingerprint says
    which one it learned from.
    """
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    if not paths:
        raise DataError("this Python comes without the source of its standard library; use text/files")
    reading = Reading(
        tokens=tokens,
        lower=lower,
        newline_eos=newline_eos,
        backwards=backwards,
        min_freq=min_freq,
        vocabulary=vocabulary,
        splits=splits,
    )
    return read_corpus(paths, reading)


def files(
    *,
    paths: str | Sequence[str],
    val: str | Sequence[str] = (),
    test: str | Sequence[str] = (),
    glob: str = "**/*",
    encoding: str = "utf-8",
    tokens: Tokens = "char",
    lower: bool = False,
    newline_eos: bool = False,
    backwards: bool = False,
    min_freq: MinFreq = 1,
    vocabulary: Sequence[str] = (),
    splits: Sequence[int] = (80, 10, 10),
) -> Corpus:
    """Any text files. Line ends are read as newlines; an empty file among others adds nothing.

    The vocabulary is that of the training split. What the other splits have besides becomes `<unk>`, which a
    model cannot write and is judged on; `zoo show files --data paths=...` tells how much of each split it is.

    Args:
        paths: files and folders, read one after the other.
        val: files and folders of the validation split.
        test: files and folders of the test split.
        glob: which files of a folder, in name order; hidden ones are left out.
        encoding: of all files.
        splits: as for `nietzsche`; if `val` or `test` is given, nothing is cut, and `paths` is for training.

    The other options are as for `nietzsche`.

    Raises:
        DataError: naming the file that is missing, empty, not text or not in this encoding, or cannot be
            read, the link that leads nowhere, and the folder that holds no file like `glob`.
    """
    train, held_out, kept = (_expand(names, glob) for names in (paths, val, test))
    reading = Reading(
        tokens=tokens,
        lower=lower,
        newline_eos=newline_eos,
        backwards=backwards,
        min_freq=min_freq,
        vocabulary=vocabulary,
        splits=splits,
        encoding=encoding,
    )
    return read_corpus(train, reading, val=held_out, test=kept)


def _expand(names: str | Sequence[str], glob: str) -> list[Path]:
    found: list[Path] = []
    for name in [names] if isinstance(names, str) else names:
        try:
            found += _named(name, glob)
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, of no home, with a zero byte
            raise DataError(f"{name!r} cannot be the name of a file or folder: {error}") from None
    return found


def _named(name: str, glob: str) -> list[Path]:
    path = Path(name).expanduser()
    if name and path.is_dir():
        return _inside(path, glob)
    if name and path.is_file():
        return [path]
    if name and path.is_symlink() and not path.exists():
        raise DataError(f"the link {path} leads nowhere")
    raise DataError(f"there is no file or folder {name!r}")


def _inside(folder: Path, glob: str) -> list[Path]:
    """Return a folder's visible files in name order."""
    try:
        os.scandir(folder).close()  # pathlib says nothing of a folder that may not be read
        inside = sorted(folder.glob(glob))
    except (NotImplementedError, ValueError) as error:
        raise DataError(f"glob={glob!r} is not a pattern of files inside a folder: {error}") from None
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None
    visible = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    for path in visible:
        if path.is_symlink() and not path.exists():
            raise DataError(f"the link {path} leads nowhere")
    texts = [path for path in visible if path.is_file()]
    if not texts:
        raise DataError(f"the folder {folder} holds no files like {glob!r}")
    return texts
