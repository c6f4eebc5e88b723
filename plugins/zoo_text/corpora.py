"""The corpora. Each is a function from options to a Corpus."""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from zoo import DataError
from zoo.fetch import data_file
from zoo_text.corpus import Corpus, read_corpus

MinFreq = Annotated[int, Meta(ge=1)]


def nietzsche(
    *, root: str | None = None, lower: bool = True, min_freq: MinFreq = 3, vocabulary: Sequence[str] = ()
) -> Corpus:
    """600,893 characters of Nietzsche; 56 tokens as the lesson has it.

    Args:
        root: folder that holds nietzsche.txt.
        lower: turn everything into lower case.
        min_freq: characters rarer than this in the training part become `<unk>`.
        vocabulary: tokens to use instead of counting any, as a trained model's card lists them.
    """
    path = data_file(
        "nietzsche.txt",
        url="https://s3.amazonaws.com/text-datasets/nietzsche.txt",
        sha256="23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647",
        root=root,
    )
    return read_corpus([path], lower=lower, min_freq=min_freq, vocabulary=vocabulary)


def tinyshakespeare(
    *, root: str | None = None, lower: bool = False, min_freq: MinFreq = 1, vocabulary: Sequence[str] = ()
) -> Corpus:
    """1,115,394 characters of Shakespeare. Options as for `nietzsche`."""
    path = data_file(
        "tinyshakespeare.txt",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        root=root,
    )
    return read_corpus([path], lower=lower, min_freq=min_freq, vocabulary=vocabulary)


def stdlib(*, lower: bool = False, min_freq: MinFreq = 20, vocabulary: Sequence[str] = ()) -> Corpus:
    """The top-level modules of the running Python's standard library, in name order.

    The text differs between Python versions; a weights file's fingerprint says which one it learned from.
    """
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    if not paths:
        raise DataError("this Python comes without the source of its standard library; use text/files")
    return read_corpus(paths, lower=lower, min_freq=min_freq, vocabulary=vocabulary)


def files(
    *,
    paths: str | Sequence[str],
    val: str | Sequence[str] = (),
    test: str | Sequence[str] = (),
    glob: str = "**/*",
    encoding: str = "utf-8",
    lower: bool = False,
    min_freq: MinFreq = 1,
    vocabulary: Sequence[str] = (),
) -> Corpus:
    """Any text files. Line ends are read as newlines.

    Args:
        paths: files and folders. If `val` and `test` are not given, their text is cut 80 / 10 / 10.
        val: files and folders of the validation split.
        test: files and folders of the test split.
        glob: which files of a folder, in name order; hidden ones are left out.
        encoding: of all files.
        lower: turn everything into lower case.
        min_freq: characters rarer than this in the training split become `<unk>`.
        vocabulary: tokens to use instead of counting any, as a trained model's card lists them.
    """
    train, held_out, kept = (_expand(names, glob) for names in (paths, val, test))
    return read_corpus(
        train,
        val=held_out,
        test=kept,
        lower=lower,
        min_freq=min_freq,
        encoding=encoding,
        vocabulary=vocabulary,
    )


def _expand(names: str | Sequence[str], glob: str) -> list[Path]:
    found: list[Path] = []
    for name in [names] if isinstance(names, str) else names:
        path = Path(name).expanduser()
        if name and path.is_dir():
            try:
                inside = sorted(path.glob(glob))
            except (NotImplementedError, ValueError) as error:
                raise DataError(f"glob={glob!r} is not a pattern of files inside a folder: {error}") from None
            visible = [
                p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)
            ]
            texts = [p for p in visible if p.is_file()]
            if not texts:
                raise DataError(f"the folder {path} holds no files like {glob!r}")
            found += texts
        elif name and path.exists():
            found.append(path)
        else:
            raise DataError(f"there is no file or folder {name!r}")
    return found
