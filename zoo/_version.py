"""The version of zoo, in a module that all others can import."""

__version__ = "0.2.0"
