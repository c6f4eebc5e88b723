"""Byte-pair encoding: a tokenizer, and a dataset of texts that learns its vocabulary."""
