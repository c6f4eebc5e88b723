"""Texts as tokens."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from torchtext.data import Field

from zoo.errors import DataError
from zoo.vocabulary import Vocabulary
from zoo_text import corpora, corpus

SENTENCE = "The quick brown fox jumps over the lazy dog, twice.\n"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def write(path: Path, text: str, encoding: str = "utf-8") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return str(path)


def read(data: corpus.Corpus) -> dict[str, str]:
    """Every split as text again."""
    vocabulary = Vocabulary(data.preprocess)
    return {split: vocabulary.decode(data.split(split).tolist()) for split in ("train", "val", "test")}


@pytest.mark.parametrize("block", [1, 7, 1 << 22])
@pytest.mark.parametrize("min_freq", [1, 40])
@pytest.mark.parametrize("lower", [False, True])
def test_the_vocabulary_is_the_one_torchtext_makes_of_the_training_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lower: bool, min_freq: int, block: int
) -> None:
    monkeypatch.setattr(corpus, "_BLOCK", block)
    text = SENTENCE * 20 + "rare: é ß 漢 😀\n" + SENTENCE * 20
    data = corpora.files(paths=write(tmp_path / "a.txt", text), lower=lower, min_freq=min_freq)

    field = Field(tokenize=list, lower=lower)
    train = text[: len(text) * 8 // 10]
    field.build_vocab([field.preprocess(train)], min_freq=min_freq)
    assert data.preprocess["vocabulary"] == field.vocab.itos
    assert data.preprocess["specials"] == 2
    assert data.dims == {"vocab_size": len(field.vocab)}
    numbers = field.numericalize([field.preprocess(train)]).flatten()
    assert torch.equal(data.split("train").long(), numbers)


def test_a_text_is_cut_80_10_10_and_comes_back(tmp_path: Path) -> None:
    text = SENTENCE * 20
    splits = read(corpora.files(paths=write(tmp_path / "a.txt", text)))
    assert "".join(splits.values()) == text
    assert [len(splits[split]) for split in ("train", "val", "test")] == [832, 104, 104]


@pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="needs the texts in $ZOO_DATA")
@pytest.mark.parametrize(
    ("make", "length", "tokens"), [(corpora.nietzsche, 600_893, 56), (corpora.tinyshakespeare, 1_115_394, 67)]
)
def test_the_known_texts_have_their_known_sizes(make, length: int, tokens: int) -> None:
    data = make()
    assert sum(len(data.split(split)) for split in ("train", "val", "test")) == length
    assert data.dims == {"vocab_size": tokens}


def test_the_standard_library_needs_no_download() -> None:
    data = corpora.stdlib()
    assert len(data.split("train")) > 1_000_000
    assert "def " in read(data)["test"]


def test_a_text_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", SENTENCE * 20)
    first = corpora.files(paths=path)
    monkeypatch.setattr(corpus, "_encode", None)
    again = corpora.files(paths=write(tmp_path / "copy.txt", SENTENCE * 20))
    assert again.fingerprint == first.fingerprint
    assert read(again) == read(first)
    with pytest.raises(TypeError):
        corpora.files(paths=path, lower=True)


def test_an_encoding_that_was_cut_off_is_done_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    path = write(tmp_path / "a.txt", SENTENCE * 20)
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "_renumber", die)
        with pytest.raises(KeyboardInterrupt):
            corpora.files(paths=path)
    assert list((tmp_path / "cache/text").iterdir()) == []
    assert "".join(read(corpora.files(paths=path)).values()) == SENTENCE * 20


def test_other_texts_and_other_options_have_other_fingerprints(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.txt", SENTENCE * 20), write(tmp_path / "b.txt", SENTENCE * 20 + "!")
    made = [
        corpora.files(paths=one),
        corpora.files(paths=two),
        corpora.files(paths=one, lower=True),
        corpora.files(paths=one, min_freq=40),
        corpora.files(paths=one, val=two),
    ]
    assert len({data.fingerprint for data in made}) == len(made)


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_are_newlines(tmp_path: Path, end: str) -> None:
    data = corpora.files(paths=write(tmp_path / "a.txt", (SENTENCE * 20).replace("\n", end)))
    assert "".join(read(data).values()) == SENTENCE * 20


def test_an_encoding_can_be_named_and_a_wrong_one_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "Also sprach Zarathustra: böse\n" * 20, "latin-1")
    with pytest.raises(DataError, match=f"{path} is not utf-8 text") as caught:
        corpora.files(paths=path)
    assert caught.value.hint == "name its encoding: --data encoding=latin-1"
    assert "böse" in read(corpora.files(paths=path, encoding="latin-1"))["train"]
    with pytest.raises(DataError, match="there is no encoding 'latin-99'"):
        corpora.files(paths=path, encoding="latin-99")


def test_texts_without_a_character_are_refused(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty/a.txt", "")
    write(tmp_path / "empty/b.txt", "")
    with pytest.raises(DataError, match=f"{empty} is empty"):
        corpora.files(paths=empty)
    with pytest.raises(DataError, match="there is nothing to learn from"):
        corpora.files(paths=str(tmp_path / "empty"))
    with pytest.raises(DataError, match="there is nothing to learn from"):
        corpora.files(paths=[])
    assert not list((tmp_path / "cache/text").iterdir())


def test_an_empty_file_among_others_is_nothing(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.txt", ""), write(tmp_path / "b.txt", SENTENCE * 20)]
    assert "".join(read(corpora.files(paths=paths)).values()) == SENTENCE * 20


def test_a_folder_is_read_in_name_order_without_hidden_files(tmp_path: Path) -> None:
    for name, text in [
        ("b.txt", "bb"),
        ("a/z.txt", "aa"),
        (".git/x.txt", "??"),
        (".x.txt", "??"),
        ("c.md", "cc"),
    ]:
        write(tmp_path / "texts" / name, text * 20)
    folder = str(tmp_path / "texts")
    assert "".join(read(corpora.files(paths=folder)).values()) == "aa" * 20 + "bb" * 20 + "cc" * 20
    assert "".join(read(corpora.files(paths=folder, glob="*.txt")).values()) == "bb" * 20
    with pytest.raises(DataError, match=r"holds no files like '\*\.rst'"):
        corpora.files(paths=folder, glob="*.rst")
    with pytest.raises(DataError, match="there is no file or folder"):
        corpora.files(paths=str(tmp_path / "nowhere"))


def test_held_out_files_are_their_splits_and_characters_unseen_in_training_are_unk(tmp_path: Path) -> None:
    data = corpora.files(
        paths=write(tmp_path / "train.txt", "abba" * 10),
        val=write(tmp_path / "val.txt", "abcab"),
        test=write(tmp_path / "test.txt", "xa"),
    )
    assert read(data) == {"train": "abba" * 10, "val": "ab<unk>ab", "test": "<unk>a"}
    assert Counter(data.preprocess["vocabulary"]) == Counter(["<unk>", "<pad>", "a", "b"])


@pytest.mark.parametrize(("kinds", "dtype"), [(254, torch.uint8), (255, torch.int16), (5_000, torch.int16)])
def test_tokens_are_as_small_as_the_vocabulary_allows(tmp_path: Path, kinds: int, dtype: torch.dtype) -> None:
    text = "".join(chr(0x4E00 + n) for n in range(kinds)) * 2
    data = corpora.files(paths=write(tmp_path / "train.txt", text), val=write(tmp_path / "val.txt", "x"))
    assert data.dims == {"vocab_size": kinds + 2}
    assert data.split("train").dtype == dtype
    assert read(data)["train"] == text


def test_a_file_that_is_no_text_at_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_MAX_CHARACTERS", 20)
    with pytest.raises(DataError, match="more than 20 different characters: this is not a text"):
        corpora.files(paths=write(tmp_path / "a.txt", SENTENCE))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tokens.bin", lambda data: data[:-1]),
        ("tokens.bin", lambda data: b"\0" + data[1:]),
        ("corpus.json", lambda data: b""),
        ("corpus.json", lambda data: data[:20]),
    ],
)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, name: str, damage: object) -> None:
    path = write(tmp_path / "a.txt", SENTENCE * 40)
    before = corpora.files(paths=path)
    (file,) = (tmp_path / "cache/text").rglob(name)
    file.write_bytes(damage(file.read_bytes()))
    after = corpora.files(paths=path)
    assert after.fingerprint == before.fingerprint
    assert read(after) == read(corpora.files(paths=path, min_freq=1))
    assert "".join(read(after).values()) == SENTENCE * 40


def test_a_given_vocabulary_is_used_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "abcabcabcd")
    data = corpora.files(paths=path, vocabulary=["<unk>", "<pad>", "d", "b"])
    assert data.dims == {"vocab_size": 4}
    assert data.preprocess["specials"] == 2
    assert "".join(read(data).values()).replace("<unk>", "_") == "_b__b__b_d"
