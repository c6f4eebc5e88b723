"""Forecasts of time series: quantiles of each of the next hours."""
