"""Texts as streams of tokens, characters or words."""
