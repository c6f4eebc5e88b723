"""Options as users type them, training configurations, and recipes. Torch-free."""
