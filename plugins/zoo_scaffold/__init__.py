"""`zoo new-plugin`: starter packages for plugin authors."""
