"""Classification of recordings, read from .wav files."""
