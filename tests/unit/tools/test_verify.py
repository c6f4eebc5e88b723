"""`zoo verify`: which published metrics agree with a new measurement, and which do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import zoo
from tests.keys import Keys
from tests.shell import zoo as shell
from zoo.errors import OptionError, WeightsError, ZooWarning
from zoo.files.cards import read_card
from zoo.files.hashes import sha256_of
from zoo.models import weights
from zoo.registry.registry import Registry
from zoo.tools.compare.tolerance import Machine, disagreement

DATA = {"size": 16, "train_size": 60, "val_size": 24, "test_size": 40}
RECIPE = """
schema = 1
[recipes.tiny]
architecture = "convnet/mlp"
dataset = "images/shapes"
data = {{ size = 16, train_size = 60, val_size = 24, test_size = 40 }}
model = {{ widths = [4] }}
train = {{ epochs = 1, batch_size = 20, lr = {lr} }}
[weights.tiny]
recipe = "tiny"
file = "tiny.safetensors"
sha256 = "{sha256}"
bytes = {size}
params = {params}
metrics = {metrics}
"""
PARAMS = 3 * 16 * 16 * 4 + 4 + 4 * 8 + 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights whose card has metrics of 24 val images and 40 test images."""
    folder = tmp_path_factory.mktemp("verify")
    run = zoo.train(
        *("mlp", "shapes"),
        data=DATA,
        model={"widths": [4]},
        epochs=1,
        batch_size=20,
        lr=0.05,
        threads=1,
        run=folder / "run",
        progress=False,
    )
    metrics = {split: run.last.evaluate(split, progress=False)["metrics"] for split in ("val", "test")}
    return edited(folder / "run" / "model.safetensors", folder / "tiny.safetensors", metrics=metrics)


def edited(file: Path, out: Path, **changes: Any) -> Path:
    """Write weights with other values in their card."""
    module, card = weights.load(file, Registry.discover())
    weights.save(out, module, structs.replace(card, **changes))
    return out


def with_metric(file: Path, out: Path, split: str, metric: str, by: float) -> Path:
    """Write weights whose card has one metric that is higher by some amount."""
    metrics = read_card(file).metrics
    metrics = {**metrics, split: {**metrics[split], metric: metrics[split][metric] + by}}
    return edited(file, out, metrics=metrics)


def published(folder: Path, file: Path, *, lr: float = 0.05, **changes: Any) -> None:
    """Write a registry.toml that publishes a file."""
    card = read_card(file)
    (folder / "tiny.safetensors").write_bytes(file.read_bytes())
    entry = {"size": file.stat().st_size, "params": PARAMS, "sha256": sha256_of(file)} | changes
    metrics = json.dumps(changes.pop("metrics", card.metrics)).replace(":", " =")
    (folder / "registry.toml").write_text(RECIPE.format(**{**entry, "metrics": metrics, "lr": lr}))


def failing(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["split"], row["metric"]) for row in rows if row["ok"] is False]


def test_metrics_measured_again_are_equal(trained: Path) -> None:
    rows = zoo.verify(trained, progress=False)
    assert [(row["split"], row["metric"], row["ok"], row["reason"]) for row in rows] == [
        (split, metric, True, "") for split in ("test", "val") for metric in ("accuracy", "loss")
    ]
    assert all(row["published"] == row["measured"] for row in rows)


def test_an_attestation_states_which_metrics_agree(
    trained: Path, tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = with_metric(trained, tmp_path / "edited.safetensors", "test", "accuracy", 1 / 40)
    rows = zoo.verify(file, attest=keys.ada, progress=False)
    (path,) = {row["attestation"] for row in rows}
    predicate = json.loads(Path(path).read_text())["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["failedTests"] == ["test accuracy"]
    assert predicate["passedTests"] == ["test loss", "val accuracy", "val loss"]
    fingerprint = read_card(trained).dataset.fingerprint
    assert predicate["configuration"] == [{"name": "images/shapes", "digest": {"sha256": fingerprint}}]
    other = zoo.verify(trained, attest=keys.ada, data={"seed": 5}, progress=False)
    (path,) = {row["attestation"] for row in other}
    (used,) = json.loads(Path(path).read_text())["predicate"]["configuration"]
    assert used["digest"]["sha256"] != fingerprint, "that of the data that was used"


def test_an_attestation_does_not_name_the_user_as_a_file_may(
    trained: Path, tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "grace")
    file = shutil.copy(trained, tmp_path / "grace.safetensors")
    rows = zoo.verify(file, attest=keys.ada, out=tmp_path / "out", progress=False)
    path = Path(rows[0]["attestation"])
    assert path.name.startswith("weights-")
    assert b"grace" not in path.read_bytes()


def test_metrics_that_cannot_be_measured_are_not_attested(
    trained: Path, tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    card = read_card(trained)
    edited(trained, tmp_path / "edited.safetensors", metrics={**card.metrics, "val": {"error": 0.5}})
    with pytest.warns(ZooWarning, match=r"edited\.safetensors is not attested: the metric is not among"):
        rows = zoo.verify("edited.safetensors", attest=keys.ada, progress=False)
    assert {row["attestation"] for row in rows} == {None}
    assert not Path("attestations").exists()


@pytest.mark.parametrize(
    ("split", "metric", "by", "reason"),
    [
        ("test", "accuracy", 1 / 40, "differs by 1 of 40"),
        ("val", "loss", -0.0001, "differs by 0.0001"),
    ],
)
def test_one_edited_metric_is_found(
    split: str, metric: str, by: float, reason: str, trained: Path, tmp_path: Path
) -> None:
    file = with_metric(trained, tmp_path / "edited.safetensors", split, metric, by)
    rows = zoo.verify(file, progress=False)
    assert failing(rows) == [(split, metric)]
    assert [row["reason"] for row in rows if row["reason"]] == [reason]


@pytest.mark.parametrize(
    ("published", "measured", "same", "interval", "agrees"),
    [
        (0.75, 0.76, True, [0.7, 0.8], False),
        (0.75, 0.76, False, [0.7, 0.8], True),
        (0.69, 0.76, False, [0.7, 0.8], False),
        (0.75, 0.76, False, None, False),
        (1.4141, 1.4142135, False, None, True),
        (1.4141, 1.41414, True, None, True),
        (1.414, 1.4142135, True, None, False),
        (1.41420000001, 1.4142135, True, None, True),
        (1.41410000001, 1.4142135, True, None, False),
    ],
)
def test_an_interval_counts_only_on_another_kind_of_machine(
    published: float, measured: float, same: bool, interval: list[float] | None, agrees: bool
) -> None:
    found = disagreement(published, measured, count=100, same=same, interval=interval)
    assert (found == "") is agrees


def test_four_decimals_are_enough_for_a_count_of_many_items() -> None:
    assert disagreement(0.3333, 10_000 / 30_000, count=30_000, same=True, interval=None) == ""
    assert disagreement(0.3333, 10_001 / 30_000, count=30_000, same=True, interval=None)
    assert disagreement(0.33330001, 10_000 / 30_000, count=30_000, same=True, interval=None)


def test_a_published_interval_that_is_too_narrow_is_found(trained: Path, tmp_path: Path) -> None:
    low, high = zoo.load(trained).evaluate("test", progress=False)["intervals"]["accuracy"]
    file = edited(trained, tmp_path / "a.safetensors", intervals={"test": {"accuracy": (low, high)}})
    assert failing(zoo.verify(file, progress=False)) == []
    narrow = (low, high - 0.2 * (high - low))
    file = edited(trained, tmp_path / "b.safetensors", intervals={"test": {"accuracy": narrow}})
    (row,) = (row for row in zoo.verify(file, progress=False) if not row["ok"])
    assert (row["split"], row["metric"], row["interval"]) == ("test", "accuracy", [low, high])
    assert row["reason"].startswith("the published interval is ")


@pytest.mark.parametrize(
    ("processor", "torch", "differing"),
    [("", "2.0.0", []), ("A", "2.0.0", []), ("B", "2.0.0", ["processor B"]), ("A", "1.0.0", ["torch 1.0.0"])],
)
def test_what_a_card_does_not_record_is_taken_to_be_the_same(
    processor: str, torch: str, differing: list[str], trained: Path
) -> None:
    card = read_card(trained)
    environment = structs.replace(card.environment, processor=processor)
    card = structs.replace(card, environment=environment, versions={**card.versions, "torch": torch})
    assert Machine("A", "cpu", "2.0.0").differing(card) == differing


def test_another_version_of_torch_is_named(trained: Path, tmp_path: Path) -> None:
    card = read_card(trained)
    file = with_metric(trained, tmp_path / "a.safetensors", "test", "loss", 0.5)
    file = edited(file, tmp_path / "b.safetensors", versions={**card.versions, "torch": "1.0.0"})
    (row,) = (row for row in zoo.verify(file, progress=False) if not row["ok"])
    assert row["reason"].startswith("differs by 0.5, and is outside ")
    assert row["reason"].endswith(" (published with torch 1.0.0)")


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, whose registry.toml publishes the weights as `tiny`."""
    published(tmp_path, trained)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_metric_that_only_the_registry_states_differently_is_found(folder: Path, trained: Path) -> None:
    metrics = read_card(trained).metrics
    wrong = metrics["test"]["accuracy"] + 0.1
    published(folder, trained, metrics={**metrics, "test": {**metrics["test"], "accuracy": wrong}})
    (row,) = (row for row in zoo.verify("tiny", progress=False) if not row["ok"])
    assert (row["split"], row["metric"], row["published"]) == ("test", "accuracy", wrong)
    assert f"the card states {metrics['test']['accuracy']}, but the registry states {wrong}" in row["reason"]


def test_a_metric_that_the_registry_lacks_is_found(folder: Path, trained: Path) -> None:
    published(folder, trained, metrics={"test": read_card(trained).metrics["test"]})
    assert failing(zoo.verify("tiny", progress=False)) == [("val", "accuracy"), ("val", "loss")]


def test_a_disagreement_is_reported_without_the_data(folder: Path, trained: Path) -> None:
    dataset = structs.replace(read_card(trained).dataset, name="images/mnist", options={})
    file = edited(trained, folder / "digits.safetensors", dataset=dataset)
    published(folder, file, metrics={"test": {"accuracy": 0.5}})
    row = next(row for row in zoo.verify("tiny", progress=False) if row["metric"] == "accuracy")
    assert row["reason"].startswith("the card states ")
    assert "no data: " in row["reason"]


@pytest.mark.parametrize(
    ("changes", "name"), [({"size": 1}, "bytes"), ({"params": 7}, "params"), ({"lr": 0.1}, "lr")]
)
def test_a_registry_that_describes_another_file_is_found(
    changes: dict[str, Any], name: str, folder: Path, trained: Path
) -> None:
    published(folder, trained, **changes)
    assert failing(zoo.verify("tiny", progress=False)) == [("", name)]


def test_a_card_whose_own_seed_has_another_result_is_found(trained: Path, tmp_path: Path) -> None:
    file = edited(trained, tmp_path / "x.safetensors", by_seed={"0": 0.99, "1": 0.5})
    (row,) = (row for row in zoo.verify(file, progress=False) if not row["ok"])
    assert (row["metric"], row["published"]) == ("by_seed.0", 0.99)


def test_a_damaged_file_does_not_hide_the_others(folder: Path, trained: Path) -> None:
    with (folder / "tiny.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    rows = zoo.verify("tiny", trained, progress=False)
    assert failing(rows) == [("", "file")]
    assert "sha256" in rows[0]["reason"]
    assert [row["ok"] for row in rows[1:]] == [True] * 4


def test_missing_data_is_not_verified(folder: Path, trained: Path) -> None:
    dataset = structs.replace(read_card(trained).dataset, name="images/mnist", options={})
    file = edited(trained, folder / "digits.safetensors", dataset=dataset)
    rows = zoo.verify(file, trained, progress=False)
    assert [(row["ok"], row["measured"]) for row in rows[:4]] == [(False, None)] * 4
    assert all(row["reason"].startswith("no data: ") for row in rows[:4])
    assert [row["ok"] for row in rows[4:]] == [True] * 4


def test_a_metric_that_does_not_exist_is_not_verified(trained: Path, tmp_path: Path) -> None:
    file = edited(trained, tmp_path / "x.safetensors", metrics={"test": {"beauty": 1.0}})
    (row,) = zoo.verify(file, progress=False)
    assert (row["ok"], row["reason"]) == (False, "the metric is not among those measured: accuracy, loss")


def test_weights_without_metrics_have_nothing_to_verify(trained: Path, tmp_path: Path) -> None:
    file = edited(trained, tmp_path / "x.safetensors", metrics={})
    (row,) = zoo.verify(file, progress=False)
    assert row["ok"] is None
    assert shell("verify", file).returncode == 0


def test_a_path_is_never_an_id(trained: Path, folder: Path) -> None:
    (folder / "tiny").mkdir()
    edited(trained, folder / "tiny" / "model.safetensors", metrics={"test": {"loss": 9.0}})
    assert failing(zoo.verify(Path("tiny"), progress=False)) == [("test", "loss")]
    assert [row["ok"] for row in zoo.verify("tiny", progress=False)] == [True] * 4


def test_a_wrong_name_ends_it_before_anything_is_measured(trained: Path, monkeypatch) -> None:
    monkeypatch.setattr(zoo.Model, "evaluate", lambda *_, **__: pytest.fail("measured"))
    with pytest.raises(WeightsError, match="no-such"):
        zoo.verify(trained, "no-such", progress=False)
    with pytest.raises(OptionError, match="no weights to verify"):
        zoo.verify(progress=False)


def test_the_command_prints_a_table_and_fails_if_a_metric_does(trained: Path, tmp_path: Path) -> None:
    done = shell("verify", trained, columns=80)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "verified 1 of 1 weights, 4 of 4 metrics"
    file = with_metric(trained, tmp_path / "edited.safetensors", "test", "accuracy", 1 / 40)
    done = shell("verify", file, trained)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "verified 1 of 2 weights, 7 of 8 metrics"
    assert f"{file}: test accuracy: differs by 1 of 40" in done.stdout
    done = shell("verify", file, "--json")
    assert done.returncode == 1
    rows = json.loads(done.stdout)
    assert {"weights", "metric", "published", "measured", "ok"} <= rows[0].keys()
    assert [row["ok"] for row in rows].count(False) == 1


def test_all_means_all_published_weights(folder: Path, monkeypatch) -> None:
    named: list[str] = []
    monkeypatch.setattr("zoo.cli.verify.verify", lambda *names, **_: named.extend(names) or [])
    assert shell("verify", "--all", cwd=folder).returncode == 0
    assert named == [*Registry.discover().weights]
    assert "tiny" in named


@pytest.mark.parametrize("words", [[], ["--all", "tiny"]])
def test_the_command_needs_either_names_or_all(words: list[str]) -> None:
    assert shell("verify", *words).returncode == 2
