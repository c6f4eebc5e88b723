"""What there is: specs, hooks, plugins, and the catalog of recipes and published weights. Torch-free."""
