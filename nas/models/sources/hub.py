"""Weights from hubs: where none can be reached, what is cached is taken, and else one sentence says what to give."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlparse
from urllib.request import getproxies

from nas.errors import NasError
from nas.models.sources.network import RANDOM

T = TypeVar("T")


def published(fetch: Callable[[], T], place: str) -> T:
    """Return what `fetch` gets from a hub, or from its cache.

    Raises:
        NasError: There is no network, or no such weights.
    """
    try:
        with _cached_if_unreachable():
            return fetch()
    except Exception as error:  # a hub fails in many ways
        reason = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__
        raise NasError(
            f"the weights of {place} cannot be fetched ({reason}); give some: `nas adopt {place} --weights FILE`, or "
            f"--weights {RANDOM} where only latency counts"
        ) from error


@contextmanager
def _cached_if_unreachable() -> Iterator[None]:
    """Tell huggingface_hub at once that there is no network: it would try again for a minute."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    if not getproxies() and not _has_address(urlparse(constants.ENDPOINT).hostname or ""):
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _has_address(host: str) -> bool:
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
