"""A notebook of runs in SQLite, smaller exported files, and a command that reads the notebook."""
