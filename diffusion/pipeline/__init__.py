"""A whole pipeline: its folder, its parts, what it is given, how it samples, and all of it as one family."""
