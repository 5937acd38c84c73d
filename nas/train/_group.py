"""Several processes that train one supernet: torchrun and accelerate both set the variables read here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from nas._errors import UsageError


@dataclass(frozen=True)
class Group:
    """This process among all: rank 0 evaluates and writes, every rank draws the same subnets."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process evaluates and writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def share(self, batch_size: int) -> slice:
        """Return which rows of a batch are this process's; raises `UsageError` unless all get equally many."""
        if batch_size % self.size:
            raise UsageError(
                f"batch_size is {batch_size}, which {self.size} processes cannot share equally; give a multiple of "
                f"{self.size}"
            )
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Average tensors of one type over processes, in place; every process must give the same shapes."""
        if self.size == 1:
            return
        given = [*tensors]
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

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it; told on the processor, so that no device has to be waited for."""
        if self.size == 1:
            return wish
        flag = torch.tensor([int(wish)])
        distributed.all_reduce(flag)
        return bool(flag.item())

    @torch.no_grad()
    def follow(self, *modules: torch.nn.Module) -> None:
        """Give every process the parameters and buffers that rank 0 has."""
        if self.size == 1:
            return
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                same = tensor.detach().contiguous()
                distributed.broadcast(same, src=0)
                tensor.copy_(same)

    def average_gradients(self, parameters: Iterable[Tensor], stop: bool) -> bool:
        """Average gradients over processes; returns whether any of them wants to stop.

        The wish to stop travels with the gradients, so that all processes leave after the same step.
        """
        if self.size == 1:
            return stop
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flag = torch.full((1,), float(stop), device=self.device)
        flat = torch.cat([*(grad.reshape(-1) for grad in grads), flag])
        distributed.all_reduce(flat)
        wanted = bool(flat[-1] > 0)
        offset = 0
        for grad in grads:
            grad.copy_(flat[offset : offset + grad.numel()].view(grad.shape).div_(self.size))
            offset += grad.numel()
        return wanted

    def average_buffers(self, module: torch.nn.Module) -> None:
        """Average floating-point buffers (BatchNorm statistics, which each process saw its own images of)."""
        if self.size == 1:
            return
        for buffer in module.buffers():
            if buffer.is_floating_point():
                distributed.all_reduce(buffer)
                buffer.div_(self.size)


def join_group(device: str | None = None) -> Group:
    """Join the processes that torchrun or `accelerate launch` started, or be the only one.

    `device` is "cpu", "cuda", "cuda:1" or None for CUDA where there is any.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
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
    if size > 1 and not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    return Group(rank, size, chosen)


def leave_group(group: Group) -> None:
    """Take down what `join_group` set up."""
    if group.size > 1 and distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def joined(device: str | None = None) -> Iterator[Group]:
    """Give the processes that were started together, as `join_group`, and leave them at the end."""
    group = join_group(device)
    try:
        yield group
    finally:
        leave_group(group)


def is_leading() -> bool:
    """Whether this process is the one that answers: the only one, or rank 0."""
    return os.environ.get("RANK", "0") == "0"
