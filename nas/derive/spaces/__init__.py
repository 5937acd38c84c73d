"""From labels to search spaces: dimensions, axes, the lengths that are offered, and blocks that may be left out."""
