"""Image datasets and tasks. Images are arrays of bytes, in memory or in a memory-mapped file."""
