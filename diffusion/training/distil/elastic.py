"""Training all subnets of a UNet at once: its steps, its pictures and what is left of it."""

from __future__ import annotations

from typing import Any, ClassVar

from diffusion.pipeline.files.folder import is_elastic
from diffusion.training.distil.objective import DistillationObjective
from diffusion.training.distil.state import DistillationState, build_state, sort_channels, with_subnet
from diffusion.training.distil.steps import DistillationSteps
from nas.train.objective import Losses


class ElasticObjective(DistillationObjective[DistillationState]):
    """All subnets of a UNet beside the frozen original."""

    columns: ClassVar[tuple[str, ...]] = (
        "step", "images", "loss", "output", "feature", "largest", "narrowest", "images_per_s",
    )  # fmt: skip
    shown: ClassVar[tuple[str, ...]] = ("largest", "narrowest", "feature")

    def build(self) -> DistillationState:
        state, teacher = build_state(self.recipe, self.pipeline, self.setup.device)
        self._steps = DistillationSteps(
            self.recipe, state, teacher, self.pipeline, self.data, self.setup.processes
        )
        return state

    def begin(self) -> None:
        if not is_elastic(self.info):
            examples = self._steps.distiller.importance_examples()
            sort_channels(self.state, examples, self.setup.processes)

    def step(self) -> Losses:
        return self._steps.take()

    def shown_pipelines(self) -> list[Any]:
        """Return those of the largest, the half and the narrowest subnet."""
        family = self.state.family
        subnets = (family.space.largest(), family.uniform(0.5), family.uniform(0))
        return [with_subnet(self.pipeline, self.state.averaged, subnet) for subnet in subnets]

    def finished(self) -> tuple[Any, dict[str, Any]]:
        family = self.state.family
        made = with_subnet(self.pipeline, self.state.averaged, family.space.largest()).to("cpu")
        options = {name: value for name, value in family.options.items() if name != "config"}
        elastic = {"data": self.data_name, "steps": self.state.step, "batch_size": self.recipe.batch_size}
        return made, {**self.info, "name": self.recipe.name, "space": {"unet": options}, "elastic": elastic}
