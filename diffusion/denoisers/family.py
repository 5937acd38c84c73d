"""What the families over diffusers share: a stock network as the template, shares that are offered, sampling."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from diffusion.denoisers.blocks import DenoiserLayout, Shares
from diffusion.denoisers.configuration import read_configuration
from nas.elastic import Family, Part, assembled, require_offer
from nas.errors import UsageError
from nas.space import Dimension, SearchSpace, Subnet


class DenoiserFamily(Family):
    """The subnets of one denoiser of diffusers, a network of named inputs and one output.

    `kinds` maps diffusers' classes to those of the networks; `moved` a tensor's name in diffusers to ours, where they
    differ. The dimensions of `sampling` come last and change no network. With `within`, choices by dimension, these are
    the largest: the family of a network that is a subnet already.
    """

    task = "diffusion"
    kinds: ClassVar[Mapping[str, type[ModelMixin]]]
    moved: Mapping[str, str] = {}

    def __init__(
        self,
        config: Mapping[str, Any],
        shares: Shares,
        removable: bool,
        sampling: Mapping[str, Sequence[Any]],
        tokens: int,
        within: Mapping[str, Any] | None = None,
    ) -> None:
        self.within = dict(within or {})
        self.config = read_configuration(config, tuple(self.kinds))
        self.kind: str = self.config["_class_name"]
        self.tokens = tokens
        self.options: Mapping[str, object] = {
            "config": dict(self.config),
            **{name: list(value) for name, value in vars(shares).items() if value is not None},
            "removable": removable,
            "sampling": {name: list(choices) for name, choices in sampling.items()},
            "tokens": tokens,
            **({"within": self.within} if within else {}),
        }
        self._plan = self.plan(shares, removable)
        self._restrict()
        self.pass_dimensions = tuple(sampling)
        extra = [Dimension(name, tuple(choices)) for name, choices in sampling.items()]
        self.space = SearchSpace(self.name, [*self._plan.dimensions, *extra])

    def _restrict(self) -> None:
        known = {dimension.name: dimension for dimension in self._plan.dimensions}
        unknown = next((name for name in self.within if name not in known), None)
        if unknown is not None:
            raise UsageError(
                f"the largest subnet names {unknown!r}, which is no dimension of this {self.kind}; give the options "
                "that it was made with"
            )
        self._plan.within(self.within)

    @abstractmethod
    def plan(self, shares: Shares, removable: bool) -> DenoiserLayout:
        """Gather the dimensions, parts and gaps of the template."""

    @cached_property
    def template(self) -> Any:
        """The stock network, without values for its parameters."""
        from accelerate import init_empty_weights

        kind: Any = self.kinds[self.kind]
        with init_empty_weights(include_buffers=False):
            try:
                return kind.from_config(dict(self.config))
            except (
                TypeError,
                ValueError,
                AssertionError,
                ZeroDivisionError,
                IndexError,
                NotImplementedError,
            ) as error:
                reason = str(error).partition("\n")[0]
                raise UsageError(
                    f"diffusers makes no {self.kind} of the configuration ({reason}); give the config.json of one"
                ) from error

    @property
    def parts(self) -> Sequence[Part]:
        return self._plan.parts

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        return assembled(self.template, modules, self._plan.left_out(subnet))

    def published_name(self, key: str) -> str | None:
        return self.moved.get(key, key)

    @property
    def size(self) -> tuple[int, int]:
        """The height and width of the samples that costs are counted for."""
        size = self.template.config["sample_size"] or 64
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return self.inputs(batch_size, lambda *shape: torch.randn(batch_size, *shape, generator=generator))

    @abstractmethod
    def inputs(self, batch_size: int, noise: Callable[..., Tensor]) -> dict[str, Tensor]:
        """Return example inputs; `noise` draws a float tensor of a shape, the batch before it."""


def times(batch_size: int) -> Tensor:
    """Return example timesteps, float32 (batch)."""
    return (torch.arange(batch_size) * 283 + 500) % 1000.0


def require_shares(shares: Shares, tokens: int) -> None:
    """Raise `UsageError` unless all are shares from 0 to 1, bits are some that exist, and there is a token."""
    for name, offered in vars(shares).items():
        if name == "bits":
            continue
        fine = [share for share in offered or () if isinstance(share, int | float) and 0 <= share <= 1]
        if offered is not None and (len(fine) != len(offered) or not any(fine)):
            raise UsageError(
                f"{name} is {list(offered)}, but must be shares from 0 to 1, one of them above 0; give such"
            )
    if shares.bits is not None:
        require_offer(shares.bits)
    if type(tokens) is not int or tokens < 1:
        raise UsageError(f"tokens is {tokens!r}, but must be a whole number of at least 1; give one")
