"""The analyzers and the command that zoo_diagnose provides."""

from zoo import AnalyzerSpec, CommandSpec, hookimpl


@hookimpl
def zoo_analyzers() -> list[AnalyzerSpec]:
    """Return the analyzers."""
    return [
        AnalyzerSpec(
            name="activations",
            target="zoo_diagnose.activations:Activations",
            summary="Mean, standard deviation and dead units of each layer's output",
            source="fast.ai deep learning course, lessons 7 and 10; Ioffe & Szegedy 2015",
        ),
        AnalyzerSpec(
            name="confusion",
            target="zoo_diagnose.confusion:Confusion",
            summary="Confusion matrix, precision and recall, and the most confused classes",
            tasks=("classification",),
            labels=True,
        ),
        AnalyzerSpec(
            name="dynamic-evaluation",
            target="zoo_diagnose.dynamic:DynamicEvaluation",
            summary="Loss of a language model that keeps learning from the text it has just read",
            tasks=("language-modeling",),
            reference="train",
            source="Krause et al. 2018, arXiv 1709.07432",
        ),
        AnalyzerSpec(
            name="neighbors",
            target="zoo_diagnose.neighbors:Neighbors",
            summary="Training images closest to an input in the model's feature space",
            tasks=("classification", "multi-label"),
            dims=("in_channels", "image_size"),
            reference="train",
            needs=("features|head",),
            ignores=("class",),
        ),
        AnalyzerSpec(
            name="surprisal",
            target="zoo_diagnose.surprisal:Surprisal",
            summary="Loss of each token in a text, and the passages with the highest loss",
            tasks=("language-modeling",),
        ),
    ]


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    """Return the commands."""
    return [
        CommandSpec(
            name="runs",
            target="zoo_diagnose.runs_command:command",
            summary="List, compare, plot and prune training runs.",
        ),
        CommandSpec(
            name="lr-find",
            target="zoo_diagnose.lr_find:command",
            summary="Suggest learning rates from a short test run.",
        ),
    ]
