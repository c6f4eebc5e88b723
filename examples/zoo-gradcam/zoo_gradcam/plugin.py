"""The entries of zoo-gradcam."""

from zoo import AnalyzerSpec, hookimpl

api = 1
METHODS = {
    "ablation-cam": ("AblationCAM", "Feature maps weighted by the drop in the logit without each map"),
    "eigen-cam": ("EigenCAM", "First principal component of the feature maps, independent of the class"),
    "eigen-grad-cam": ("EigenGradCAM", "First principal component of feature maps times gradients"),
    "grad-cam": ("GradCAM", "Feature maps weighted by the mean gradient of the class's logit"),
    "grad-cam++": ("GradCAMPlusPlus", "Grad-CAM that weights several objects of a class equally"),
    "hires-cam": ("HiResCAM", "Feature maps times gradients, element-wise"),
    "layer-cam": ("LayerCAM", "Feature maps times positive gradients, element-wise"),
    "score-cam": ("ScoreCAM", "Feature maps weighted by the logit of the image masked with each map"),
    "xgrad-cam": ("XGradCAM", "Grad-CAM with gradients weighted by activations"),
}


@hookimpl
def zoo_analyzers():
    """Return an analyzer for every method."""
    return [
        AnalyzerSpec(
            name=name,
            target=f"zoo_gradcam.methods:{target}",
            summary=summary,
            tasks=("classification",),
            needs=("features",),
            ignores=("class",) if name == "eigen-cam" else (),
            source="Gildenblat, github.com/jacobgil/pytorch-grad-cam",
        )
        for name, (target, summary) in METHODS.items()
    ]
