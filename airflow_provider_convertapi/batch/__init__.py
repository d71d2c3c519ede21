"""A batch without its I/O: what to convert, what was converted, how many at a time."""
