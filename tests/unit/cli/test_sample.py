"""`zoo sample` as a user types it."""

from __future__ import annotations

import io
import json

import pytest

from tests.shell import zoo
from zoo.inference.sampling import Sampling, sample_many
from zoo.models import weights
from zoo.models.module_runner import ModuleRunner
from zoo.registry.registry import Registry


def text(*arguments, **options):
    done = zoo("sample", *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def backwards_file(lstm_file, tmp_path_factory):
    """The same weights, in a file that says they read from right to left."""
    model, card = weights.load(lstm_file, Registry.discover())
    path = tmp_path_factory.mktemp("weights") / "backwards.safetensors"
    card.preprocess["backwards"] = True
    weights.save(path, model, card)
    return path


def test_several_samples_are_printed_under_a_line_each_and_the_first_is_the_single_one(lstm_file):
    options = lstm_file, "--prompt", "the ", "--max-new-tokens", "40"
    single, several = text(*options), text(*options, "--samples", "3")
    parts = several.split("--- ")
    assert [part[: len("1 of 3 ---\n")] for part in parts[1:]] == [f"{n} of 3 ---\n" for n in (1, 2, 3)]
    assert parts[0] == ""
    assert parts[1] == "1 of 3 ---\n" + single
    assert len({part.partition("\n")[2] for part in parts[1:]}) == 3


def test_json_holds_the_first_text_and_all_of_them(lstm_file):
    options = lstm_file, "--prompt", "the ", "--max-new-tokens", "40", "--json"
    one, three = json.loads(text(*options)), json.loads(text(*options, "--samples", "3"))
    assert one == {
        "weights": str(lstm_file),
        "prompt": "the ",
        "seed": 0,
        "text": one["text"],
        "texts": [one["text"]],
        "backwards": False,
    }
    assert len(one["text"]) == 40
    assert three["text"] == three["texts"][0] == one["text"]
    assert len({*three["texts"]}) == 3


def test_texts_at_several_temperatures_stand_side_by_side(lstm_file):
    options = lstm_file, "--prompt", "the ", "--max-new-tokens", "60"
    alone = [text(*options, "--temperature", str(each)) for each in (0.5, 2)]
    beside = text(*options, "--temperatures", "0.5,2").splitlines()
    left, right = "temperature 0.5", "temperature 2"
    middle = beside[0].index(right)
    assert beside[0] == left.ljust(middle) + right
    for column, whole in zip((slice(middle), slice(middle, None)), alone, strict=True):
        shown = "".join(line[column] for line in beside[1:])
        assert "".join(shown.split()) == "".join(whole.split())
    found = json.loads(text(*options, "--temperatures", "0.5,2", "--json"))["temperatures"]
    assert [each["temperature"] for each in found] == [0.5, 2]
    assert [["the " + each["texts"][0] + "\n"] for each in found] == [[whole] for whole in alone]


def test_every_option_is_passed_on(lstm_file):
    model, card = weights.load(lstm_file, Registry.discover())
    options = {"max_new_tokens": 30, "temperature": 1.5, "top_k": 5, "top_p": 0.7, "stop": "e", "seed": 4}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    done = text(lstm_file, "--prompt", "fox", *words, "--samples", "4", "--json")
    drawn = sample_many(
        ModuleRunner(model), card.preprocess, prompt="fox", sampling=Sampling(samples=4, **options)
    )
    assert json.loads(done)["texts"] == drawn
    assert any(drawn)


def test_the_text_ends_before_the_stop_string(lstm_file):
    whole = text(lstm_file, "--max-new-tokens", "60").removesuffix("\n")
    stop = whole[20:23]
    assert text(lstm_file, "--max-new-tokens", "60", "--stop", stop) == whole.partition(stop)[0] + "\n"


def test_a_prompt_is_read_from_a_file_or_from_stdin(lstm_file, tmp_path, monkeypatch):
    (tmp_path / "prompt.txt").write_bytes(b"the dog\r\nsleeps\n")
    expected = text(lstm_file, "--prompt", "the dog\nsleeps\n", "--max-new-tokens", "20")
    assert text(lstm_file, "--prompt-file", "prompt.txt", "--max-new-tokens", "20", cwd=tmp_path) == expected
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbfthe dog\nsleeps\n")  # as Windows editors do
    assert text(lstm_file, "--prompt-file", "marked.txt", "--max-new-tokens", "20", cwd=tmp_path) == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the dog\nsleeps\n")))
    assert text(lstm_file, "--prompt-file", "-", "--max-new-tokens", "20") == expected


def test_only_the_first_of_many_unknown_characters_are_named(lstm_file):
    done = zoo("sample", lstm_file, "--prompt", "ABCDEFGHIJKLMNOP", "--max-new-tokens", "1")
    listed = "'A' 'B' 'C' 'D' 'E' 'F' 'G' 'H' 'I' 'J' and 6 more"
    assert (
        done.stderr.splitlines()[-1]
        == f"zoo: tokens that are not in the model's vocabulary are read as <unk>: {listed}"
    )


def test_a_model_that_reads_backwards_generates_the_text_before_its_prompt(backwards_file, lstm_file):
    done = zoo("sample", backwards_file, "--prompt", "xof", "--max-new-tokens", "30")
    forwards = text(lstm_file, "--prompt", "fox", "--max-new-tokens", "30")
    assert done.stdout == forwards.removesuffix("\n")[::-1] + "\n"
    notice = "zoo: the model reads backward, so it generates the text that precedes its prompt"
    assert done.stderr.splitlines() == [f"sampling from {backwards_file}", notice]
    several = text(backwards_file, "--prompt", "xof", "--max-new-tokens", "30", "--samples", "2")
    assert several.startswith("--- 1 of 2 ---\n" + done.stdout)
    document = json.loads(text(backwards_file, "--prompt", "xof", "--max-new-tokens", "30", "--json"))
    assert document["backwards"]
    assert document["text"] + "xof\n" == done.stdout
