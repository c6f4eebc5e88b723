"""The tracker, the format and the command that zoo_lab provides."""

from zoo import CommandSpec, ExporterSpec, TrackerSpec, hookimpl

api = 1


@hookimpl
def zoo_trackers():
    """Return the tracker."""
    summary = "An SQLite database, lab.db or $ZOO_LAB"
    return [TrackerSpec(name="lab", target="zoo_lab.notebook:Notebook", summary=summary)]


@hookimpl
def zoo_exporters():
    """Return the format."""
    summary = "A gzipped torch.export program"
    target = "zoo_lab.zipped:Zipped"
    return [ExporterSpec(name="zipped", target=target, suffix=".zipped", summary=summary)]


@hookimpl
def zoo_commands():
    """Return the command."""
    summary = "Show the best runs in the laboratory's notebook."
    return [CommandSpec(name="best-runs", target="zoo_lab.best:command", summary=summary)]
