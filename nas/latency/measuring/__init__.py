"""Measuring programs in processes of their own, in turns with a reference program."""
