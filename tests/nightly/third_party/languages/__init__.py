"""Five small language models, each written as its own kind of repository writes it, and wrapped for zoo."""
