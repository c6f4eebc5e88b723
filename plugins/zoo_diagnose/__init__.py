"""What a model does: the outputs of its layers, and its mistakes."""
