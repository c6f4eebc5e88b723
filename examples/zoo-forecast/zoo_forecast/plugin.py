"""The entries of zoo-forecast."""

from zoo import AnalyzerSpec, ArchitectureSpec, DatasetSpec, MetricSpec, Recipe, TaskSpec, hookimpl

api = 1


@hookimpl
def zoo_tasks():
    """Return the task."""
    yield TaskSpec(
        name="forecasting",
        target="zoo_forecast.forecasting:Forecasting",
        summary="Quantiles of the next values of a time series",
        dims={"history": 168, "horizon": 24, "num_quantiles": 3},
        output_shape=("horizon", "num_quantiles"),
        processor="zoo_forecast.histories:Histories",
        tiny="zoo_forecast.demand:Demand",
        source="Koenker and Bassett 1978, Regression Quantiles",
    )


@hookimpl
def zoo_metrics():
    """Return the metrics."""
    yield MetricSpec(
        name="smape",
        target="zoo_forecast.metrics:Smape",
        summary="Symmetric mean absolute percentage error of the median, from 0 to 200%",
        tasks=("forecasting",),
        unit="%",
        source="Makridakis 1993, Accuracy measures",
    )
    yield MetricSpec(
        name="mase",
        target="zoo_forecast.metrics:Mase",
        summary="Error of the median, relative to that of repeating the season before",
        tasks=("forecasting",),
        source="Hyndman and Koehler 2006, Another look at measures of forecast accuracy",
    )
    yield MetricSpec(
        name="coverage",
        target="zoo_forecast.metrics:Coverage",
        summary="How many values are between the 5% and the 95% quantile: 90% if these are right",
        tasks=("forecasting",),
        target_value=0.9,
        unit="%",
    )


@hookimpl
def zoo_datasets():
    """Return the dataset."""
    yield DatasetSpec(
        name="demand",
        target="zoo_forecast.demand:Demand",
        task="forecasting",
        summary="Hourly demand for electricity in a town; synthetic",
    )


@hookimpl
def zoo_architectures():
    """Return the architecture."""
    yield ArchitectureSpec(
        name="quantile-mlp",
        target="zoo_forecast.quantile_mlp:QuantileMLP",
        task="forecasting",
        summary="Two hidden layers, and quantiles in order",
        training={"epochs": 10, "batch_size": 64, "lr": 0.001},
        landmarks={"features": "features", "head": "head"},
    )


@hookimpl
def zoo_analyzers():
    """Return the analyzer."""
    yield AnalyzerSpec(
        name="fan",
        target="zoo_forecast.fan:Fan",
        tasks=("forecasting",),
        summary="Fan charts: histories, their forecasts with intervals, and what followed",
    )


@hookimpl
def zoo_recipes():
    """Return the recipe."""
    return {
        "demand-mlp": Recipe(
            summary="Quantiles of the demand in the next 24 hours; seconds on one thread",
            architecture="quantile-mlp",
            dataset="demand",
            train={"metrics": ["smape", "mase", "coverage"]},
        )
    }
