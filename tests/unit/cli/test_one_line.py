"""What goes wrong at the terminal: one line that is true, the next step, and the documented exit code."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.shell import TEXT, zoo

TRAIN = "train mlp shapes --run out"

# What was typed, the exit code, and what the line and its hint must say
MISTAKES = [
    # names, and kinds of names
    ("train resnet20 imagenet", 1, "'folder' reads images of your own, with root=FOLDER"),
    ("show imagenet", 1, "'folder' reads images of your own"),
    ("show resnet2", 1, "did you mean 'resnet20'?"),
    ("train resnet20", 1, "resnet20 is an architecture and needs a dataset: resnet20 DATASET"),
    ("train shapes", 1, "shapes is a dataset and needs an architecture: ARCHITECTURE shapes"),
    ("train shapes resnet20", 1, "the architecture comes first: resnet20 shapes"),
    ("train lstm resnet20", 1, "unknown dataset 'resnet20'; it is an architecture"),
    ("train resnet20 stdlib", 1, "`zoo list datasets --where task=classification`"),
    ("train 'mlp shapes'", 1, "`zoo train mlp shapes`"),
    ("train mlp shapes --from nothere", 1, "`zoo list weights`"),
    ("inspect cifar10-resnet20x", 1, "did you mean 'cifar10-resnet20'?"),
    ("inspect resnet20", 1, "its published weights: cifar10-resnet20, shapes-resnet20"),
    ("eval ./done --dataset mnst", 1, "did you mean 'mnist'?"),
    ("analyze grad-can ./done", 1, "did you mean 'grad-cam'?"),
    ("export ./done --to tflite", 1, "`zoo list exporters`"),
    ("check nothere", 1, "`zoo plugins` shows all"),
    ("finetune mlp shapes", 2, "`zoo train ARCHITECTURE DATASET --from WEIGHTS`"),
    # files and folders
    ("train pics", 1, "`zoo train ARCHITECTURE folder --data root=pics`"),
    ("train a.txt", 1, "`zoo train ARCHITECTURE files --data paths=a.txt` reads it"),
    ("train done", 1, "`zoo resume done`"),
    ("train done/model.safetensors", 1, "--from done/model.safetensors"),
    ("train resnet20 pics", 1, "`zoo train resnet20 folder --data root=pics` reads it"),
    ("predict model.pth pics", 1, "load_state_dict(torch.load(PATH, weights_only=True))"),
    ("eval junk.ckpt", 1, "a run directory, or a .safetensors file"),
    ("predict pics/red/0.png ./done", 1, "a run directory, or a .safetensors file"),
    ("predict pics done", 1, "did you mean ./pics?"),
    ("eval done", 1, "did you mean ./done?"),
    ("eval ./empty", 1, "empty is a folder without a run"),
    ("resume done/curve.png", 1, "`zoo resume done`"),
    ("show ./done", 1, "`zoo inspect ./done`"),
    ("train mlp shapes --run done", 1, "`zoo eval ./done` measures it"),
    ("train mlp shapes --run a.txt", 1, "choose another --run"),
    # models that cannot
    ("sample ./done", 1, "`zoo predict ./done INPUT`"),
    ("analyze surprisal ./done", 1, "analyzers for convnet/mlp: activations, confusion, neighbors"),
    ("analyze ./done grad-cam", 1, "it is a path, and the analyzer comes first"),
    (
        "eval shapes-resnet20 --dataset ./done",
        1,
        "a path, and the dataset 'folder' reads it, with root=./done",
    ),
    ("analyze cam ./done", 1, "convnet/mlp"),
    # options
    (f"{TRAIN} --learning-rate 0.1", 2, "`--lr 0.1`"),
    (f"{TRAIN} --num-epochs 3", 2, "`--epochs 3`"),
    (f"{TRAIN} --pretrained", 2, "`--from ...`"),
    (f"{TRAIN} --gpu", 2, "`--device cuda`"),
    (f"{TRAIN} --num-workers 4", 2, "`--threads 4`"),
    (f"{TRAIN} --image-size 32", 2, "`--data size=32`"),
    ("train --arch mlp --data shapes", 2, "given without an option: `zoo train ARCHITECTURE DATASET`"),
    ("train mlp --dataset shapes", 2, "given without an option: `zoo train ARCHITECTURE DATASET`"),
    ("predict ./done pics --topk 3", 2, "`--top 3`"),
    ("predict ./done pics --output x.csv", 2, "`--out x.csv`"),
    (f"{TRAIN} --config x.yaml", 2, "`zoo train --help`"),
    # values
    (f"{TRAIN} --lr fast", 2, "--lr must be a number (got 'fast')"),
    (f"{TRAIN} --lr=-1", 2, "--lr must be above 0 (got -1)"),
    (f"{TRAIN} --epochs 0", 2, "--epochs must be at least 1 (got 0)"),
    (f"{TRAIN} --optimizer lion", 2, "--optimizer must be one of 'adam', 'adamw', 'sgd' (got 'lion')"),
    (f"{TRAIN} --device gpu", 2, "there is no device 'gpu'; did you mean 'cuda'?"),
    (f"{TRAIN} --data root", 2, "--data expects KEY=VALUE (got 'root')"),
    (f"{TRAIN} --model widths=wide", 2, "widths must be a list, each item an integer (got 'wide')"),
    ("eval ./done --split training", 2, "did you mean 'train'?"),
    ("eval ./done --batch-size 4", 2, "--batch-size makes no difference to `zoo eval`"),
    # words that are missing or too many
    ("eval", 2, "missing WEIGHTS"),
    ("predict ./done", 2, "missing INPUT"),
    ("eval ./done shapes", 2, "got unexpected extra argument (shapes)"),
    ("new-plugin", 2, "missing NAME"),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images, a text, files of other tools and a finished run."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "empty").mkdir()
    (folder / "pics" / "red").mkdir(parents=True)
    Image.new("RGB", (16, 16), "red").save(folder / "pics" / "red" / "0.png")
    (folder / "a.txt").write_text(TEXT, encoding="utf-8")
    (folder / "junk.ckpt").write_bytes(b"junk")
    torch.save({"weight": torch.zeros(2)}, folder / "model.pth")
    sizes = "--data train_size=32 --data val_size=16 --data test_size=16 --data size=16"
    small = f"--model widths=4 {sizes} --epochs 1 --batch-size 8 --run done"
    done = zoo(*f"train mlp shapes {small}".split(), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(("typed", "code", "says"), MISTAKES, ids=[typed for typed, *_ in MISTAKES])
def test_a_mistake_is_one_line_with_the_next_step(
    typed: str, code: int, says: str, desk: Path, tmp_path: Path
) -> None:
    for item in desk.iterdir():
        (tmp_path / item.name).symlink_to(item)
    wrong = zoo(*shlex.split(typed), cwd=tmp_path)
    assert wrong.returncode == code, wrong.stderr
    assert wrong.stdout == ""
    lines = wrong.stderr.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("zoo: "))
    assert len(lines) - first <= 2, "one line, and at most one with a hint"
    assert says in "\n".join(lines[first:])
    assert not (tmp_path / "out").exists()


def test_too_high_a_learning_rate_gets_a_usable_one(desk: Path, tmp_path: Path) -> None:
    small = "--data train_size=64 --data val_size=0 --epochs 1"
    done = zoo(*f"train mlp shapes --lr 1e6 --run out {small}".split(), cwd=tmp_path)
    assert done.returncode == 3
    assert "try --lr 0.01" in done.stderr.splitlines()[-1]
    assert "`zoo lr-find`" in done.stderr.splitlines()[-1]


def test_there_are_many() -> None:
    assert len(MISTAKES) >= 40
