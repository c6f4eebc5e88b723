"""What to run: options as users type them, training configurations, recipes. Torch-free."""
