"""The verbs of `nas.Model`, and those that need no model: one file each, with its result."""
