"""Conformance suites: what every family, task, runtime and trainer must do, as tests that anybody can subclass."""
