"""pytorch-grad-cam's methods, each run on a copy of the model, since they add hooks and write gradients."""

import copy

import pytorch_grad_cam as theirs
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from zoo.interfaces import Analysis, Analyzer
from zoo.plugin import untouched


def _method(make):
    class Method(Analyzer):
        """Maps (N, K, H, W) of the images' size, each scaled to [0, 1]."""

        def analyze(self, model, batches, *, subject):
            parts = []
            with untouched(model) as inner, torch.inference_mode(False), torch.enable_grad():
                twin = copy.deepcopy(inner).requires_grad_(True)
                layer = twin.get_submodule(subject.landmarks["features"])
                with make(model=twin, target_layers=[layer]) as cam:
                    for batch in batches:
                        logits = twin(batch.inputs).detach()
                        classes = subject.target_classes(logits, batch.targets)  # (B, K)
                        maps = [torch.from_numpy(cam(batch.inputs, _targets(k))) for k in classes.unbind(1)]
                        parts.append((torch.stack(maps, 1), classes, logits))
            maps, classes, logits = (torch.cat(part) for part in zip(*parts, strict=True))
            return Analysis(maps=maps, classes=classes, logits=logits)

    return Method


def _targets(classes):
    return [ClassifierOutputTarget(number) for number in classes.tolist()]


AblationCAM = _method(theirs.AblationCAM)
EigenCAM = _method(theirs.EigenCAM)
EigenGradCAM = _method(theirs.EigenGradCAM)
GradCAM = _method(theirs.GradCAM)
GradCAMPlusPlus = _method(theirs.GradCAMPlusPlus)
HiResCAM = _method(theirs.HiResCAM)
LayerCAM = _method(theirs.LayerCAM)
ScoreCAM = _method(theirs.ScoreCAM)
XGradCAM = _method(theirs.XGradCAM)
