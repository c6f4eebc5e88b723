"""Training: one loop that can be stopped at any step, with schedules and optimizers as data."""
