"""Ordinary mistakes: each message names the mistake and the right spelling, which then works as pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.shell import SMALL_LSTM, TEXT, zoo

REGISTRY = """
schema = 1
[recipes.fox-lstm]
architecture = "charrnn/lstm"
dataset = "text/files"
data = { paths = "fox.txt" }
model = { hidden_size = 4, num_layers = 1 }
train = { epochs = 1, batch_size = 8 }
"""

RECIPE = "train fox-lstm --run out"
FILES = "train lstm files --data paths=fox.txt --model hidden_size=4 --epochs 1 --run out"

# What was typed, the right spelling that the message must contain, and what to type after reading it
MISTAKES = [
    # a training option that is no option, or that another tool calls something else
    (f"{RECIPE} epochs=2", "--epochs 2", f"{RECIPE} --epochs 2"),
    ("train fox-lstm epochs=2 --run out", "--epochs 2", f"{RECIPE} --epochs 2"),
    (f"{RECIPE} lr=0.1", "--lr 0.1", f"{RECIPE} --lr 0.1"),
    (f"{RECIPE} batch_size=4", "--batch-size 4", f"{RECIPE} --batch-size 4"),
    (f"{RECIPE} learning_rate=0.1", "--lr 0.1", f"{RECIPE} --lr 0.1"),
    (f"{RECIPE} --epoch 2", "--epochs 2", f"{RECIPE} --epochs 2"),
    (f"{RECIPE} --epoch=2", "--epochs 2", f"{RECIPE} --epochs 2"),
    (f"{RECIPE} --num-epochs 2", "--epochs 2", f"{RECIPE} --epochs 2"),
    (f"{RECIPE} --max_epochs 2", "--epochs 2", f"{RECIPE} --epochs 2"),
    (f"{RECIPE} --learning-rate 0.1", "--lr 0.1", f"{RECIPE} --lr 0.1"),
    (f"{RECIPE} -lr 0.1", "--lr 0.1", f"{RECIPE} --lr 0.1"),
    (f"{RECIPE} --batch_size 4", "--batch-size 4", f"{RECIPE} --batch-size 4"),
    (f"{RECIPE} --bs 4", "--batch-size 4", f"{RECIPE} --batch-size 4"),
    (f"{RECIPE} --batch 4", "--batch-size 4", f"{RECIPE} --batch-size 4"),
    (f"{RECIPE} --optim sgd", "--optimizer sgd", f"{RECIPE} --optimizer sgd"),
    (f"{RECIPE} --wd 0.1", "--weight-decay 0.1", f"{RECIPE} --weight-decay 0.1"),
    (f"{RECIPE} --scheduler cosine", "--schedule cosine", f"{RECIPE} --schedule cosine"),
    (f"{RECIPE} --warmup 1", "--warmup-epochs 1", f"{RECIPE} --warmup-epochs 1"),
    (f"{RECIPE} --max-grad-norm 1", "--clip-grad-norm 1", f"{RECIPE} --clip-grad-norm 1"),
    (f"{RECIPE} --block-size 8", "--bptt 8", f"{RECIPE} --bptt 8"),
    (f"{RECIPE} --accumulate 2", "--grad-accum-steps 2", f"{RECIPE} --grad-accum-steps 2"),
    (f"{RECIPE} --jitter", "--bptt-jitter", f"{RECIPE} --bptt-jitter"),
    (f"{RECIPE} --optimizer Adam", "'adam'", f"{RECIPE} --optimizer adam"),
    (f"{RECIPE} --precision float32", "'fp32'", f"{RECIPE} --precision fp32"),
    (f"{RECIPE} --epochs two", "--epochs must be an integer (got 'two')", f"{RECIPE} --epochs 2"),
    (f"{RECIPE} --lr 1e-3x", "--lr must be a number (got '1e-3x')", f"{RECIPE} --lr 1e-3"),
    (f"{RECIPE} --augment flip", "augment does not apply to language-modeling", RECIPE),
    (
        "lr-find fox-lstm --epochs 2",
        "--epochs makes no difference to `zoo lr-find`",
        "lr-find fox-lstm --steps 12",
    ),
    ("list models --task x", "--where task=x", "list models --where task=multi-label"),
    # options of the architecture and the dataset
    (f"{RECIPE} --hidden-size 8", "--model hidden_size=8", f"{RECIPE} --model hidden_size=8"),
    (f"{RECIPE} --hidden_size=8", "--model hidden_size=8", f"{RECIPE} --model hidden_size=8"),
    (f"{RECIPE} hidden_size=8", "--model hidden_size=8", f"{RECIPE} --model hidden_size=8"),
    (f"{RECIPE} --dropout 0.1", "--model dropout=0.1", f"{RECIPE} --model dropout=0.1"),
    (f"{RECIPE} --lower true", "--data lower=true", f"{RECIPE} --data lower=true"),
    (f"{FILES} --model num_layers=1 dropout=0.1", "--model dropout=0.1", f"{FILES} --model dropout=0.1"),
    (f"{FILES} --model hiden_size=8", "'hidden_size'", f"{FILES} --model num_layers=1"),
    (f"{FILES} --model lr=0.1", "--lr 0.1", f"{FILES} --lr 0.1"),
    (f"{FILES} --data batch_size=4", "--batch-size 4", f"{FILES} --batch-size 4"),
    (f"{RECIPE} --model num_layers", "--model expects KEY=VALUE (got 'num_layers')", RECIPE),
    ("train lstm files --run out", "--data paths=...", FILES),
    ("train lstm files --data path=fox.txt", "add --data paths=", FILES),
    ("train lstm files --paths fox.txt --epochs 1", "--data paths=fox.txt", FILES),
    # names
    ("train fox_lstm --run out", "'fox-lstm'", RECIPE),
    ("train foxlstm --run out", "'fox-lstm'", RECIPE),
    ("train FOX-LSTM --run out", "'fox-lstm'", RECIPE),
    ("train LSTM files", "'lstm'", FILES),
    ("train lstms files", "'lstm'", FILES),
    ("train lstm file", "'files'", FILES),
    ("train files lstm", "lstm files", FILES),
    ("train lstm", "lstm DATASET", FILES),
    ("train files", "ARCHITECTURE files", FILES),
    ("train fox-lstm files", "leave files out", RECIPE),
    ("train lstm fox.txt --run out", "zoo train lstm files --data paths=fox.txt", FILES),
    ("train lstm ./fox.txt --run out", "zoo train lstm files --data paths=./fox.txt", FILES),
    ("train lstm resnet20", "unknown dataset 'resnet20'", FILES),
    ("list recipies", "recipes", "list recipes"),
    ("show lstn", "'lstm'", "show lstm"),
    ("analyze suprise done", "'surprisal'", "analyze surprisal ./done"),
    # runs, files and other tools' options
    (f"{FILES} --output-dir x", "--run x", FILES.replace("--run out", "--run x")),
    (f"{RECIPE} --from-weights ./done", "--from ./done", f"{RECIPE} --from ./done"),
    (f"{RECIPE} --pretrained ./done", "--from ./done", f"{RECIPE} --from ./done"),
    (f"{RECIPE} --threads=-1", "threads must be at least 0 (got -1)", f"{RECIPE} --threads 1"),
    ("train fox-lstm --run done", "zoo eval ./done", "eval ./done"),
    ("sample ./done --temp 0.5", "--temperature 0.5", "sample ./done --temperature 0.5"),
    ("sample ./done --length 5", "--max-new-tokens 5", "sample ./done --max-new-tokens 5"),
    ("sample ./done --top_k 3", "--top-k 3", "sample ./done --top-k 3"),
    ("sample ./done --num-samples 2", "--samples 2", "sample ./done --samples 2"),
    ("eval ./done --split validation", "'val'", "eval ./done --split val"),
    ("eval ./done --subset val", "--split val", "eval ./done --split val"),
    ("eval done", "./done", "eval ./done"),
    ("eval ./dome", "./done", "eval ./done"),
    ("inspect fox-lstm", "it is a recipe", "show fox-lstm"),
    ("show ./done", "zoo inspect ./done", "inspect ./done"),
    ("resume done/model.safetensors", "zoo resume done", "resume done"),
    # commands
    ("trian fox-lstm", "'train'", RECIPE),
    ("ls", "zoo list", "list"),
    ("evaluate ./done", "'eval'", "eval ./done"),
    ("generate ./done", "zoo sample", "sample ./done"),
    ("info lstm", "zoo show", "show lstm"),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a recipe and a finished run."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "fox.txt").write_text(TEXT, encoding="utf-8")
    (folder / "registry.toml").write_text(REGISTRY)
    done = zoo("train", "fox-lstm", "--run", "done", "--data", "paths=fox.txt", *SMALL_LSTM, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(("typed", "right", "then"), MISTAKES, ids=[typed for typed, *_ in MISTAKES])
def test_a_mistake_is_named_with_the_right_spelling_which_works(
    typed: str, right: str, then: str, desk: Path, tmp_path: Path
) -> None:
    for item in desk.iterdir():
        (tmp_path / item.name).symlink_to(item)
    wrong = zoo(*shlex.split(typed), cwd=tmp_path)
    assert wrong.returncode in (1, 2)
    assert right in wrong.stderr, wrong.stderr
    assert not (tmp_path / "out").exists(), "nothing was trained"
    corrected = zoo(*shlex.split(then), cwd=tmp_path)
    assert corrected.returncode == 0, corrected.stderr


def test_there_are_many() -> None:
    assert len(MISTAKES) >= 60
