"""scikit-learn's bundled digits as a dataset of zoo: real pictures with no download."""
