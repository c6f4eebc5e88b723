"""A command: `zoo best-runs`."""

import click

from zoo import DataError
from zoo.cli.kit import cell, print_json, print_table, standard_options
from zoo_lab.notebook import opened

BEST = "SELECT run, {}(value) FROM metrics WHERE name = ? GROUP BY run ORDER BY 2 {}"


@click.command()
@click.argument("metric", default="val/loss")
@click.option("--highest", is_flag=True, help="The metric is better if it is higher, such as val/accuracy.")
@standard_options
def command(session, metric, highest, as_json):
    """Show the best value of METRIC that each run in the notebook has reached, best run first."""
    session.begin("reading the notebook")
    order = ("MAX", "DESC") if highest else ("MIN", "ASC")
    rows = opened().execute(BEST.format(*order), [metric]).fetchall()
    if not rows:
        hint = "`zoo train ... --track lab` stores metrics"
        raise DataError(f"the notebook has no values of {metric}", hint=hint)
    if as_json:
        print_json([{"run": run, "best": value} for run, value in rows])
    else:
        print_table([[run, cell(value)] for run, value in rows], ["RUN", metric.upper()], numbers=[1])
