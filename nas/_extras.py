"""What the package's extras bring, and how one is installed into the environment that runs this."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

PACKAGES = {
    "accelerate": "diffusion",
    "altair": "app",
    "diffusers": "diffusion",
    "hypothesis": "testing",
    "mcp": "mcp",
    "openvino": "openvino",
    "optuna_dashboard": "dashboard",
    "pandas": "app",
    "peft": "diffusion",
    "pytest": "testing",
    "streamlit": "app",
    "tensorboard": "logs",
    "tokenizers": "diffusion",
    "torch_fidelity": "fidelity",
    "torchmetrics": "metrics",
    "transformers": "diffusion",
}
"""Packages by their import name that only an extra brings, with its name."""


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra here: with the environment's own pip, whatever `pip` is on the path."""
    own = Path(sys.executable)
    found = shutil.which("pip")
    if found is not None and Path(found).parent == own.parent:
        return f"pip install 'anyfit[{extra}]'"
    shown = own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own
    return f"{shown} -m pip install 'anyfit[{extra}]'"


def missing(error: ImportError) -> str | None:
    """Return a sentence for a package that only an extra brings; None for any other import that failed."""
    extra = PACKAGES.get((error.name or "").partition(".")[0])
    if extra is None or not isinstance(error, ModuleNotFoundError):
        return None
    return f"{error.name} is not installed; {how_to_install(extra)}"
