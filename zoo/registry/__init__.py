"""The registry: specs, hooks, plugins, and the catalog of recipes and published weights. Torch-free."""
