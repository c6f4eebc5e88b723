"""A linear model and striped images, provided by a distribution of their own."""
