"""Trained models as files of other formats: ONNX, which zoo runs too, and pt2, which it only writes."""
