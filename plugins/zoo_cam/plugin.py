"""The analyzers that zoo_cam provides."""

from typing import Any

from zoo import AnalyzerSpec, hookimpl


def _map(
    name: str, target: str, summary: str, source: str, needs: str = "features|tokens", **more: Any
) -> AnalyzerSpec:
    return AnalyzerSpec(
        name=name,
        target=f"zoo_cam.{target}",
        summary=summary,
        tasks=("classification", "multi-label"),
        needs=(needs,),
        source=source,
        **more,
    )


@hookimpl
def zoo_analyzers() -> list[AnalyzerSpec]:
    """Return the analyzers."""
    return [
        _map(
            "cam",
            "cam:CAM",
            "Class activation map of a network that ends in average pooling",
            "Zhou et al. 2016, Learning Deep Features for Discriminative Localization, arXiv 1512.04150",
            "class_maps|mean_head",
        ),
        _map(
            "grad-cam",
            "grad_cam:GradCAM",
            "Feature maps weighted by their mean gradients",
            "Selvaraju et al. 2017, Grad-CAM, arXiv 1610.02391",
            in_card="items",
        ),
        _map(
            "grad-cam++",
            "grad_cam_plus_plus:GradCAMPlusPlus",
            "Grad-CAM that weights all objects of a class equally",
            "Chattopadhay et al. 2018, Grad-CAM++, arXiv 1710.11063",
        ),
        _map(
            "hires-cam",
            "hires_cam:HiResCAM",
            "Feature maps times gradients, pixel by pixel",
            "Draelos & Carin 2020, Use HiResCAM instead of Grad-CAM, arXiv 2011.08891",
        ),
        _map(
            "layer-cam",
            "layer_cam:LayerCAM",
            "Feature maps times positive gradients, also for early layers",
            "Jiang et al. 2021, LayerCAM, IEEE TIP 30",
        ),
        _map(
            "score-cam",
            "score_cam:ScoreCAM",
            "Feature maps weighted by the score of the masked image, without gradients",
            "Wang et al. 2020, Score-CAM, arXiv 1910.01279",
        ),
        _map(
            "eigen-cam",
            "eigen_cam:EigenCAM",
            "First principal component of the feature maps, independent of the class",
            "Muhammad & Yeasin 2020, Eigen-CAM, arXiv 2008.00299",
            ignores=("class",),
        ),
    ]
