"""What makes a machine fast or slow, read without asking for anything that identifies its owner.

Two machines with one fingerprint run a network equally fast (as far as the operating system can tell); serial
numbers, host names and users are not part of it, and a reboot does not change it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas import latency, models
from nas.files import cache_folder

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
# Instruction sets that compute kernels choose by; the kernel's other flags come and go with its updates.
_DECISIVE = (
    "sse",
    "ssse",
    "avx",
    "fma",
    "f16c",
    "amx",
    "bmi",
    "popcnt",
    "asimd",
    "sve",
    "neon",
    "bf16",
    "i8mm",
)


@dataclass(frozen=True)
class Fingerprint:
    """The machine as far as it decides latency; `gpu` is empty for a runtime that runs on the processor."""

    processor: str
    cores: int
    instructions: str
    caches: str
    system: str
    gpu: str = ""

    @property
    def digest(self) -> str:
        """Eight hex digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]

    def __str__(self) -> str:
        return f"{self.gpu or self.processor}, {self.cores} cores, {self.system}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return asdict(self)

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return a phrase for everything in which another machine's JSON object differs, "here" being this one."""
        return [
            f"{name} {other.get(name)!r} (here {here!r})"
            for name, here in asdict(self).items()
            if other.get(name) != here
        ]


def machine_fingerprint(device: str = "cpu") -> Fingerprint:
    """Return this machine's fingerprint; `device` "cuda" includes the GPU's name."""
    text = _read(_CPUINFO)
    return Fingerprint(
        processor=_processor(text),
        cores=os.cpu_count() or 1,
        instructions=_instructions(text),
        caches=_caches(),
        system=f"{platform.system()} {platform.machine()}",
        gpu=_gpu() if device == "cuda" else "",
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _field(cpuinfo: str, name: str) -> str:
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _processor(cpuinfo: str) -> str:
    """Return the name with family, model and stepping: virtual machines hide the name's end."""
    if name := _field(cpuinfo, "model name"):
        numbers = [_field(cpuinfo, key) for key in ("cpu family", "model", "stepping")]
        return f"{name} ({'/'.join(numbers)})" if all(numbers) else name
    if platform.system() == "Darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor()
    parts = [_field(cpuinfo, key) for key in ("CPU implementer", "CPU part", "CPU variant")]
    return " ".join(part for part in parts if part) or platform.processor() or "unknown"


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _instructions(cpuinfo: str) -> str:
    flags = (_field(cpuinfo, "flags") or _field(cpuinfo, "Features")).split()
    return " ".join(sorted({flag for flag in flags if flag.startswith(_DECISIVE)}))


def _caches() -> str:
    sizes = []
    for index in sorted(_CACHES.glob("index*")):
        level, size = _read(index / "level").strip(), _read(index / "size").strip()
        if _read(index / "type").strip() != "Instruction" and size:
            sizes.append(f"L{level} {size}")
    return ", ".join(sizes)


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def profile_path(model: models.Model, runtime: latency.Runtime, workload: latency.Workload) -> Path:
    """Return where the profile of a model is cached."""
    digest = machine_fingerprint(runtime.device).digest
    return cache_folder() / "profiles" / f"{model.name}-{runtime.name}-{workload.key}-{digest}.json"


def cached_profiles() -> list[Path]:
    """Return the paths of all cached profiles."""
    return sorted((cache_folder() / "profiles").glob("*.json"))
