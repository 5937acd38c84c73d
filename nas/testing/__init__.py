"""Conformance suites: what every family, task, runtime and trainer must do, as tests that anybody can subclass.

They need pytest and hypothesis, which the extra "testing" installs: `pip install 'anyfit[testing]'`.
"""

from importlib import import_module

from nas._extras import missing
from nas.errors import NasError

for _package in ("hypothesis", "pytest"):
    try:
        import_module(_package)
    except ImportError as error:
        raise NasError(f"the conformance suites cannot be used: {missing(error) or error}") from error

# What a failed assertion compared is then shown, as in a test module.
import_module("pytest").register_assert_rewrite(
    "nas.testing.families", "nas.testing.runtimes", "nas.testing.tasks", "nas.testing.trainers"
)
