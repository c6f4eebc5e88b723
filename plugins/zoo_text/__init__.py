"""Texts as streams of character tokens."""
