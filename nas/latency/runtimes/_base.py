"""What a runtime is: how a module becomes a program file, and how a process of its own runs that file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas._errors import NasError, UsageError
from nas.latency.runtimes._sequence import SUFFIX, Run, open_sequence
from nas.latency.workload import Workload, available_cores

if TYPE_CHECKING:
    from torch import nn

    from nas.elastic import Inputs

Recipe = Mapping[str, Any]


class Runtime(ABC):
    """Something that runs a network: a library on a device.

    Life cycle: the measuring program calls `require`, then `lower` once for each module. A worker process, its threads
    already pinned, calls `open` for each file and then the returned function again and again; it may import only what
    `load` imports. `version` belongs to a latency as much as the name does.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    device: ClassVar[str] = "cpu"
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    builds: ClassVar[bool] = False
    """Whether `lower` also takes a module on the meta device, with a recipe: it is built where it is run."""

    @property
    def version(self) -> str:
        """The version of the package that runs the network."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "absent"

    def unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, and what to do; None if it can."""
        return (
            None
            if self.version != "absent"
            else f"{self.package} is not installed; pip install {self.package}"
        )

    def require(self, workload: Workload) -> None:
        """Raise a `NasError` unless this runtime is here and runs `workload`."""
        if reason := self.unavailable():
            raise NasError(f"the runtime {self.name!r} cannot be used: {reason}")
        if workload.precision not in self.precisions:
            raise UsageError(
                f"the runtime {self.name!r} runs {', '.join(self.precisions)}, but {workload.precision} is asked for; "
                "choose one of these or another runtime"
            )
        if workload.threads > available_cores():
            raise UsageError(
                f"{workload.threads} threads are asked for, but this process may use {available_cores()} cores; "
                "ask for at most that many threads"
            )

    @abstractmethod
    def lower(self, module: nn.Module, example: Inputs, path: Path, recipe: Recipe | None = None) -> Path:
        """Write the static module as a program and return its path: `path` with the runtime's suffix.

        `example` is one batch of the input, or of the inputs by name. `recipe` says how the module is built; a runtime
        that runs Python modules uses it, so that no module is ever unpickled.
        """

    @abstractmethod
    def load(self, path: Path, workload: Workload) -> Run:
        """Open a program and return a function that runs it once on noise, to the end."""

    def open(self, path: Path, workload: Workload) -> Run:
        """Open a program, or a sequence of programs, and return a function that runs it once."""
        return (
            open_sequence(path, workload, self.load) if path.suffix == SUFFIX else self.load(path, workload)
        )
