"""Serve trained models through an HTTP API and a web page."""
