"""Publish weights with their proof, so that others can use and check them."""
