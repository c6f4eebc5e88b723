"""Text as streams of tokens: characters or words."""
