"""Training: one loop, with schedules and optimizers as data, that can be stopped at any step."""
