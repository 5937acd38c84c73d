"""The folder of a pipeline: found, read, loaded without running what comes with it, and written as a whole."""
