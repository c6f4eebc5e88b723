"""A tracker: the metrics of all runs in one SQLite database."""

import os
import sqlite3

from zoo.plugin import Tracker

TABLE = "CREATE TABLE IF NOT EXISTS metrics (run, step, time, name, value, UNIQUE (run, step, name))"


def opened():
    """Open the notebook, and create it if it does not exist."""
    database = sqlite3.connect(os.environ.get("ZOO_LAB", "lab.db"))
    database.execute(TABLE)
    return database


class Notebook(Tracker):
    """Store the metrics of a run. Rows that are sent again after an interruption are ignored."""

    def begin(self, run):
        """Return the step from which on rows are missing."""
        self._run, self._database = f"{run.name} {run.id}", opened()
        found = self._database.execute("SELECT MAX(step) FROM metrics WHERE run = ?", [self._run])
        last = found.fetchone()[0] or 0
        return max(last - 1, 0)  # the last step may lack the metrics of its epoch

    def log(self, rows):
        """Store all rows, or none."""
        values = [
            (self._run, row.step, row.time, name, value) for row in rows for name, value in row.values.items()
        ]
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?, ?)", values)

    def end(self, status):
        """Close the notebook."""
        self._database.close()
