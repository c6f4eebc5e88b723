"""MLflow: a run in the store that MLflow's settings select, such as `$MLFLOW_TRACKING_URI`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Literal

from zoo.runs.tracking import TrackedRow, TrackedRun, Tracker

_TAG = "zoo_run"
_STATUS = {"finished": "FINISHED", "stopped": "KILLED"}


class MLflow(Tracker):
    """Log to MLflow. A tag of the MLflow run contains the id by which a later process finds the run.

    Args:
        experiment: name of the experiment, which is created if it does not exist; by default, that of
            MLflow's settings.
    """

    def __init__(self, *, experiment: str = "") -> None:
        self._experiment = experiment
        self._mlflow = import_module("mlflow")
        self._client = self._mlflow.MlflowClient()

    def begin(self, run: TrackedRun) -> int:
        if self._experiment:
            self._mlflow.set_experiment(self._experiment)
        found = self._mlflow.search_runs(filter_string=f"tags.{_TAG} = '{run.id}'", output_format="list")
        if found:
            begun = self._mlflow.start_run(run_id=found[0].info.run_id)
        else:
            begun = self._mlflow.start_run(run_name=run.name, tags={_TAG: run.id})
        self._id = begun.info.run_id
        self._mlflow.log_params(dict(run.options))
        self._last = {name: self._last_step(name) for name in begun.data.metrics}
        return max(max(self._last.values(), default=0) - 1, 0)

    def _last_step(self, name: str) -> int:
        """Return the last step that the store has of a metric."""
        return max(metric.step for metric in self._client.get_metric_history(self._id, name))

    def log(self, rows: Sequence[TrackedRow]) -> None:
        metrics = [
            self._mlflow.entities.Metric(name, value, int(row.time * 1000), row.step)
            for row in rows
            for name, value in row.values.items()
            if row.step > self._last.get(name, 0)
        ]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, status: Literal["finished", "stopped"]) -> None:
        self._mlflow.end_run(_STATUS[status])
