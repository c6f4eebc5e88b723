"""scikit-learn's bundled digits as a zoo dataset: real images without a download."""
