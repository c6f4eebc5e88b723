"""`zoo new-plugin`: packages for plugin authors to start from."""
