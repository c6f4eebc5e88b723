"""Modules: build, measure, save, load, fine-tune and look inside them."""
