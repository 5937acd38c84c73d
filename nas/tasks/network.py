"""Any network as a task: its inputs and its output are tensors, and its subnets are judged beside the full network."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nas.elastic import named_inputs, split_inputs
from nas.errors import UsageError
from nas.models import Model, Preprocessing, Quality, Split, Task
from nas.space import Subnet
from nas.tasks.agreement import AGREEMENT, DIVERGENCE, ERROR, BesideFull

_INPUTS, _BATCH = 64, 16


class AnyNetwork(Task):
    """Tensors in, a tensor out."""

    name = "network"
    qualities = (AGREEMENT, DIVERGENCE, ERROR)

    def needs_data(self, quality: Quality) -> bool:
        return False

    def evaluator(
        self,
        model: Model,
        quality: Quality,
        data: Any = None,
        *,
        split: Split = "val",
        limit: int | None = None,
    ) -> BesideFull:
        if data is not None:
            raise UsageError(f"{model.name} takes no pictures; leave --data out: {quality.label} needs none")
        count = min(limit or _INPUTS, _INPUTS)
        inputs, what = self.inputs(model, model.space.largest(), count)
        return BesideFull(model, quality, split_inputs(inputs, _BATCH), f"{count} inputs of {what}")

    def inputs(
        self, model: Model, subnet: Subnet, count: int, images: Tensor | None = None
    ) -> tuple[Any, str]:
        example = model.family.example_input(subnet, count)
        is_noise = all(tensor.is_floating_point() for tensor in named_inputs(example).values())
        return example, "noise" if is_noise else "random numbers"

    def interface(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> str:
        text = f"Input: {' × '.join(['N', *map(str, shape)])} (any N), as the original network takes it.\n\nOutput: "
        return text + (f"one number for each of {len(classes)} classes." if classes else "one tensor.")

    def example_code(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> tuple[str, str]:
        lines = f'import numpy as np\nx = np.ones((1, {", ".join(map(str, shape))}), dtype="float32")\n'
        return "An input batch (for the shape and type):", f"\n{lines}"
