"""What a runtime is: how a module becomes a program file, and how a process of its own runs that file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas import elastic
from nas._errors import NasError, UsageError
from nas.latency.runtimes._sequence import SUFFIX, Opened, Run, open_sequence
from nas.latency.workload import Workload, available_cores

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

Recipe = Mapping[str, Any]
ArrayFunction = Callable[["Mapping[str, np.ndarray]"], "np.ndarray"]


class Runtime(ABC):
    """Something that runs a network: a library on a device.

    Life cycle: the measuring program calls `require`, then `lower` once for each module. A worker process, its threads
    already pinned, calls `start` once, `open` for each file and then the returned functions again and again, in turns;
    it may import only what `start` and `load` import. `version` belongs to a latency as much as the name does.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    device: ClassVar[str] = "cpu"
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    extra: ClassVar[str] = ""
    """The extra of this distribution that installs the package; "" where it is always there."""
    reads_onnx: ClassVar[bool] = False
    """Whether its programs are ONNX files, so that a shipped one is run as it is and `function` runs any."""
    builds: ClassVar[bool] = False
    """Whether `lower` also takes a module on the meta device, with a recipe: it is built where it is run."""

    _opened: Opened | None = None  # programs of sequences, which share them in a measuring process

    @property
    def version(self) -> str:
        """The version of the package that runs the network."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "absent"

    def unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, and what to do; None if it can."""
        if self.version != "absent":
            return None
        wanted = f"'anyfit[{self.extra}]'" if self.extra else self.package
        return f"{self.package} is not installed; pip install {wanted}"

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
    def lower(
        self, module: nn.Module, example: elastic.Inputs, path: Path, recipe: Recipe | None = None
    ) -> Path:
        """Write the static module as a program and return its path: `path` with the runtime's suffix.

        `example` is one batch of the input, or of the inputs by name. `recipe` says how the module is built; a runtime
        that runs Python modules uses it, so that no module is ever unpickled.
        """

    def start(self, workload: Workload) -> None:
        """Make a measuring process ready, before any program is opened: programs that run in turns share threads.

        A thread pool for each program would spin after its program's turn, on the cores of the next one.
        """
        del workload
        self._opened = {}

    @abstractmethod
    def load(self, path: Path, workload: Workload) -> Run:
        """Open a program and return a function that runs it once on noise, to the end."""

    def function(self, path: Path, threads: int) -> ArrayFunction:
        """Return a function of arrays by the inputs' names that runs an ONNX file in fp32 and gives its first output.

        What the file does not take is left out. Only for a runtime that `reads_onnx`.
        """
        raise NotImplementedError(f"the programs of {self.name} are no ONNX files")

    def open(self, path: Path, workload: Workload) -> Run:
        """Open a program, or a sequence of programs, and return a function that runs it once."""
        if path.suffix != SUFFIX:
            return self.load(path, workload)
        return open_sequence(path, workload, self.load, self._opened)
