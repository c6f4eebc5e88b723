"""What a terminal or a notebook shows: text, tables and progress."""
