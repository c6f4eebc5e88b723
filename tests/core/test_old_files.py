"""Files of earlier schemas: each loads, or is refused by the number of its schema.

`tests/old` holds one of each schema that was written to files others may have: the weights come from a run of
three epochs, the checkpoints from one that was stopped in its second.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from zoo import Experiment
from zoo.errors import RunError, WeightsError
from zoo.files import cards, storage
from zoo.models import weights
from zoo.registry.registry import Registry
from zoo.training import directory, train

OLD = Path(__file__).parents[1] / "old"
EXPERIMENT = Experiment(
    architecture="lstm",
    dataset="files",
    model={"hidden_size": 4, "embedding_dim": 3, "num_layers": 1},
    train={"epochs": 3, "batch_size": 4, "bptt": 16, "precision": "fp32"},
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to run in; the text is beside it, named as when the files were made."""
    shutil.copy(OLD / "fox.txt", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.mark.parametrize("schema", cards.READABLE)
def test_weights_of_each_schema_load(schema: int, registry: Registry) -> None:
    path = OLD / f"weights-{schema}.safetensors"
    model, card = weights.load(path, registry)
    assert card.schema == schema
    assert card.progress == {"epochs": 3, "steps": 14}
    assert sum(parameter.numel() for parameter in model.parameters()) > 0


@pytest.mark.parametrize("schema", directory.READABLE)
def test_a_run_goes_on_from_a_checkpoint_of_each_schema(schema: int, run: Path, registry: Registry) -> None:
    shutil.copy(OLD / f"checkpoint-{schema}.safetensors", run / "checkpoint.safetensors")
    experiment = Experiment(**EXPERIMENT.to_dict() | {"data": {"paths": "fox.txt"}})
    done = train(experiment, registry, directory=run, resume=True)
    assert (done.epochs, done.steps) == (3, 14)
    header = storage.read_header(run / "checkpoint.safetensors")
    assert json.loads(header.metadata[directory.KEY])["schema"] == directory.SCHEMA


@pytest.mark.parametrize("schema", [1, 2, directory.SCHEMA + 1])
def test_a_checkpoint_of_another_schema_is_refused_by_its_number(
    schema: int, run: Path, registry: Registry
) -> None:
    data = {"schema": schema, "sha256": "0" * 64}
    storage.write_container(run / "checkpoint.safetensors", [], {directory.KEY: json.dumps(data)})
    experiment = Experiment(**EXPERIMENT.to_dict() | {"data": {"paths": "fox.txt"}})
    with pytest.raises(RunError, match=f"is a checkpoint of schema {schema}, and this zoo reads"):
        train(experiment, registry, directory=run, resume=True)


@pytest.mark.parametrize("schema", [0, cards.SCHEMA + 1])
def test_weights_of_another_schema_are_refused_by_its_number(schema: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    storage.write_container(path, [], {cards.KEY: json.dumps({"schema": schema})})
    with pytest.raises(WeightsError, match=f"has a card of schema {schema}, and this zoo reads 1 and 2"):
        cards.read_card(path)
