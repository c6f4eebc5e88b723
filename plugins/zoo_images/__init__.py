"""Images as in-memory arrays of bytes."""
