"""What a model does: what its layers put out, and where it is wrong."""
