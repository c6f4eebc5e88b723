"""Build, measure, save, load, fine-tune and inspect modules."""
