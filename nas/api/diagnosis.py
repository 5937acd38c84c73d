"""Is this installation sound? Every check reports a fact, and what is wrong with it in a sentence."""

from __future__ import annotations

import importlib
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from nas import api, latency
from nas.files import cache_folder

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_DISTRIBUTION = "anyfit"
_DEVELOPMENT = "dev"
_GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One line of the report: `problem` is empty when nothing is broken, `hint` says what could be done."""

    name: str
    value: str
    problem: str = ""
    hint: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the JSON object, without what is empty."""
        return {key: text for key, text in vars(self).items() if text}


def diagnose() -> dict[str, list[Check]]:
    """Return all checks by what they are about: packages, imports, devices, runtimes, folders.

    Nothing is changed. What is broken has a `problem`, one sentence, and a `hint` that says what to do.
    """
    return {
        "packages": [*check_packages()],
        "imports": [*api.check_ownership(), *check_imports()],
        "devices": [*check_devices()],
        "runtimes": [*check_runtimes()],
        "folders": [check_cache()],
    }


def distribution() -> metadata.Distribution | None:
    """Return the installed distribution, or None when the code runs from a bare source tree."""
    try:
        return metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None


def check_packages() -> Iterator[Check]:
    """Hold every requirement against what is installed; those of an extra may be absent."""
    from packaging.requirements import Requirement

    yield Check("python", platform.python_version())
    installed = distribution()
    if installed is None:
        problem = f"{_DISTRIBUTION} runs from a source tree without being installed"
        yield Check(_DISTRIBUTION, "not installed", problem, "pip install -e .")
        return
    yield Check(_DISTRIBUTION, installed.version)
    extras = installed.metadata.get_all("Provides-Extra") or []
    for requirement in map(Requirement, installed.requires or ()):
        extra = _extra_of(requirement, extras)
        if extra is not None and extra != _DEVELOPMENT:
            yield _check_requirement(requirement, extra)


def _extra_of(requirement: Requirement, extras: list[str]) -> str | None:
    """Return the extra that asks for it; "" when it is always needed, None when never on this platform."""
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        return ""
    return next((extra for extra in extras if requirement.marker.evaluate({"extra": extra})), None)


def _check_requirement(requirement: Requirement, extra: str) -> Check:
    wanted = f"{requirement.name}{requirement.specifier}"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        if extra:
            hint = f"optional: pip install '{_DISTRIBUTION}[{extra}]'"
            return Check(requirement.name, "not installed", hint=hint)
        return Check(
            requirement.name,
            "not installed",
            f"{wanted} is needed, but not installed",
            f"pip install '{wanted}'",
        )
    if not requirement.specifier.contains(version, prereleases=True):
        problem = f"{requirement.name} {version} is installed, but {wanted} is needed"
        return Check(requirement.name, version, problem, f"pip install '{wanted}'")
    return Check(requirement.name, version)


def check_imports(
    modules: tuple[str, ...] = ("torch", "torchvision", "timm", "onnxruntime"),
) -> Iterator[Check]:
    """Import what is compiled: builds that do not fit each other fail here, and only here."""
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a broken build raises
            reason = " ".join(str(error).split()) or type(error).__name__
            hint = "use a fresh environment: pip install anyfit"
            yield Check(name, "broken", f"{name} does not import: {reason}", hint)
        else:
            yield Check(name, "imports")


def check_devices() -> Iterator[Check]:
    """Report the processor, the cores and memory this process may use, and every GPU."""
    import psutil

    machine = latency.machine_fingerprint()
    memory = psutil.virtual_memory()
    yield Check("processor", machine.processor)
    yield Check("cores", f"{latency.available_cores()} of {machine.cores}")
    yield Check("memory", f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free")
    yield Check("gpu", ", ".join(_gpus()) or "none")


def _gpus() -> list[str]:
    try:
        import torch
    except Exception:  # already reported by check_imports
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def check_runtimes() -> Iterator[Check]:
    """Report what can run a network here; one that cannot is no fault of the installation."""
    default = latency.default_runtime().name
    for name in latency.runtime_names():
        runtime = latency.get_runtime(name)
        if reason := runtime.unavailable():
            yield Check(name, "not available", hint=reason)
        else:
            remark = "the default" if name == default else ""
            yield Check(name, f"{runtime.package} {runtime.version}", hint=remark)


def check_cache() -> Check:
    """Try to write where profiles and models are cached."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"anyfit")
    except OSError as error:
        problem = f"the cache folder {folder} cannot be written ({error.strerror or error})"
        return Check("cache", str(folder), problem, "set ANYFIT_CACHE to a folder that can")
    return Check("cache", str(folder))
