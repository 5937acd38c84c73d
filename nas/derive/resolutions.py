"""Resolution: a model's own modules may take pictures of other sizes than the one that is traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from nas.derive.agreement import run_modules, slices
from nas.derive.labels.labels import Labels, Product
from nas.derive.labels.trace import Network, trace
from nas.derive.masked import Masked
from nas.derive.networks.family import DerivedFamily
from nas.derive.networks.specification import RESOLUTION, Specification
from nas.derive.proof import CAST, revealing, run_module, without_rings
from nas.derive.spaces.units import Dimensions, Found
from nas.derive.walk import label
from nas.elastic import macs_in_order, resize_images
from nas.errors import UsageError
from nas.space import Choice, Dimension, Subnet

SMALLEST = 8


class Resolutions:
    """Sizes that a model takes its picture in.

    Args:
        network: of the model.
        examples: what it is called with, by place.
        sizes: heights and widths, in pixels.

    Raises:
        UsageError: no such sizes, no square picture among the inputs, or a size that the model does not take.
    """

    def __init__(self, network: Network, examples: tuple[Tensor, ...], sizes: Sequence[int]) -> None:
        self.sizes = tuple(sorted({*sizes}))
        self._network, self._examples = network, examples
        if len(self.sizes) < 2 or not all(type(size) is int and size >= SMALLEST for size in self.sizes):
            raise UsageError(
                f"resolutions is {[*sizes]}, but two sizes or more are expected, whole numbers of pixels of at least "
                f"{SMALLEST}; give such"
            )
        pictures = [i for i, x in enumerate(examples) if x.ndim == 4 and x.is_floating_point()]
        if len(pictures) != 1 or examples[pictures[0]].shape[-1] != examples[pictures[0]].shape[-2]:
            shapes = ", ".join(str(tuple(x.shape)) for x in examples)
            raise UsageError(
                f"resolutions are of one square picture, but the inputs have shapes {shapes}; leave resolutions out"
            )
        self._place = pictures[0]
        self._native = examples[self._place].shape[-1]
        with torch.no_grad():
            shape = network(*examples).shape
            for size in self.sizes:
                self._try(size, shape)

    def _try(self, size: int, shape: torch.Size) -> None:
        name = type(self._network.model).__name__
        try:
            found = self._network(*self._at(size)).shape
        except Exception as error:
            seen = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UsageError(
                f"{name} does not take pictures of {size} × {size} ({seen}); leave {size} out"
            ) from error
        if found != shape:
            raise UsageError(
                f"the output of {name} has shape {tuple(found)} for pictures of {size} × {size}, but {tuple(shape)} "
                f"for those of {self._native}; leave resolutions out"
            )

    def _at(self, size: int, examples: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        """Return examples whose picture has another size."""
        found = [*(self._examples if examples is None else examples)]
        found[self._place] = resize_images(found[self._place], (size, size))
        return tuple(found)

    def offered(self, specification: Specification, labels: Labels) -> Specification:
        """Return a specification with the dimension, and what products cost at every size."""
        base = [_full(product) for product in labels.products]
        is_seen = macs_in_order(self._network, labels.trace.examples) == base
        at_sizes = [self._macs(size, labels, is_seen) for size in self.sizes]
        costs = (
            replace(cost, constants=tuple(cost.constants[0] * there // here for there in macs))
            for cost, here, *macs in zip(specification.costs, base, *at_sizes, strict=True)
        )
        dimensions = (Dimension(RESOLUTION, self.sizes), *specification.dimensions)
        return replace(specification, dimensions=dimensions, costs=tuple(costs))

    def _macs(self, size: int, labels: Labels, is_seen: bool) -> list[int]:
        """Return what every product costs at a size: as modules run it, or where that is not seen by another trace."""
        found = macs_in_order(self._network, self._at(size, labels.trace.examples)) if is_seen else []
        if len(found) == len(labels.products):
            return found
        other = label(trace(self._network, self._at(size))).products
        if [product.node.name for product in other] != [product.node.name for product in labels.products]:
            raise UsageError(
                f"{type(self._network.model).__name__} computes otherwise at {size} × {size} than at {self._native}; "
                f"leave {size} out"
            )
        return [_full(product) for product in other]

    def failing(self, family: DerivedFamily, labels: Labels, dimensions: Dimensions) -> dict[str, str]:
        """Return dimensions that the model's own modules get wrong at some size, with what was seen.

        Where a module computes its padding as it runs, a smaller kernel need not stand in the middle of the full one
        at every size. So small subnets of own modules are compared with the full ones, masked, at each; widths are left
        whole where statistics are over them.
        """
        state = revealing(labels.trace.state, labels.trace.same, seed=0)
        largest, offered = dict(family.space.largest()), dict(dimensions.offered())
        smallest = {name: family.space[name].choices[0] for name in (*dimensions.kernels, *offered)}
        if not _mask(labels, offered, {**largest, **smallest}).is_plain:
            smallest = {name: smallest[name] for name in dimensions.kernels}

        def seen(choices: Mapping[str, Choice]) -> str:
            subnet = family.space.subnet({**largest, **choices})
            masked = _mask(labels, offered, subnet).state(state)
            masked = without_rings(masked, dimensions.kernels, subnet)
            return next(
                (found for size in self.sizes if (found := self._wrong(size, family, subnet, state, masked))),
                "",
            )

        if not smallest or not (found := seen(smallest)):
            return {}
        alone = {name: found for name, choice in smallest.items() if (found := seen({name: choice}))}
        return alone or dict.fromkeys(smallest, found)

    def _wrong(
        self,
        size: int,
        family: DerivedFamily,
        subnet: Subnet,
        state: Mapping[str, Tensor],
        masked: Mapping[str, Tensor],
    ) -> str:
        inputs = [x.double() if x.is_floating_point() else x for x in self._at(size)]
        expected = run_module(self._network, masked, inputs)
        given = run_modules(family, subnet, slices(family, subnet, state), inputs)
        error = float((given - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
        if error <= CAST:
            return ""
        return f"sliced and masked differ by {error:.1e} of the output at {size} × {size}"


def _mask(labels: Labels, offered: Mapping[str, Found], choices: Mapping[str, Choice]) -> Masked:
    return Masked(labels, [atom for name, f in offered.items() for atom in f.atoms[int(choices[name]) :]])


def _full(product: Product) -> int:
    return product.constant * prod(size for _, size in product.axes)
