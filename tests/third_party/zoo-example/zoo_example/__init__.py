"""A linear model and striped images, brought by a distribution of its own."""
