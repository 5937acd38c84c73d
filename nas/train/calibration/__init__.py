"""Calibration images distilled from a supernet, so that its users need no data."""
