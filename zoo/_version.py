"""The version of zoo, where everything below the module `zoo` can read it."""

__version__ = "0.1.0"
