"""Trained models behind an HTTP API and a page."""
