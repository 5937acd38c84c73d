"""Small model families that have nothing in common but the mechanism: each proves that it can express one thing."""

from __future__ import annotations

from tests.conformance.models.attention import FeedForward, Heads
from tests.conformance.models.convnet import Shortcut, Widths
from tests.conformance.models.generator import Generator
from tests.conformance.models.steps import Steps
from tests.conformance.models.unet import UNet
from tests.conformance.models.weightless import Weightless

__all__ = ["FeedForward", "Generator", "Heads", "Shortcut", "Steps", "UNet", "Weightless", "Widths"]
