"""scikit-learn's bundled digits as a dataset of zoo: real images with no download."""
