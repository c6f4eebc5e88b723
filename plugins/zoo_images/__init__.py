"""Images as arrays of bytes, in memory or in a memory-mapped file."""
