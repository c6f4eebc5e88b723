"""Texts as tokens."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchtext.data import Field

from zoo.data.opening import open_dataset
from zoo.data.vocabulary import Vocabulary
from zoo.errors import DataError, OptionError
from zoo.files import hashes
from zoo.registry.registry import Registry
from zoo_text import corpora, corpus, encoding, numbering

SPLITS = ("train", "val", "test")
NEEDS_TEXTS = pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="needs the texts in $ZOO_DATA")
SENTENCE = "The quick brown fox jumps over the lazy dog, twice.\n"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def write(path: Path, text: str, encoding: str = "utf-8") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return str(path)


def read(data: corpus.Corpus) -> dict[str, str]:
    """Decode every split."""
    vocabulary = Vocabulary(data.preprocess)
    forwards = -1 if vocabulary.backwards else 1
    return {split: vocabulary.decode(data.split(split).tolist()[::forwards]) for split in SPLITS}


def refuse(path: object, *_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("block", [1, 7, 1 << 22])
@pytest.mark.parametrize("min_freq", [1, 40])
@pytest.mark.parametrize("lower", [False, True])
def test_the_vocabulary_is_the_one_torchtext_makes_of_the_training_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lower: bool, min_freq: int, block: int
) -> None:
    monkeypatch.setattr(encoding, "_BLOCK", block)
    text = SENTENCE * 20 + "rare: é ß 漢 😀\n" + SENTENCE * 20
    data = corpora.files(paths=write(tmp_path / "a.txt", text), lower=lower, min_freq=min_freq)

    field = Field(tokenize=list, lower=lower)
    train = text[: len(text) * 8 // 10]
    field.build_vocab([field.preprocess(train)], min_freq=min_freq)
    assert data.preprocess["vocabulary"] == field.vocab.itos
    assert data.preprocess["specials"] == 2
    assert data.dims == {"vocab_size": len(field.vocab)}
    numbers = field.numericalize([field.preprocess(train)])
    assert isinstance(numbers, Tensor)
    assert torch.equal(data.split("train").long(), numbers.flatten())


def test_a_text_is_cut_80_10_10_and_comes_back(tmp_path: Path) -> None:
    text = SENTENCE * 20
    splits = read(corpora.files(paths=write(tmp_path / "a.txt", text)))
    assert "".join(splits.values()) == text
    assert [len(splits[split]) for split in ("train", "val", "test")] == [832, 104, 104]


@NEEDS_TEXTS
@pytest.mark.parametrize(
    ("name", "length", "tokens"), [("nietzsche", 600_893, 56), ("tinyshakespeare", 1_115_394, 67)]
)
def test_the_known_texts_have_their_known_sizes(
    registry: Registry, name: str, length: int, tokens: int
) -> None:
    data = open_dataset(registry.dataset(name), {})
    assert sum(len(data.split(split)) for split in ("train", "val", "test")) == length
    assert data.dims == {"vocab_size": tokens}


def test_the_standard_library_needs_no_download() -> None:
    data = corpora.stdlib()
    assert len(data.split("train")) > 1_000_000
    assert "def " in read(data)["test"]


def test_the_preset_s_options_are_defaults_that_the_user_overrides(registry: Registry) -> None:
    entry = registry.dataset("stdlib")
    preset, all_tokens = open_dataset(entry, {}), open_dataset(entry, {"min_freq": 1})
    assert preset.fingerprint == open_dataset(entry, {"min_freq": 20}).fingerprint
    assert preset.dims["vocab_size"] < all_tokens.dims["vocab_size"]


def test_a_text_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", SENTENCE * 20)
    first = corpora.files(paths=path)
    monkeypatch.setattr(corpus, "encode", None)
    again = corpora.files(paths=write(tmp_path / "copy.txt", SENTENCE * 20))
    assert again.fingerprint == first.fingerprint
    assert read(again) == read(first)
    with pytest.raises(TypeError):
        corpora.files(paths=path, lower=True)


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
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("specify its encoding, for example with --data encoding=latin-1; ")
    assert "böse" in read(corpora.files(paths=path, encoding="latin-1"))["train"]
    with pytest.raises(DataError, match="unknown encoding 'latin-99'"):
        corpora.files(paths=path, encoding="latin-99")


def test_texts_without_a_character_are_refused(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty/a.txt", "")
    write(tmp_path / "empty/b.txt", "")
    with pytest.raises(DataError, match=f"{empty} is empty"):
        corpora.files(paths=empty)
    with pytest.raises(DataError, match="the training split is empty: the files are empty"):
        corpora.files(paths=str(tmp_path / "empty"))
    with pytest.raises(DataError, match="the training split is empty: the files are empty"):
        corpora.files(paths=[])
    assert not list((tmp_path / "cache/decoded/text").iterdir())


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
    with pytest.raises(DataError, match=r"no file in .*texts matches glob='\*\.rst'"):
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
    monkeypatch.setattr(numbering, "_MAX_CHARACTERS", 20)
    with pytest.raises(DataError, match="this is not text: it contains more than 20 different characters"):
        corpora.files(paths=write(tmp_path / "a.txt", SENTENCE))


def test_tokens_that_were_checked_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "_TOO_RECENT", 0)
    path = write(tmp_path / "a.txt", SENTENCE * 40)
    corpora.files(paths=path)
    wanted = read(corpora.files(paths=path))

    def refuse(file: Path) -> str:
        raise AssertionError(f"{file} was read")

    monkeypatch.setattr(hashes, "sha256_of", refuse)
    assert read(corpora.files(paths=path)) == wanted
    monkeypatch.setenv("ZOO_VERIFY", "1")
    with pytest.raises(AssertionError, match=r"a\.txt was read"):
        corpora.files(paths=path)


def test_a_given_vocabulary_is_used_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "abcabcabcd")
    data = corpora.files(paths=path, vocabulary=["<unk>", "<pad>", "d", "b"])
    assert data.dims == {"vocab_size": 4}
    assert data.preprocess["specials"] == 2
    assert "".join(read(data).values()).replace("<unk>", "_") == "_b__b__b_d"


@NEEDS_TEXTS
@pytest.mark.parametrize(
    ("name", "fingerprint"),
    [
        ("nietzsche", "dda656daa0d1a9b835925592defb8d836ac30ed7420876c0699c2d1042a00c75"),
        ("tinyshakespeare", "38602fa6fd2157067493f4b522460a05befc6fc945c84d34719b38855a6a972d"),
    ],
)
def test_the_fingerprints_are_those_of_published_cards(
    registry: Registry, name: str, fingerprint: str
) -> None:
    assert open_dataset(registry.dataset(name), {}).fingerprint == fingerprint


@NEEDS_TEXTS
def test_nietzsche_has_56_tokens_with_and_without_eos(registry: Registry) -> None:
    entry = registry.dataset("nietzsche")
    plain, lines = (open_dataset(entry, {"newline_eos": eos}).preprocess for eos in (False, True))
    assert plain["specials"] == 2
    assert "<eos>" not in plain["vocabulary"]
    assert lines["specials"] == 3
    assert lines["vocabulary"][:3] == ["<unk>", "<pad>", "<eos>"]
    assert {*plain["vocabulary"]} - {*lines["vocabulary"]} == {"\n"}
    assert len(plain["vocabulary"]) == len(lines["vocabulary"]) == 56


@NEEDS_TEXTS
def test_tiny_shakespeare_can_be_cut_as_nanogpt_cuts_it() -> None:
    data = corpora.tinyshakespeare(splits=[90, 10, 0])
    text = (Path(os.environ["ZOO_DATA"]) / "tinyshakespeare.txt").read_text(encoding="utf-8")
    assert [len(data.split(split)) for split in SPLITS] == [1_003_854, 111_540, 0]
    assert sorted(data.preprocess["vocabulary"][2:]) == sorted(set(text))
    assert data.dims == {"vocab_size": 65 + 2}
    assert read(data) == {"train": text[:1_003_854], "val": text[1_003_854:], "test": ""}


@NEEDS_TEXTS
@pytest.mark.parametrize("newline_eos", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("tokens", ["char", "word"])
@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("nietzsche", True),
        pytest.param("nietzsche", False, marks=pytest.mark.nightly),
        pytest.param("tinyshakespeare", False, marks=pytest.mark.nightly),
    ],
)
def test_a_real_text_comes_back_whole_however_it_is_read(
    name: str, tokens: str, lower: bool, backwards: bool, newline_eos: bool
) -> None:
    text = (Path(os.environ["ZOO_DATA"]) / f"{name}.txt").read_text(encoding="utf-8")
    data = getattr(corpora, name)(
        tokens=tokens,
        lower=lower,
        backwards=backwards,
        newline_eos=newline_eos,
        min_freq=1,
        splits=[100, 0, 0],
    )
    vocabulary = Vocabulary(data.preprocess)
    numbers = data.split("train").tolist()[:: -1 if backwards else 1]
    text = text.lower() if lower else text
    assert vocabulary.decode(numbers) == text
    assert vocabulary.encode(text) == (numbers, [])
    assert (vocabulary.kind, vocabulary.lower) == (tokens, lower)
    assert (vocabulary.backwards, vocabulary.newline_eos) == (backwards, newline_eos)


@pytest.mark.parametrize("block", [1, 2, 3, 50])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("tokens", ["char", "word"])
def test_how_a_file_is_cut_into_blocks_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: str, backwards: bool, block: int
) -> None:
    path = write(tmp_path / "a.txt", "Don't  stop,\nnow -- " * 7 + "w" * 230 + " \n\n ")
    whole = corpora.files(paths=path, tokens=tokens, backwards=backwards)
    monkeypatch.setattr(encoding, "_BLOCK", block)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "another"))
    assert corpora.files(paths=path, tokens=tokens, backwards=backwards).fingerprint == whole.fingerprint


def test_backwards_each_split_is_turned_around_by_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", SENTENCE * 20)
    there, back = corpora.files(paths=path), corpora.files(paths=path, backwards=True)
    for split in SPLITS:
        assert torch.equal(back.split(split), there.split(split).flip(0))
    assert back.preprocess == {**there.preprocess, "backwards": True}
    assert read(back) == read(there)
    assert len(back.split("train")) == 832


def test_a_text_that_reads_the_same_both_ways_still_has_two_fingerprints(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a" * 100)
    assert corpora.files(paths=path).fingerprint != corpora.files(paths=path, backwards=True).fingerprint


def test_each_reading_has_its_own_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", SENTENCE * 20)
    made = [
        corpora.files(paths=path),
        corpora.files(paths=path, newline_eos=True),
        corpora.files(paths=path, backwards=True),
        corpora.files(paths=path, tokens="word"),
        corpora.files(paths=path, splits=[90, 10, 0]),
    ]
    assert len({data.fingerprint for data in made}) == len(made)


@pytest.mark.parametrize("min_freq", [1, 2])
def test_words_are_counted_in_the_training_part(tmp_path: Path, min_freq: int) -> None:
    text = "a a a b b c\n" + "z z z\n"  # 7 tokens of 12, then 5
    data = corpora.files(
        paths=write(tmp_path / "a.txt", text), tokens="word", min_freq=min_freq, splits=[65, 35, 0]
    )
    seen = [" a", " b"] if min_freq == 2 else [" a", " b", "\n", " c", "a"]
    assert data.preprocess["vocabulary"] == ["<unk>", "<pad>", *seen]
    assert data.preprocess["specials"] == 2
    assert len(data.split("train")) == 7
    assert data.split("val").tolist() == [
        0,
        0,
        0,
        data.preprocess["vocabulary"].index("\n") if min_freq == 1 else 0,
    ]


def test_no_word_spans_two_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.txt", "one two"), write(tmp_path / "b.txt", "three")]
    data = corpora.files(paths=paths, tokens="word", splits=[100, 0, 0])
    assert [data.preprocess["vocabulary"][n] for n in data.split("train").tolist()] == [
        "one",
        " two",
        "three",
    ]


def test_too_many_words_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", SENTENCE)
    monkeypatch.setattr(numbering, "_MAX_WORDS", 12)
    with pytest.raises(DataError, match="the text has more than 12 distinct words") as caught:
        corpora.files(paths=path, tokens="word")
    assert caught.value.hint == "use characters as tokens (--data tokens=char), or use a shorter text"
    monkeypatch.setattr(numbering, "_MAX_WORDS", 13)
    corpora.files(paths=path, tokens="word")


@pytest.mark.parametrize(
    ("splits", "lengths"), [([80, 10, 10], [7, 1, 1]), ([100, 0, 0], [9, 0, 0]), ([12, 0, 88], [1, 0, 8])]
)
def test_splits_are_percents(tmp_path: Path, splits: list[int], lengths: list[int]) -> None:
    data = corpora.files(paths=write(tmp_path / "a.txt", "abcdefghi"), splits=splits)
    assert [len(data.split(split)) for split in SPLITS] == lengths


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([90, 10], r"sum to 100, with train greater than 0 \(got \[90, 10\]\)(?m:$)"),
        (
            [0, 50, 50],
            r"splits must be three percentages .* with train greater than 0 \(got \[0, 50, 50\]\)(?m:$)",
        ),
        ([80, 10, 11], r"percentages .* \(got \[80, 10, 11\]\)(?m:$)"),
        ([80.5, 9.5, 10], r"must be a list, each item an integer \(got \[80.5, 9.5, 10\]\)(?m:$)"),
    ],
)
def test_splits_that_are_not_three_percentages_are_refused(
    registry: Registry, splits: object, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        open_dataset(registry.dataset("stdlib"), {"splits": splits})


def test_eos_needs_a_place_in_a_given_vocabulary(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "ab\n" * 20)
    with pytest.raises(OptionError, match="newline_eos=true requires '<eos>' in the vocabulary"):
        corpora.files(paths=path, newline_eos=True, vocabulary=["<unk>", "a"])
    data = corpora.files(paths=path, newline_eos=True, vocabulary=["<unk>", "<eos>", "a"])
    assert data.split("train")[:3].tolist() == [2, 0, 1]
    assert data.preprocess["specials"] == 2


@pytest.mark.parametrize(
    ("vocabulary", "newline_eos", "message"),
    [
        (["a", "b"], False, r"vocabulary must begin with '<unk>' \(got 'a'\)"),
        (["<unk>", "a", "b", "a"], False, "vocabulary contains 'a' twice"),
        (["<unk>", "<eos>", "\n"], True, "newline_eos=true requires a vocabulary without a newline"),
    ],
)
def test_an_inconsistent_vocabulary_is_refused(
    tmp_path: Path, vocabulary: list[str], newline_eos: bool, message: str
) -> None:
    path = write(tmp_path / "a.txt", "ab\n" * 20)
    with pytest.raises(OptionError, match=message):
        corpora.files(paths=path, newline_eos=newline_eos, vocabulary=vocabulary)


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-has-this-name/a.txt"])
def test_an_impossible_file_name_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="is not a valid file or folder name"):
        corpora.files(paths=name)


@pytest.mark.parametrize("tokens", ["char", "word"])
def test_a_given_vocabulary_reads_as_it_did_when_it_was_counted(tmp_path: Path, tokens: str) -> None:
    path = write(tmp_path / "a.txt", SENTENCE * 20)
    first = corpora.files(paths=path, tokens=tokens, newline_eos=True)
    again = corpora.files(
        paths=path, tokens=tokens, newline_eos=True, vocabulary=first.preprocess["vocabulary"], min_freq=50
    )
    assert again.fingerprint == first.fingerprint
    assert again.preprocess == first.preprocess


def test_a_text_of_one_character_is_a_text(tmp_path: Path) -> None:
    data = corpora.files(paths=write(tmp_path / "a.txt", "a" * 100))
    assert data.preprocess["vocabulary"] == ["<unk>", "<pad>", "a"]
    assert data.split("train").tolist() == [2] * 80
    only_lines = corpora.files(paths=write(tmp_path / "b.txt", "\n" * 100), newline_eos=True, min_freq=1_000)
    assert only_lines.split("train").tolist() == [2] * 80


def test_a_text_too_short_to_cut_or_with_rare_tokens_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="the training split is empty: the text is too short to split 80 / 10 / 10"
    ):
        corpora.files(paths=write(tmp_path / "a.txt", "a"))
    with pytest.raises(DataError, match="no token in the training split occurs at least min_freq=50 times"):
        corpora.files(paths=write(tmp_path / "b.txt", SENTENCE), min_freq=50, newline_eos=True)


def test_held_out_files_that_hold_nothing_leave_their_splits_empty(tmp_path: Path) -> None:
    write(tmp_path / "val/a.txt", "")
    write(tmp_path / "val/b.txt", "")
    data = corpora.files(paths=write(tmp_path / "a.txt", "ab" * 50), val=str(tmp_path / "val"))
    assert [len(data.split(split)) for split in SPLITS] == [100, 0, 0]


def test_a_binary_file_in_a_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "texts/a.txt", SENTENCE)
    for name, content, message in [
        ("image", b"\x89PNG\r\n\x1a\n", "is not utf-8 text"),
        ("utf-16", "text".encode("utf-16-le"), "is not text: it contains NUL bytes"),
    ]:
        path = tmp_path / "texts" / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path} {message}") as caught:
            corpora.files(paths=str(tmp_path / "texts"))
        assert "--data glob='**/*.txt' skips the other files in a folder" in (caught.value.hint or "")
        path.unlink()


def test_a_file_or_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "texts/a.txt", SENTENCE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(DataError, match=f"{path} cannot be read: Permission denied"):
            corpora.files(paths=str(tmp_path / "texts"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        with pytest.raises(DataError, match=f"{tmp_path}/texts cannot be read: Permission denied"):
            corpora.files(paths=str(tmp_path / "texts"))


def test_a_broken_link_and_a_device_are_named(tmp_path: Path) -> None:
    write(tmp_path / "texts/a.txt", SENTENCE)
    link = tmp_path / "texts/b.txt"
    link.symlink_to(tmp_path / "gone.txt")
    for paths in (str(link), str(tmp_path / "texts")):
        with pytest.raises(DataError, match=f"{link} is a broken link"):
            corpora.files(paths=paths)
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", "/dev/zero", str(tmp_path / "pipe")):
        with pytest.raises(DataError, match=f"{path} is not a text file: it is a pipe or a device"):
            corpora.files(paths=path)


def test_a_cache_that_others_could_read_becomes_private(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", SENTENCE * 20)
    corpora.files(paths=path)
    for place in (tmp_path / "cache", *(tmp_path / "cache").rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)
    corpora.files(paths=path)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o755  # $ZOO_CACHE is as the user made it
    assert (tmp_path / "cache/decoded/text").stat().st_mode & 0o777 == 0o700


def test_a_text_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.txt", SENTENCE * 20)
    real = hashes.sha256_of

    def appended(path: Path) -> str:
        hashed = real(path)
        with path.open("a", encoding="utf-8") as file:
            file.write("and on")
        return hashed

    with monkeypatch.context() as patch:
        patch.setattr(hashes, "sha256_of", appended)
        with pytest.raises(DataError, match=f"{path} changed while it was being read"):
            corpora.files(paths=path)
    assert not list((tmp_path / "cache/decoded/text").iterdir())
    assert "".join(read(corpora.files(paths=path)).values()).endswith("and on")


@pytest.mark.parametrize("small", [0, 1 << 20], ids=["mapped", "in memory"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda tokens: os.truncate(tokens, 100),
        lambda tokens: os.truncate(tokens, 0),
        lambda tokens: tokens.write_bytes(tokens.read_bytes() + b"\x01"),
        lambda tokens: tokens.write_bytes(b"\x02" * tokens.stat().st_size),
        lambda tokens: tokens.unlink(),
    ],
    ids=["truncated", "empty", "longer", "replaced", "gone"],
)
def test_cached_tokens_that_are_not_those_written_are_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], object], small: int
) -> None:
    monkeypatch.setattr("zoo.files.cached_files._SMALL", small)
    path = write(tmp_path / "a.txt", SENTENCE * 20)
    wanted = read(corpora.files(paths=path))
    (tokens,) = (tmp_path / "cache/decoded/text").glob("*/tokens.bin")
    damage(tokens)
    assert read(corpora.files(paths=path)) == wanted


def test_tokens_that_were_opened_stay_what_they_were(tmp_path: Path) -> None:
    data = corpora.files(paths=write(tmp_path / "a.txt", SENTENCE * 20))
    wanted = read(data)
    (tokens,) = (tmp_path / "cache/decoded/text").glob("*/tokens.bin")
    os.truncate(tokens, 0)
    assert read(data) == wanted


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    plain = corpora.files(paths=write(tmp_path / "a.txt", SENTENCE * 20))
    marked = corpora.files(paths=write(tmp_path / "b.txt", SENTENCE * 20, "utf-8-sig"))
    assert marked.fingerprint == plain.fingerprint
    inside = corpora.files(paths=write(tmp_path / "c.txt", SENTENCE + "\ufeff" + SENTENCE * 20))
    assert "\ufeff" in inside.preprocess["vocabulary"]


def test_a_folder_inside_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "texts/a.txt", SENTENCE * 20)
    write(tmp_path / "texts/deep/closed/b.txt", SENTENCE)
    write(tmp_path / "texts/.hidden/c.txt", SENTENCE)
    real = os.scandir

    def scandir(path: str | Path) -> object:
        if Path(path).name in ("closed", ".hidden"):
            refuse(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for glob in ("**/*", "deep/*/*.txt", "*/closed/b.txt"):
        with pytest.raises(
            DataError, match=f"{tmp_path}/texts/deep/closed cannot be read: Permission denied"
        ):
            corpora.files(paths=str(tmp_path / "texts"), glob=glob)
    assert len(corpora.files(paths=str(tmp_path / "texts"), glob="*.txt").split("train")) == 832


@pytest.mark.parametrize("backwards", [False, True])
def test_folds_are_consecutive_parts_and_the_rest_is_for_training(tmp_path: Path, backwards: bool) -> None:
    text = "".join(chr(ord("a") + number // 10) for number in range(200))  # 20 letters, ten of each
    path = write(tmp_path / "a.txt", text)
    for fold in range(3):
        data = corpora.files(paths=path, fold=fold, folds=3, backwards=backwards)
        first, last = 60 * fold, 60 * (fold + 1)
        train = text[:first] + text[last:180]
        known = [token if token in train else "<unk>" for token in text[first:last]]
        assert read(data)["train"] == train
        assert read(data)["val"] == "".join(known)
        assert len(data.split("test")) == 20
        assert {*data.preprocess["vocabulary"][data.preprocess["specials"] :]} == {*train}


def test_folds_of_files_for_validation_include_them(tmp_path: Path) -> None:
    train, val, test = (write(tmp_path / f"{name}.txt", name[0] * 30) for name in ("one", "two", "six"))
    data = corpora.files(paths=train, val=val, test=test, fold=1, folds=2)
    assert read(data) == {"train": "o" * 30, "val": "<unk>" * 30, "test": "<unk>" * 30}
    assert corpora.files(paths=train, val=val, test=test, fold=0, folds=2).fingerprint != data.fingerprint


def test_a_share_of_the_training_text_is_its_start(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", SENTENCE * 20)
    data, whole = corpora.files(paths=path, train_share=0.25), corpora.files(paths=path)
    train = read(whole)["train"]
    assert read(data)["train"] == train[: len(train) // 4]
    assert read(data)["val"] == read(whole)["val"]
    assert data.preprocess == whole.preprocess
    assert data.fingerprint != whole.fingerprint
    with pytest.raises(OptionError, match=r"^train_size must be at most 208, the number of training tokens"):
        corpora.files(paths=path, train_share=0.25, train_size=300)


def test_a_fold_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^fold must be at most 4, because folds=5 \(got 7\)$"):
        corpora.files(paths=write(tmp_path / "a.txt", SENTENCE), fold=7)
