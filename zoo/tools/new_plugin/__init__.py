"""Starter packages for plugin authors."""
