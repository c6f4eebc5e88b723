"""Images with several labels each, from a folder and a CSV file."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import DataError, SpecError, ZooWarning
from zoo_images.image_set import ImageSet
from zoo_images.labeled import labeled

NAMES = [f"{n}.png" for n in range(8)]
LABELS = ["cat", "cat dog", "", "dog", "emu cat", "emu", "", "cat"]
LISTED = "file,labels\n" + "".join(f"{n},{those}\n" for n, those in zip(NAMES, LABELS, strict=True))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of eight images, the number of each times 20 as its gray."""
    for number, name in enumerate(NAMES):
        Image.new("RGB", (12, 12), (20 * number,) * 3).save(tmp_path / name)
    return tmp_path


def opened(home: Path, table: str = LISTED, name: str = "labels.csv", **options: Any) -> ImageSet:
    (home / name).write_text(table, encoding="utf-8")
    return labeled(root=str(home), size=8, **options)


def found(data: ImageSet) -> dict[str, set[str]]:
    """The labels of each image, by its gray."""
    classes, items = data.preprocess["classes"], {}
    for split in ("train", "val", "test"):
        part = data.split(split)
        for image, labels in zip(part.images, part.labels, strict=True):
            names = {classes[k] for k in labels.nonzero()[:, 0].tolist()}
            items[NAMES[round(int(image[0, 0, 0]) / 20)]] = names
    return items


EXPECTED = {name: {*those.split()} for name, those in zip(NAMES, LABELS, strict=True)}


def test_labels_are_listed_in_a_column(home: Path) -> None:
    data = opened(home, val_share=0.25, test_share=0.25)
    assert data.preprocess["classes"] == ["cat", "dog", "emu"]
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [4, 2, 2]
    assert found(data) == EXPECTED
    labels = data.split("train").labels
    assert (labels.dtype, labels.shape) == (torch.uint8, (4, 3))


@pytest.mark.parametrize("sign", ["|", ";", " | "])
def test_labels_may_hold_spaces_if_a_sign_separates_them(home: Path, sign: str) -> None:
    rows = [
        f"{name},{those.replace(' ', sign).replace('emu', 'big emu')}"
        for name, those in zip(NAMES, LABELS, strict=True)
    ]
    data = opened(home, "\n".join(["image,Tags", *rows]))
    assert data.preprocess["classes"] == ["big emu", "cat", "dog"]
    assert found(data)["4.png"] == {"big emu", "cat"}


def test_labels_between_commas_are_quoted(home: Path) -> None:
    with pytest.warns(ZooWarning, match="labels.csv: several classes per image; 2 classes: 'a', 'b'$"):
        assert opened(home, 'file,tags\n0.png,"a, b"\n1.png,b\n').preprocess["classes"] == ["a", "b"]


def test_a_column_of_one_label_is_for_the_dataset_folder(home: Path) -> None:
    with pytest.raises(
        DataError, match=r"labels\.csv has a column `label`, so each image has one class"
    ) as caught:
        opened(home, "file,label\n0.png,a b\n")
    assert f"`zoo train ARCHITECTURE folder --data root={home}`" in str(caught.value.hint)


@pytest.mark.parametrize(("ones", "zeros"), [("1", "0"), ("1.0", "0.0"), ("True", "False")])
def test_each_class_may_have_a_column(home: Path, ones: str, zeros: str) -> None:
    def marks(name: str) -> str:
        return ",".join(ones if k in EXPECTED[name] else zeros for k in ("dog", "cat", "emu"))

    data = opened(home, "\ufeffid,dog,cat,emu\n" + "".join(f"{name},{marks(name)}\n" for name in NAMES))
    assert data.preprocess["classes"] == ["dog", "cat", "emu"], "in the order of the columns"
    assert found(data) == EXPECTED


def test_images_are_found_without_their_folder_or_suffix(home: Path) -> None:
    for name in NAMES[::2]:
        (home / "deep" / "er").mkdir(parents=True, exist_ok=True)
        (home / name).rename(home / "deep" / "er" / name)
    table = LISTED.replace("0.png", "0").replace("2.png", "deep/er/2").replace("1.png", "1")
    data = opened(home, table, val_share=0)
    assert found(data) == EXPECTED
    files = data.split("train").files
    assert files
    assert all(file.exists() for file in files)


def test_tables_of_splits_are_read_as_they_are(home: Path) -> None:
    head, *rows = LISTED.splitlines()
    for name, part in (("val.csv", rows[5:7]), ("test.csv", rows[7:])):
        (home / name).write_text("\n".join([head, *part]))
    data = opened(home, "\n".join([head, *rows[:5]]), "train.csv")
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [5, 2, 1]
    assert found(data) == EXPECTED


def test_the_draw_depends_on_names_and_seed_and_the_fingerprint_on_everything(home: Path) -> None:
    def drawn(data: ImageSet) -> list[str]:
        return [file.name for file in data.split("test").files or ()]

    shares: dict[str, Any] = {"val_share": 0.25, "test_share": 0.25}
    first, other = opened(home, **shares), opened(home, split_seed=1, **shares)
    assert drawn(first) == drawn(opened(home, LISTED + "\n", **shares)) != drawn(other)
    relabeled = opened(home, LISTED.replace("0.png,cat", "0.png,dog"), **shares)
    prints = {data.fingerprint for data in (first, other, relabeled)}
    assert len(prints) == 3
    assert first.fingerprint == opened(home, **shares).fingerprint


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", r"labels\.csv does not list any images"),
        ("file,labels\n", r"labels\.csv does not list any images"),
        ("file\n0.png\n", r"labels\.csv has no column of labels \(found file\)"),
        ("labels,width\na,1\n", r"labels\.csv has no column of file names \(found labels, width\)"),
        (
            "file;labels\n0.png;a b\n",
            r"the columns of .*labels\.csv are separated by semicolons, not by commas",
        ),
        ("file\ta\n0.png\t1\n", r"are separated by tabs, not by commas"),
        ("file,a,a\n0.png,1,0\n", r"must start with a header of unique column names"),
        ("file,labels\n0.png,\n1.png,\n", r"labels\.csv does not contain any labels"),
        ("file,labels\n0.png,a\n9.png,b\n", r"labels\.csv lists '9\.png', but there is no such image in"),
        ("file,labels\n0.png,a\n\n0.png,b\n", r"labels\.csv, line 4: '0\.png' is already listed"),
        ("file,labels\n0.png,a\n0,b\n", r"labels\.csv lists .*0\.png twice"),
        ("file,labels\n,a\n", r"labels\.csv, line 2: missing image name"),
        ("file,labels\n0.png,a,b\n", r"labels\.csv, line 2: expected 2 columns \(got 3\)"),
        ("file,labels,split\n0.png,a,trian\n", r"line 2: split must be train, val or test \(got 'trian'\)"),
        ("file,labels,split\n0.png,a,test\n", r"does not contain any labels of training images"),
        (
            "file,labels,split\n0.png,a,train\n1.png,b,test\n",
            r"labels\.csv contains the class 'b', which is not in its training split",
        ),
        ("file,cat,width\n0.png,1,12\n", r"labels\.csv, line 2: 'width' must be 0 or 1 \(got '12'\)"),
        ('file,labels\n0.png,"a\n', r"labels\.csv is not a CSV file"),
    ],
)
def test_a_wrong_table_is_refused_in_words(home: Path, table: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(home, table)


def test_what_is_missing_or_ambiguous_is_refused(home: Path) -> None:
    with pytest.raises(DataError, match=r"contains no labels\.csv"):
        labeled(root=str(home))
    with pytest.raises(DataError, match="there is no folder"):
        labeled(root=str(home / "nowhere"))
    (home / "labels.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"labels\.csv is not UTF-8 text"):
        labeled(root=str(home))
    (home / "more").mkdir()
    (home / "more" / "0.png").write_bytes((home / "0.png").read_bytes())
    with pytest.raises(DataError, match=r"lists '0', which could be .*0\.png or .*more/0\.png"):
        opened(home, "file,labels\n0,a\n")
    with pytest.raises(DataError, match=r"val_share=0\.5 and test_share=0\.5 leave none of the 2 images"):
        opened(home, "file,labels\n1.png,a\n2.png,b\n", val_share=0.5, test_share=0.5)


def test_tables_of_splits_must_fit(home: Path) -> None:
    (home / "val.csv").write_text("file,labels\n1.png,a\n")
    with pytest.raises(DataError, match=r"contains no train\.csv"):
        labeled(root=str(home))
    with pytest.raises(DataError, match=r"val\.csv contains the class 'a', which is not in .*train\.csv"):
        opened(home, "file,labels\n0.png,b\n", "train.csv")
    with pytest.raises(DataError, match=r"train\.csv and .*val\.csv both list 1\.png"):
        opened(home, "file,labels\n1.png,a\n", "train.csv")


def test_a_model_learns_them_and_knows_where_they_lie(home: Path, tmp_path: Path) -> None:
    (home / "labels.csv").write_text(LISTED)
    data = {"root": str(home), "size": 16, "val_share": 0, "test_share": 0.25}
    with warnings.catch_warnings(action="ignore"):  # of so few images
        run = zoo.train("mlp", "labeled", data=data, epochs=1, run=tmp_path / "run", progress=False)
        assert run.model.evaluate("test")["count"] == 2
    assert "root" not in run.model.card.dataset.options


def test_images_in_two_tables_or_with_other_labels_are_warned_of(home: Path) -> None:
    (home / "copy.png").write_bytes((home / "0.png").read_bytes())
    (home / "test.csv").write_text("file,labels\n1.png,dog\ncopy.png,dog\n")
    with pytest.warns(zoo.ZooWarning) as caught:
        opened(home, "file,labels\n0.png,cat\n2.png,dog cat\n3.png,cat dog\n", "train.csv")
    assert [str(warning.message) for warning in caught][1:] == [
        "1 of 2 test images is also in train, such as copy.png = 0.png; "
        "1 image is present with different labels, such as 0.png = copy.png"
    ]


def test_labels_in_another_order_are_the_same(home: Path) -> None:
    (home / "copy.png").write_bytes((home / "0.png").read_bytes())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened(home, "file,labels\n0.png,cat dog\ncopy.png,dog cat\n", val_share=0, test_share=0)
    assert not [warning for warning in caught if "different labels" in str(warning.message)]


def test_a_parquet_table_is_read_with_its_lists_its_splits_and_columns_of_others(home: Path) -> None:
    (home / "far").mkdir()
    (home / "7.png").rename(home / "far" / "7.png")
    places = {"7.png": str(home / "far" / "7.png"), "6.png": "./6.png"}
    columns = {
        "width": [12] * 8,
        "path": [places.get(name, name) for name in NAMES],
        "labels": [[f"big {label}" for label in those.split()] for those in LABELS],
        "Split": ["train"] * 5 + ["validation", "val", "test"],
        "bytes": [b"\x89PNG"] * 8,
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), home / "labels.parquet")
    with pytest.warns(ZooWarning, match=r"labels\.parquet: columns that are not used: 'width'$"):
        data = labeled(root=str(home), size=8)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [5, 2, 1]
    assert found(data) == {name: {f"big {label}" for label in those} for name, those in EXPECTED.items()}
    (home / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"labels\.parquet is not a Parquet file: "):
        labeled(root=str(home), size=8)


def test_without_pyarrow_the_extra_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "labels.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        SpecError, match=r"labels\.parquet requires pyarrow, which is not installed"
    ) as caught:
        labeled(root=str(home), size=8)
    assert "[data]" in str(caught.value.hint)


def test_a_path_is_that_image_and_a_name_may_be_any(home: Path) -> None:
    (home / "more").mkdir()
    (home / "more" / "0.png").write_bytes((home / "1.png").read_bytes())
    data = opened(home, "file,labels\n0.png,a\n1,b\n", val_share=0, test_share=0)
    assert [file.name for file in data.split("train").files or ()] == ["0.png", "1.png"]


def test_classes_are_renamed_and_merged_in_every_split(home: Path) -> None:
    data = opened(home, classes=["emu=bird", "dog=cat"])
    assert data.preprocess["classes"] == ["cat", "bird"]
    new = {"cat": "cat", "dog": "cat", "emu": "bird"}
    assert found(data) == {name: {new[label] for label in those} for name, those in EXPECTED.items()}
    assert data.fingerprint != opened(home).fingerprint


def test_folds_divide_the_images_and_leave_the_test_split(home: Path) -> None:
    def names(data: ImageSet, split: Any) -> set[str]:
        return {file.name for file in data.split(split).files or ()}

    whole = opened(home, test_share=0.25)
    parts = [opened(home, test_share=0.25, fold=fold, folds=3) for fold in range(3)]
    assert {frozenset(names(data, "test")) for data in parts} == {frozenset(names(whole, "test"))}
    held = [names(data, "val") for data in parts]
    assert [len(part) for part in held] == [2, 2, 2]
    assert set().union(*held) == names(whole, "train") | names(whole, "val")
    assert all(
        names(data, "train") == set().union(*held) - part for data, part in zip(parts, held, strict=True)
    )
