"""Serve trained models on an HTTP API and a web page."""
