"""Training configurations with the fields of zoo's own tasks."""

from __future__ import annotations

from typing import Any

from zoo import TrainConfig
from zoo.config.train_config import training_options
from zoo_images.fields import ImageFields, LabelFields
from zoo_text.fields import TextFields

__all__ = ["FIELDS", "GROUPS", "configured"]

GROUPS: dict[str, type] = {"images": ImageFields, "labels": LabelFields, "text": TextFields}
FIELDS = training_options(GROUPS)


def configured(**fields: Any) -> TrainConfig:
    """Return a configuration with some fields, whatever their group."""
    return TrainConfig.with_groups(GROUPS).replace(fields)
