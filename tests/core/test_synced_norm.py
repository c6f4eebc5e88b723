"""Which running statistics the processes of a training average."""

from __future__ import annotations

from torch import nn

from zoo.training.ranks import Ranks
from zoo.training.synced_norm import running_statistics, synced_norms


def test_a_frozen_layer_keeps_its_statistics() -> None:
    """A mean of three equal numbers may be rounded."""
    model = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(4)).train()
    assert [len(each) for each in running_statistics(model)] == [3, 3, 4, 4]
    model[0].eval()
    assert [len(each) for each in running_statistics(model)] == [4, 4]


def test_statistics_of_the_whole_batch_are_not_averaged_again() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3)).train()
    with synced_norms(model, Ranks(0, 2)):
        assert [*running_statistics(model)] == []
    assert len([*running_statistics(model)]) == 2
