"""Modules: building, measuring, saving, loading, transferring and hooking them."""
