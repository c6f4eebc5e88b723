"""Readers of exported files for the kit's own tests: those that fail a check. None imports torch at once."""

import dataclasses
import importlib

from msgspec import structs

from zoo.tools.export import onnx_fields, onnx_reader


def needs_torch(path):
    """Read a file as soon as torch is there."""
    importlib.import_module("torch")
    return onnx_reader.read(path)


def forgets_the_data(path):
    """Read a file, but not all of its card."""
    found = onnx_reader.read(path)
    return dataclasses.replace(found, card=structs.replace(found.card, preprocess={}))


def trusts(path):
    """Read a file whatever its checksum says."""
    before = onnx_fields._digest
    try:
        onnx_fields._digest = lambda content, checksum: content[slice(*checksum)].decode()
        return onnx_reader.read(path)
    finally:
        onnx_fields._digest = before


def crashes(path):
    """Read a file, and let the errors of others through."""
    path.read_bytes().decode("ascii", "ignore").index("pytorch")
    return onnx_reader.read(path)
