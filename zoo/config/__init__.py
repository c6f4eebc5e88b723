"""Options as users type them, training configurations, and recipes. Does not import torch."""
