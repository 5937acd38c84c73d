"""What a runtime is: how a module becomes a program file, and how a process of its own runs that file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas import elastic
from nas.errors import NasError, UsageError
from nas.latency.runtimes.sequence import SUFFIX, Opened, Run, open_sequence
from nas.latency.workload import Workload, available_cores

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

BuildRecipe = Mapping[str, Any]
ArrayFunction = Callable[["Mapping[str, np.ndarray]"], "np.ndarray"]


class Runtime(ABC):
    """Something that runs a network: a library on a device.

    Life cycle: the measuring program calls `require`, then `lower` once for each module. A worker process, its threads
    already pinned, calls `start` once, `open` for each file and then the returned functions again and again, in turns;
    it may import only what `start` and `load` import. `version` belongs to a latency as much as the name does.

    Registered in the entry point group "anyfit.runtimes", or a line of the table in `nas.latency.runtimes`; made
    without arguments, even where it cannot be used: its module imports the library inside methods.
    `nas.testing.runtimes` has the tests that a runtime must pass.
    """

    name: ClassVar[str]
    """What commands and profiles call it."""
    package: ClassVar[str]
    """The distribution whose version is the runtime's, as pip knows it."""
    device: ClassVar[str] = "cpu"
    """Where it runs, as torch names it."""
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    """The number formats it computes in, of `nas.latency.workload.PRECISIONS`."""
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
        """Return why this runtime cannot be used here, and what to do, in one line; None if it can."""
        if self.version != "absent":
            return None
        wanted = f"'anyfit[{self.extra}]'" if self.extra else self.package
        return f"{self.package} is not installed; pip install {wanted}"

    def require(self, workload: Workload) -> None:
        """Check that this runtime is here and runs a workload.

        Raises:
            NasError: It cannot be used here.
            UsageError: It does not compute in this precision, or there are fewer cores than threads.
        """
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
        self, module: nn.Module, example: elastic.Inputs, path: Path, recipe: BuildRecipe | None = None
    ) -> Path:
        """Write a static module as a program.

        Args:
            module: In evaluation mode; it is left as it is. Its weights may be on the meta device, where the runtime
                `builds` and there is a recipe.
            example: One batch of its input, or of its inputs by name.
            path: Where, without a suffix.
            recipe: How the module is built: "family", "options", "subnet" and, of several, "program". A runtime that
                runs Python modules uses it, so that no module is ever unpickled.

        Returns:
            The program's path: `path` with the runtime's suffix. With a recipe it runs any batch size.

        Raises:
            NasError: The module cannot be written.
        """

    def start(self, workload: Workload) -> None:
        """Make a measuring process ready, before any program is opened: programs that run in turns share threads.

        A thread pool for each program would spin after its program's turn, on the cores of the next one.
        """
        del workload
        self._opened = {}

    @abstractmethod
    def load(self, path: Path, workload: Workload) -> Run:
        """Open a program.

        Args:
            path: What `lower` returned.
            workload: Batch size, threads and number format.

        Returns:
            A function that runs it once, to the end, on noise that is the same each time: standard normal numbers,
            zeros for whole ones. It returns the output: a tensor, or a sequence of which the first is it.
        """

    def function(self, path: Path, threads: int) -> ArrayFunction:
        """Open an ONNX file to compute with, in fp32; only for a runtime that `reads_onnx`.

        Args:
            path: The file.
            threads: How many it may use.

        Returns:
            A function of arrays by the inputs' names that gives the first output. What the file does not take is left
            out.

        Raises:
            NotImplementedError: The runtime reads none.
        """
        raise NotImplementedError(f"the programs of {self.name} are no ONNX files")

    def open(self, path: Path, workload: Workload) -> Run:
        """Open a program, or a sequence of programs, and return a function that runs it once.

        That of a sequence returns nothing. Args are those of `load`.
        """
        if path.suffix != SUFFIX:
            return self.load(path, workload)
        return open_sequence(path, workload, self.load, self._opened)
