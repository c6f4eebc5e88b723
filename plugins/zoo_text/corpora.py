"""The corpora. Each is a function that returns files; `text_dataset` adds the options of `Reading`."""

from __future__ import annotations

import inspect
import os
import sysconfig
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from functools import wraps
from pathlib import Path, PurePath
from typing import Any

from zoo import DataError
from zoo.plugin import data_file
from zoo_text.corpus import Corpus, read_corpus
from zoo_text.reading import Files, Reading


def text_dataset(find: Callable[..., Files]) -> Callable[..., Corpus]:
    """Turn a function that finds files into a function that reads them.

    The result has the options of both, and its docstring describes all of them.
    """
    own = inspect.signature(find, eval_str=True).parameters
    options = [*own.values(), *inspect.signature(Reading, eval_str=True).parameters.values()]

    @wraps(find)
    def read(**given: Any) -> Corpus:
        reading = Reading(**{name: value for name, value in given.items() if name not in own})
        return read_corpus(find(**{name: value for name, value in given.items() if name in own}), reading)

    about, _, described = inspect.cleandoc(find.__doc__ or "").partition("\n\nArgs:\n")
    described, gap, rest = described.partition("\n\n")
    shared = inspect.cleandoc(Reading.__doc__ or "").partition("\n\nArgs:\n")[2].partition("\n\n")[0]
    listed = "\n".join(filter(None, (described, shared)))
    read.__doc__ = f"{about}\n\nArgs:\n{listed}{gap}{rest}"
    read.__annotations__ = {option.name: option.annotation for option in options}
    read.__signature__ = inspect.Signature(options)  # pyright: ignore[reportAttributeAccessIssue]
    return read


@text_dataset
def nietzsche(*, root: str | None = None) -> Files:
    """Read books by Nietzsche, 600,893 characters.

    In lowercase and with min_freq=3, the vocabulary has the 56 tokens of the fast.ai lesson.

    Args:
        root: folder that contains nietzsche.txt.
    """
    path = data_file(
        "nietzsche.txt",
        url="https://s3.amazonaws.com/text-datasets/nietzsche.txt",
        sha256="23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647",
        root=root,
    )
    return Files(train=[path])


@text_dataset
def tinyshakespeare(*, root: str | None = None) -> Files:
    """Read plays by Shakespeare, 1,115,394 characters. splits=[90, 10, 0] is nanoGPT's split.

    Args:
        root: folder that contains tinyshakespeare.txt.
    """
    path = data_file(
        "tinyshakespeare.txt",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        root=root,
    )
    return Files(train=[path])


@text_dataset
def stdlib() -> Files:
    """Read the top-level modules of the running Python's standard library, sorted by name.

    The modules differ between Python versions; the fingerprint in a model's card identifies them.
    """
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    if not paths:
        raise DataError(
            "this Python installation does not include the source of the standard library; use text/files"
        )
    return Files(train=paths)


@text_dataset
def files(
    *,
    paths: str | Sequence[str],
    val: str | Sequence[str] = (),
    test: str | Sequence[str] = (),
    glob: str = "**/*",
    encoding: str = "utf-8",
) -> Files:
    """Read any text files.

    The vocabulary comes from the training split. Tokens of other splits that are not in the vocabulary become
    `<unk>`, which contributes to the loss although a model never generates it; `zoo show files --data
    paths=...` counts these tokens.

    Args:
        paths: files and folders, read in this order.
        val: files and folders of the validation split.
        test: files and folders of the test split. With `val` or `test`, all of `paths` is used for training.
        glob: pattern of the files to read in a folder, sorted by path; hidden files are skipped.
        encoding: encoding of all files.

    Raises:
        DataError: a file is missing, a link is broken, or no file of a folder matches `glob`.
    """
    train, held_out, kept = (_expand(names, glob) for names in (paths, val, test))
    return Files(train=train, val=held_out, test=kept, encoding=encoding)


def _expand(names: str | Sequence[str], glob: str) -> list[Path]:
    paths: list[Path] = []
    for name in [names] if isinstance(names, str) else names:
        try:
            paths += _named(name, glob)
        except (OSError, RuntimeError, ValueError) as error:  # too long, an unknown home, a zero byte
            raise DataError(f"{name!r} is not a valid file or folder name: {error}") from None
    return paths


def _named(name: str, glob: str) -> list[Path]:
    path = Path(name).expanduser()
    if name and path.is_dir():
        return _inside(path, glob)
    if name and path.is_file():
        return [path]
    if name and path.is_symlink() and not path.exists():
        raise DataError(f"{path} is a broken link")
    if name and path.exists():
        raise DataError(f"{path} is not a text file: it is a pipe or a device, not a regular file")
    raise DataError(f"there is no file or folder {name!r}")


def _inside(folder: Path, glob: str) -> list[Path]:
    """Return a folder's visible files, sorted by path."""
    try:
        _refuse_unreadable(folder, lambda parts: _may_match(parts, glob))
        inside = sorted(folder.glob(glob))
    except (NotImplementedError, ValueError) as error:
        raise DataError(f"glob={glob!r} must be a pattern for files inside a folder: {error}") from None
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from None
    visible = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    for path in visible:
        if path.is_symlink() and not path.exists():
            raise DataError(f"{path} is a broken link")
    texts = [path for path in visible if path.is_file()]
    if not texts:
        raise DataError(f"no file in {folder} matches glob={glob!r}")
    return texts


def _may_match(folder: tuple[str, ...], glob: str) -> bool:
    """Return whether a glob may match a file in a folder or in its subfolders.

    Args:
        folder: parts of the folder's path.
    """
    *pattern, _ = PurePath(glob).parts or ("",)
    return "**" in pattern or (len(folder) <= len(pattern) and all(map(fnmatch, folder, pattern)))


def _refuse_unreadable(folder: Path, matters: Callable[[tuple[str, ...]], bool]) -> None:
    """Raise OSError for an unreadable subfolder, which `Path.glob` would skip.

    Args:
        folder: folder to search, with all visible subfolders. Links are not followed, as with `**`.
        matters: returns whether to search a subfolder, given the parts of its relative path.
    """

    def refuse(error: OSError) -> None:
        if matters(Path(error.filename).relative_to(folder).parts):
            raise error

    for _, folders, _ in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
