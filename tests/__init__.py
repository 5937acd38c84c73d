"""A package of its own: without this file, the `tests` that some distributions install beside theirs would hide it."""
