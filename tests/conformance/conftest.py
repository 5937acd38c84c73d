"""One supernet of every family, shared by the tests that do not change it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from nas.elastic import Supernet
from tests.conformance.families import FAMILIES, make_supernet


@pytest.fixture(scope="session", params=list(FAMILIES))
def family_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def supernet(family_name: str) -> Supernet:
    """A supernet in evaluation mode; tests must leave its weights, statistics and mode as they are."""
    return make_supernet(family_name)


@pytest.fixture
def fresh(family_name: str) -> Supernet:
    """A supernet of the test's own."""
    return make_supernet(family_name)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """On one thread a subnet's output is exact, on several it may differ by rounding."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
