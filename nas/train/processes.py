"""Several processes that train one network: torchrun and accelerate both start them so that accelerate finds them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from nas.errors import UsageError

_BACKENDS = "cuda:nccl,cpu:gloo"  # numbers on the processor travel without waiting for a device


@dataclass(frozen=True)
class Processes:
    """This process among those that were started together; the main one evaluates and writes.

    Attributes:
        rank: Which one this is, from 0.
        size: How many there are.
        device: Where this one trains.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main_process(self) -> bool:
        """Whether this process evaluates and writes."""
        return self.rank == 0

    def wait_for_everyone(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def shard(self, batch_size: int) -> slice:
        """Return which rows of a batch are this process's; raises `UsageError` unless all get equally many."""
        if batch_size % self.size:
            raise UsageError(
                f"batch_size is {batch_size}, which {self.size} processes cannot share equally; give a multiple of "
                f"{self.size}"
            )
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Average tensors of one type over processes, in place, in one message; all must give the same shapes."""
        if self.size == 1 or not (given := [*tensors]):
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in given])
        distributed.all_reduce(flat)
        parts = flat.div_(self.size).split([tensor.numel() for tensor in given])
        for tensor, part in zip(given, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def average_values(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return numbers averaged over processes, which must all give the same names."""
        if self.size == 1:
            return dict(values)
        found = torch.tensor([*values.values()], dtype=torch.float64)
        self.average([found])
        return dict(zip(values, found.tolist(), strict=True))

    def any(self, requested: bool) -> bool:
        """Whether any process wishes it; told on the processor, so that no device has to be waited for."""
        if self.size == 1:
            return requested
        flag = torch.tensor([int(requested)])
        distributed.all_reduce(flag)
        return bool(flag.item())

    @torch.no_grad()
    def broadcast(self, *modules: nn.Module) -> None:
        """Give every process the parameters and buffers that the main one has."""
        if self.size == 1:
            return
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                same = tensor.detach().contiguous()
                distributed.broadcast(same, src=0)
                tensor.copy_(same)


@contextmanager
def joined(device: str | None = None) -> Iterator[Processes]:
    """Give the processes that torchrun or `accelerate launch` started, or this one alone, and leave them at the end.

    `device` is "cpu", "cuda", "cuda:1" or None for CUDA where there is any. Raises `UsageError` for a device that is
    not there.
    """
    chosen = _device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(0, 1, chosen)
        return
    from accelerate import PartialState

    on_cpu = chosen.type == "cpu"
    started = PartialState(cpu=on_cpu, backend="gloo" if on_cpu else _BACKENDS)
    try:
        yield Processes(started.process_index, started.num_processes, chosen)
    finally:
        started.destroy_process_group()
        PartialState._reset_state()


def _device(name: str | None) -> torch.device:
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device {name} was asked for, but torch sees no CUDA device; use --device cpu")
    if name == "cuda":  # torch takes a device with a number only
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"there is no device {name!r}; use cpu, cuda or cuda:N") from error
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return chosen


def is_main_process() -> bool:
    """Whether this process is the one that answers: the only one, or rank 0."""
    return os.environ.get("RANK", "0") == "0"
