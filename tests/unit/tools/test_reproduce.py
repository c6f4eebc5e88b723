"""`zoo reproduce`: weights trained again from their card alone, and what is reported if they differ."""

from __future__ import annotations

import json
import re
import shutil
import sys
import warnings
from pathlib import Path
from platform import python_version
from typing import Any

import pytest
from msgspec import structs

import zoo
from tests.keys import Keys
from tests.shell import zoo as shell
from zoo.errors import OptionError, RunError, SpecError, WeightsError
from zoo.files.cards import Card, read_card
from zoo.files.hashes import sha256_of
from zoo.models import weights
from zoo.registry.registry import Registry
from zoo.testing.finding_weights import find_weights
from zoo.tools.compare.card_differences import differences
from zoo.tools.compare.card_recipe import recipe_of
from zoo.tools.compare.reproduction import prediction_interval
from zoo.tools.share.public_recipe import refuse_private

DATA = {"size": 16, "train_size": 60, "val_size": 20, "test_size": 40}
QUICK: dict[str, Any] = {"data": DATA, "model": {"widths": [4]}, "batch_size": 20, "threads": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of three epochs."""
    folder = tmp_path_factory.mktemp("reproduce") / "original"
    zoo.train("mlp", "shapes", epochs=3, lr=0.5, run=folder, progress=False, **QUICK)
    return folder


@pytest.fixture
def file(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the run's last weights, alone in the current folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(run / "model.safetensors", "shared.safetensors"))


def edited(file: Path, *, half: bool = False, **changes: Any) -> Path:
    """Write weights with other values in their card in place of a file."""
    module, card = weights.load(file, Registry.discover())
    weights.save(file, module, structs.replace(card, **changes), half=half)
    return file


def reproduce(file: Path, **settings: Any) -> dict[str, Any]:
    return zoo.reproduce(file, progress=False, **settings)


def test_the_options_in_published_cards_are_known() -> None:
    registry = Registry.discover()
    known = registry.training_options.keys()
    cards = {name: read_card(find_weights(registry, name)) for name in registry.weights}
    unknown = {name: card.training.keys() - known for name, card in cards.items()}
    assert not any(unknown.values()), unknown


def test_a_file_alone_is_enough(file: Path) -> None:
    found = reproduce(file)
    assert found["bit_equal"]
    assert (found["differs"], found["tensors"]["different"]) == ({}, 0)
    assert found["metrics"] == found["published"] == read_card(file).metrics
    assert Path(found["run"]) == Path("runs/shared-reproduced")


def test_a_result_no_better_than_chance_is_warned_of_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    zoo.train("mlp", "shapes", epochs=1, lr=1e-9, run="original", progress=False, **QUICK)
    shared = shutil.copy("original/model.safetensors", "shared.safetensors")
    with warnings.catch_warnings(record=True, action="always") as found:
        reproduce(Path(shared))
    splits = [
        str(warning.message).split()[3] for warning in found if "no better than" in str(warning.message)
    ]
    assert sorted({*splits}) == sorted(splits) != []


@pytest.mark.parametrize("equal", [True, False])
def test_an_attestation_states_the_outcome_and_nothing_about_the_machine(
    equal: bool, file: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not equal:
        edited(file, seed=7)
    found = reproduce(file, attest=keys.ada, out="out")
    path = Path(found["attestation"])
    assert re.fullmatch(rf"shared-{sha256_of(file)[:16]}-reproduce-[0-9a-f]{{8}}\.json", path.name)
    statement = json.loads(path.read_text())
    assert statement["subject"] == [{"name": "shared", "digest": {"sha256": sha256_of(file)}}]
    predicate, card = statement["predicate"], read_card(file)
    if equal:
        assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
        build = predicate["buildDefinition"]
        recipe, used = build["externalParameters"]["recipe"], build["resolvedDependencies"]
        assert build["internalParameters"]["threads"] == 1
        assert predicate["runDetails"]["builder"]["version"] == {**card.versions, "python": python_version()}
    else:
        assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
        recipe, used = predicate["zoo_recipe"], predicate["configuration"]
        assert predicate["passedTests" if found["primary"]["ok"] else "failedTests"] == ["val accuracy"]
    assert (recipe["architecture"], recipe["seed"]) == (card.architecture, card.seed)
    assert used == [{"name": "images/shapes", "digest": {"sha256": card.dataset.fingerprint}}]
    refuse_private(statement, "it")
    done = shell("reproduce", file, "--attest", keys.eve)
    assert f"wrote attestations/shared-{sha256_of(file)[:16]}-reproduce-" in done.stdout


def test_an_attestation_needs_a_key(file: Path) -> None:
    with pytest.raises(OptionError, match="out is the folder for an attestation, which requires a key"):
        reproduce(file, out="x")
    said = shell("reproduce", file, "--out", "x").stderr
    assert "--out is the folder" in said
    assert "--attest KEY" in said
    with pytest.raises(OptionError, match="the key to sign with is not a file"):
        reproduce(file, attest="no-such-key")
    assert not Path("runs").exists()


def test_matrices_stored_as_bf16_are_compared_after_rounding(file: Path) -> None:
    edited(file, half=True)
    found = reproduce(file)
    assert found["bit_equal"]
    rounded = zoo.load(file).evaluate("val", progress=False)["metrics"]
    assert found["metrics"]["val"] == rounded != read_card(file).metrics["val"]


def test_it_continues_a_training_that_was_interrupted(file: Path) -> None:
    registry = Registry.discover()
    recipe = recipe_of(read_card(file), registry, data={}, base="")
    zoo.train(recipe, run="again", stop_after=2, progress=False)
    before = zoo.Run("again").history
    assert reproduce(file, run="again")["bit_equal"]
    assert len(before) == 2
    assert zoo.Run("again").history[:2] == before  # with the seconds that each epoch took


def test_the_best_weights_are_compared_with_the_best(run: Path, file: Path) -> None:
    best = Path(shutil.copy(run / "best.safetensors", file))
    assert read_card(best).progress["epochs"] < 3
    assert reproduce(best)["bit_equal"]


def test_what_differs_is_reported(file: Path) -> None:
    card = read_card(file)
    edited(file, seed=7, versions={**card.versions, "torch": "1.0.0"}, metrics={"val": {"accuracy": 0.05}})
    found = reproduce(file)
    assert found["differs"] == {"torch": ["1.0.0", card.versions["torch"]]}
    assert "torch" not in found["unknown"]
    edited(file, seed=0)  # the run is that of seed 7
    with pytest.raises(RunError, match="different run") as caught:
        reproduce(file)
    assert caught.value.hint == "choose a different --run folder"


@pytest.mark.parametrize(
    ("by_seed", "ok"),
    [
        ({"0": 0.05, "1": 0.15}, True),
        ({"0": 0.9, "1": 0.901, "2": 0.902}, False),
        ({}, False),
    ],
    ids=["seeds that vary", "seeds that are all better", "one seed"],
)
def test_weights_that_differ_are_compared_with_the_seeds(
    by_seed: dict[str, float], ok: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.Model, "evaluate", lambda *_, **__: {"metrics": {"accuracy": 0.1}})
    edited(file, seed=5, by_seed=by_seed, metrics={"val": {"accuracy": 0.95}})
    found = reproduce(file, run="again")
    module, card = weights.load(Path("again/model.safetensors"), Registry.discover())
    assert card.seed == 5
    assert module is not None
    assert not found["bit_equal"]
    assert (found["tensors"]["different"], found["tensors"]["total"]) == (4, 4)
    assert found["primary"]["ok"] is ok
    done = shell("reproduce", file, "--run", "again")
    assert done.returncode == int(not ok)
    assert "not bit-equal: 4 of 4 tensors differ" in done.stdout


def test_scipy_is_needed_only_for_the_interval_of_the_seeds(file: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    metrics = read_card(file).metrics
    assert reproduce(edited(file, by_seed={"0": 0.1, "1": 0.2}))["bit_equal"]
    edited(file, seed=5, metrics={**metrics, "val": {**metrics["val"], "accuracy": 0.95}})
    with pytest.raises(SpecError, match="requires scipy") as caught:
        reproduce(file, run="again")
    assert "[stats]" in str(caught.value.hint)


def test_weights_with_one_seed_are_compared_with_their_interval(file: Path, monkeypatch) -> None:
    result = {"metrics": {"accuracy": 0.1}, "intervals": {"accuracy": [0.0, 0.2]}}
    monkeypatch.setattr(zoo.Model, "evaluate", lambda *_, **__: result)
    edited(file, seed=5, metrics={"val": {"accuracy": 0.15}})
    primary = reproduce(file)["primary"]
    assert (primary["ok"], primary["of"], primary["interval"]) == (True, "items", [0.0, 0.2])


def test_the_interval_of_another_seed_is_students() -> None:
    # t(0.975, 2) = 4.302653, times sqrt(1 + 1/3)
    assert prediction_interval([0.0, 1.0, 2.0]) == pytest.approx([1 - 4.968276, 1 + 4.968276], abs=1e-5)


def test_options_of_other_tasks_are_left_out(file: Path) -> None:
    card = read_card(file)
    edited(file, training={**card.training, "bptt": 64, "batching": "stateful"})
    found = reproduce(file)
    assert found["bit_equal"]
    assert found["differs"] == {}


def test_an_option_that_an_older_card_lacks_is_no_difference(file: Path) -> None:
    card = read_card(file)
    training = {name: value for name, value in card.training.items() if name != "compile"}
    arguments = {name: value for name, value in card.arguments.items() if name != "dropout"}
    assert len(arguments) < len(card.arguments)
    found = reproduce(edited(file, training=training, arguments=arguments))
    assert (found["bit_equal"], found["differs"]) == (True, {})


def test_an_option_that_zoo_no_longer_has_is_reported(file: Path) -> None:
    edited(file, training={**read_card(file).training, "sharpness": 3})
    assert reproduce(file)["differs"] == {"sharpness": [3, None]}


@pytest.mark.parametrize("name", ["threads", "processor", "device", "commit"])
def test_what_a_card_does_not_record_is_unknown(name: str, file: Path) -> None:
    card = read_card(file)
    known = {"threads": 1, "processor": "A", "device": "cpu", "commit": "abc"}
    ours = structs.replace(card, environment=structs.replace(card.environment, **known))
    empty = structs.replace(ours, environment=structs.replace(ours.environment, **{name: 0 or ""}))
    assert differences(empty, ours, Registry.discover()) == ({}, [name])
    assert differences(ours, ours, Registry.discover()) == ({}, [])


def test_options_that_changed_during_training_are_reported(file: Path) -> None:
    card = read_card(file)
    changed = structs.replace(card, changes=("epoch 2: lr 0.1 -> 0.05",))
    differing, _ = differences(changed, card, Registry.discover())
    assert differing == {"options changed during training": [["epoch 2: lr 0.1 -> 0.05"], []]}


def test_other_data_is_named_and_warned_of(file: Path) -> None:
    card = read_card(file)
    edited(file, dataset=structs.replace(card.dataset, fingerprint="0" * 64))
    with pytest.warns(zoo.ZooWarning, match="not the images/shapes data that the model was trained on"):
        found = reproduce(file)
    assert found["differs"] == {"data": ["0" * 64, card.dataset.fingerprint]}


@pytest.fixture
def tuned(file: Path) -> Path:
    """Return weights that were fine-tuned from the file."""
    zoo.train("mlp", "shapes", from_weights=file, epochs=1, run="tuned", progress=False, **QUICK)
    return Path("tuned/model.safetensors")


@pytest.mark.filterwarnings("ignore:starting from:zoo.ZooWarning", "ignore:options chosen:zoo.ZooWarning")
def test_fine_tuned_weights_need_those_that_they_started_from(tuned: Path, file: Path) -> None:
    with pytest.raises(WeightsError, match="started from weights that are not published: convnet/mlp"):
        reproduce(tuned)
    with pytest.raises(OptionError, match="did not start from"):
        reproduce(tuned, from_weights=tuned)
    with pytest.raises(OptionError, match="but from random weights"):
        reproduce(file, from_weights=file)
    assert reproduce(tuned, from_weights=file)["bit_equal"]


def test_published_weights_are_found_by_their_checksum(file: Path, monkeypatch) -> None:
    registry = Registry.discover()
    published = zoo.load("cifar10-mlp", progress=False)
    base = {"architecture": "convnet/mlp", "dataset": "x", "sha256": published.card.sha256}
    seen: list[Any] = []

    def stop(recipe: zoo.Recipe, **_: Any) -> None:
        seen.append(recipe.from_weights)
        raise RunError("enough")

    monkeypatch.setattr("zoo.tools.compare.reproduction.train", stop)
    with pytest.raises(RunError, match="enough"):
        reproduce(edited(file, base_model=base), registry=registry)
    assert seen == [str(published.path.absolute())]


def test_weights_are_not_compared_with_themselves(run: Path) -> None:
    with pytest.raises(RunError, match="contains the weights to reproduce"):
        reproduce(run, run=run)


def test_a_run_that_is_not_finished_is_refused(file: Path) -> None:
    zoo.train("mlp", "shapes", epochs=2, stop_after=1, run="half", progress=False, **QUICK)
    shutil.rmtree("half/best.safetensors", ignore_errors=True)
    Path("half/best.safetensors").unlink(missing_ok=True)
    with (
        pytest.warns(zoo.ZooWarning, match="not finished"),
        pytest.raises(WeightsError, match="unfinished"),
    ):
        reproduce(Path("half"))
    assert file.exists()


def test_the_command_prints_what_it_found(file: Path) -> None:
    done = shell("reproduce", file, "--quiet", columns=80)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{file}: bit-equal: all 4 tensors"
    done = shell("reproduce", file, "--quiet", "--json")
    found = json.loads(done.stdout)
    assert {"weights", "bit_equal", "differs", "metrics"} <= found.keys()
    assert found["bit_equal"] is True


def test_the_command_cuts_checksums(file: Path) -> None:
    card = read_card(file)
    edited(file, dataset=structs.replace(card.dataset, fingerprint="0" * 64))
    done = shell("reproduce", file, "--quiet", columns=80)
    assert f"data     {'0' * 12}  {card.dataset.fingerprint[:12]}" in done.stdout.splitlines()


def test_a_card_without_metrics_is_compared_by_its_tensors(file: Path) -> None:
    found = reproduce(edited(file, metrics={}))
    assert (found["bit_equal"], found["metrics"], found["primary"]) == (True, {}, None)


def test_the_recipe_of_a_card_has_every_option(file: Path) -> None:
    card: Card = read_card(file)
    recipe = recipe_of(card, Registry.discover(), data={"size": 32}, base="")
    assert (recipe.seed, recipe.threads, recipe.train) == (0, 1, card.training)
    assert recipe.data == DATA | {"size": 32}
    assert "num_classes" not in recipe.model
