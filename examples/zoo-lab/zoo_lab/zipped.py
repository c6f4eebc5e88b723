"""An exporter: gzipped torch.export programs."""

import gzip
import io

import torch

from zoo.interfaces import Exporter


class Zipped(Exporter):
    """Write gzipped programs. There is no reader, because loading a program can run code."""

    def write(self, model):
        """Return the program; equal models produce equal bytes."""
        file = io.BytesIO()
        torch.export.save(model.trace(), file, extra_files=dict(model.metadata))
        return gzip.compress(file.getvalue(), mtime=0)

    def start(self, content, signature, threads):
        """Return a function that runs the program, in a new process and from these bytes alone."""
        module = torch.export.load(io.BytesIO(gzip.decompress(content))).module()
        names = [port.name for port in signature.outputs]

        def run(arrays):
            with torch.no_grad():
                outputs = module(*(torch.from_numpy(array) for array in arrays.values()))
            return {name: output.numpy() for name, output in zip(names, outputs, strict=True)}

        return run
