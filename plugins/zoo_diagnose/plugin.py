"""What zoo_diagnose provides."""

from zoo import AnalyzerSpec, hookimpl


@hookimpl
def zoo_analyzers() -> list[AnalyzerSpec]:
    return [
        AnalyzerSpec(
            name="activations",
            target="zoo_diagnose.activations:Activations",
            summary="Mean and deviation of what each layer puts out, and its dead units",
            tasks=("classification", "language-modelling"),
            source="fast.ai deep learning course, lessons 7 and 10; Ioffe & Szegedy 2015",
        ),
        AnalyzerSpec(
            name="confusion",
            target="zoo_diagnose.confusion:Confusion",
            summary="Which classes are taken for which; of a text, its most surprising passages",
            tasks=("classification", "language-modelling"),
        ),
    ]
