"""Using a trained model: sampling text."""
