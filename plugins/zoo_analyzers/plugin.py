"""The analyzers that zoo_analyzers provides."""

from zoo import AnalyzerSpec, hookimpl


@hookimpl
def zoo_analyzers() -> list[AnalyzerSpec]:
    """Return the analyzers."""
    return [
        AnalyzerSpec(
            name="activations",
            target="zoo_analyzers.activations:Activations",
            summary="Mean, standard deviation and dead units of each layer's output",
            source="fast.ai deep learning course, lessons 7 and 10; Ioffe & Szegedy 2015",
        ),
        AnalyzerSpec(
            name="confusion",
            target="zoo_analyzers.confusion:Confusion",
            summary="Confusion matrix, precision and recall, and the most confused classes",
            tasks=("classification",),
            labels=True,
        ),
        AnalyzerSpec(
            name="calibration",
            target="zoo_analyzers.calibration:Calibration",
            summary="Reliability diagram, calibration error, and error rate against coverage",
            tasks=("classification",),
            labels=True,
            source="Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599",
        ),
        AnalyzerSpec(
            name="dynamic-evaluation",
            target="zoo_analyzers.dynamic:DynamicEvaluation",
            summary="Loss of a language model that keeps learning from the text it has just read",
            tasks=("language-modeling",),
            reference="train",
            source="Krause et al. 2018, arXiv 1709.07432",
        ),
        AnalyzerSpec(
            name="neighbors",
            target="zoo_analyzers.neighbors:Neighbors",
            summary="Training images closest to an input in the model's feature space",
            tasks=("classification", "multi-label"),
            dims=("in_channels", "image_size"),
            reference="train",
            needs=("features|head",),
            ignores=("class",),
        ),
        AnalyzerSpec(
            name="surprisal",
            target="zoo_analyzers.surprisal:Surprisal",
            summary="Loss of each token in a text, and the passages with the highest loss",
            tasks=("language-modeling",),
        ),
        AnalyzerSpec(
            name="suspects",
            target="zoo_analyzers.suspects:Suspects",
            summary="Images whose label is probably wrong, according to out-of-fold predictions",
            tasks=("classification",),
            needs=("features|head",),
            ignores=("class",),
            labels=True,
            source="Northcutt et al. 2021, Confident Learning, JAIR 70",
        ),
    ]
