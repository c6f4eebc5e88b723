"""Class activation maps as the lesson has them: read off, without any gradient."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from zoo.interfaces import Subject
from zoo_cam.activation_map import ActivationMap, Look, weighted


class CAM(ActivationMap):
    """The evidence for a class at each place; its mean is the logit, a bias apart.

    - Where a last convolution has one channel for each class (`class_maps`), the class's own channel.
    - Where a linear layer reads the mean of the features (`mean_head`), the features weighted by the class's
      row: the mean of a weighted sum is the weighted sum of means.

    A maximum in place of the mean keeps one place of each feature and no others, so there is no such map.

    Source: Zhou et al. 2016, section 2; fast.ai deep learning course, lesson 7 (CAM).
    """

    differentiates: ClassVar[bool] = False

    def landmark(self, subject: Subject) -> str:
        return "class_maps" if "class_maps" in subject.landmarks else "features"

    def draw(self, look: Look) -> Tensor:
        if "class_maps" in look.subject.landmarks:
            places = look.classes[:, :, None, None].expand(-1, -1, *look.features.shape[2:])
            return look.features.gather(1, places)
        head = look.model.get_submodule(look.subject.landmarks["mean_head"])
        assert isinstance(head, nn.Linear), "a mean_head is a linear layer: `landmarks_resolve` checks it"
        rows = head.weight.float()[look.classes]  # (B, K, F)
        return weighted(look.features, rows)
