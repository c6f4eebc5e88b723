"""Export trained models to other formats: ONNX, which zoo can also run, and pt2, which zoo can only write."""
