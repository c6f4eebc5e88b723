"""The commands and analyzers that zoo_stats provides."""

from zoo import AnalyzerSpec, CommandSpec, OptionsSpec, hookimpl
from zoo_stats.options import BatchImage


@hookimpl
def zoo_commands() -> list[CommandSpec | OptionsSpec]:
    """Return the commands, and the options of `zoo show`."""
    return [
        CommandSpec(
            name="calibrate",
            target="zoo_stats.calibrate_command:command",
            summary="Fit a temperature to a classifier, so that its confidence matches its accuracy.",
        ),
        CommandSpec(
            name="compare",
            target="zoo_stats.compare_command:command",
            summary="Compare models on the same items, and test whether their results differ.",
            extra="stats",
        ),
        CommandSpec(
            name="data",
            target="zoo_stats.data_command:command",
            summary="Find duplicates and other common problems in a dataset.",
        ),
        OptionsSpec(
            name="batch-image",
            command="show",
            fields=BatchImage,
            target="zoo_stats.show_image:show_image",
            summary="Draw the first training batch, as the model sees it.",
        ),
        CommandSpec(
            name="reproduce",
            target="zoo_stats.reproduce_command:command",
            summary="Retrain weights from their card, and compare old and new results.",
            extra="stats",
        ),
        CommandSpec(
            name="verify",
            target="zoo_stats.verify_command:command",
            summary="Measure published metrics again, and report differences.",
        ),
    ]


@hookimpl
def zoo_analyzers() -> list[AnalyzerSpec]:
    """Return the analyzers."""
    return [
        AnalyzerSpec(
            name="calibration",
            target="zoo_stats.calibration:Calibration",
            summary="Reliability diagram, calibration error, and error rate against coverage",
            tasks=("classification",),
            labels=True,
            source="Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599",
        ),
        AnalyzerSpec(
            name="suspects",
            target="zoo_stats.suspects:Suspects",
            summary="Images whose label is probably wrong, according to out-of-fold predictions",
            tasks=("classification",),
            needs=("features|head",),
            ignores=("class",),
            labels=True,
            source="Northcutt et al. 2021, Confident Learning, JAIR 70",
        ),
    ]
