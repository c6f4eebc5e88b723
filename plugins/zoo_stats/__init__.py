"""How far to trust a number: compare and calibrate models, measure published metrics again, check data."""
