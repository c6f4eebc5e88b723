"""The formats and the command that zoo_export provides."""

from zoo import CommandSpec, ExporterSpec, hookimpl


@hookimpl
def zoo_exporters() -> list[ExporterSpec]:
    """Return the formats."""
    return [
        ExporterSpec(
            name="onnx",
            target="zoo_export.onnx_writer:OnnxExporter",
            reader="zoo_export.onnx_reader:read",
            suffix=".onnx",
            summary="ONNX, for ONNX Runtime and other inference engines that do not use torch",
            extra="export",
        ),
        ExporterSpec(
            name="pt2",
            target="zoo_export.pt2:Pt2Exporter",
            suffix=".pt2",
            summary="A torch.export program, which torch.export.load can read",
        ),
    ]


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    """Return the command."""
    return [
        CommandSpec(
            name="export",
            target="zoo_export.command:command",
            summary="Export a trained model to ONNX or pt2, and verify the file.",
        )
    ]
