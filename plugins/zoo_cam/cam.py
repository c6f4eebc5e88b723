"""The class activation maps of the fast.ai lesson, computed without gradients."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from zoo.interfaces import Subject
from zoo.plugin import SpecError
from zoo_cam.activation_map import ActivationMap, Look, weighted


class CAM(ActivationMap):
    """The evidence for a class at each position.

    - If the last convolution has one channel per class (`class_maps`), the map is that class's channel.
    - If a linear layer is applied to the mean of the features (`mean_head`), the map is the sum of the
    features weighted by the class's row of the weight matrix, because the mean of a weighted sum is the
    weighted sum of the means.

    Before rectification, the mean of the map is the logit, except for the bias of a linear layer. Networks
    that end in max pooling have no such map, because max pooling keeps only one position of each feature.

    Source: Zhou et al. 2016, section 2; fast.ai deep learning course, lesson 7 (CAM).
    """

    differentiates: ClassVar[bool] = False

    def landmark(self, subject: Subject) -> str:
        return "class_maps" if "class_maps" in subject.landmarks else "features"

    def draw(self, look: Look) -> Tensor:
        """Return the maps. Raises SpecError if their means, plus the bias, are not the logits."""
        if "class_maps" in look.subject.landmarks:
            channels = look.classes[:, :, None, None].expand(-1, -1, *look.features.shape[2:])
            maps, bias = look.features.gather(1, channels), None
        else:
            head = look.model.get_submodule(look.subject.landmarks["mean_head"])
            assert isinstance(head, nn.Linear), "`landmarks_resolve` checks this"
            rows = head.weight.float()[look.classes]  # (B, K, F)
            maps, bias = weighted(look.features, rows), head.bias
        logits = look.logits.float()
        means = maps.mean((2, 3)) + (0 if bias is None else bias.float()[look.classes])  # (B, K)
        if (means - logits.gather(1, look.classes)).abs().max() > 0.1 * logits.abs().max():  # not by rounding
            landmark = self.landmark(look.subject)
            raise SpecError(
                "this network does not compute its logits from the means of layer "
                f"{look.subject.landmarks[landmark]}, so its class activation maps would be wrong",
                hint=f"the landmark {landmark} must name the module whose output is averaged, including its "
                "last activation; try grad-cam if the network does not average",
            )
        return maps
