"""Training: one loop, schedules and optimizers as data, runs that can be stopped anywhere."""
