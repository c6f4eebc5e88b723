"""Compare and calibrate models, measure published metrics again, and check data."""
