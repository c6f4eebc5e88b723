"""The entries of zoo-captum."""

from zoo import AnalyzerSpec, hookimpl

api = 1
TASKS = ("classification", "multi-label")


@hookimpl
def zoo_analyzers():
    """Return the analyzers."""
    return [
        AnalyzerSpec(
            name="integrated-gradients",
            target="zoo_captum.methods:IntegratedGradients",
            tasks=TASKS,
            summary="Contribution of each pixel to the logit: gradients from the mean image to the image",
            source="Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks, arXiv 1703.01365",
        ),
        AnalyzerSpec(
            name="occlusion",
            target="zoo_captum.methods:Occlusion",
            tasks=TASKS,
            summary="Drop in the logit if a square of the image is replaced with the mean",
            source="Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks",
        ),
    ]
