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
            in_card="split",
        ),
        AnalyzerSpec(
            name="calibration",
            target="zoo_analyzers.calibration:Calibration",
            summary="Reliability diagram, calibration error, and error rate against coverage",
            tasks=("classification",),
            labels=True,
            in_card="split",
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
            name="batch-statistics",
            target="zoo_analyzers.batch_statistics:BatchStatistics",
            summary="Running statistics of networks with BatchNorm, beside those of single batches",
            tasks=("classification", "multi-label"),
            dims=("in_channels", "image_size"),
            ignores=("class",),
            source="Ioffe & Szegedy 2015, arXiv 1502.03167",
        ),
        AnalyzerSpec(
            name="feature-maps",
            target="zoo_analyzers.feature_maps:FeatureMaps",
            summary="Feature maps of an image in each stage; --layer selects other layers",
            tasks=("classification", "multi-label"),
            dims=("in_channels", "image_size"),
            needs=("features",),
            ignores=("class",),
        ),
        AnalyzerSpec(
            name="filters",
            target="zoo_analyzers.filters:Filters",
            summary="Filters of the first layer, and the image patches to which each responds most",
            tasks=("classification", "multi-label"),
            dims=("in_channels", "image_size"),
            ignores=("class",),
            source="Zeiler & Fergus 2014, arXiv 1311.2901",
        ),
        AnalyzerSpec(
            name="gradient-through-time",
            target="zoo_analyzers.gradient_through_time:GradientThroughTime",
            summary="Gradient of a prediction's loss with respect to the hidden states before it",
            tasks=("language-modeling",),
            source="Bengio et al. 1994; Pascanu et al. 2013, arXiv 1211.5063",
        ),
        AnalyzerSpec(
            name="hidden-units",
            target="zoo_analyzers.hidden_units:HiddenUnits",
            summary="Hidden units of a language model over a text, and the tokens that they react to",
            tasks=("language-modeling",),
            needs=("features|head",),
            source="Karpathy et al. 2015, Visualizing and Understanding Recurrent Networks, arXiv 1506.02078",
        ),
        AnalyzerSpec(
            name="residual-layers",
            target="zoo_analyzers.residual_layers:ResidualLayers",
            summary="Size of what each residual layer adds to its input, for networks with skip connections",
            tasks=("classification", "multi-label"),
            dims=("in_channels", "image_size"),
            ignores=("class",),
            source="He et al. 2016, Deep Residual Learning for Image Recognition, arXiv 1512.03385",
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
