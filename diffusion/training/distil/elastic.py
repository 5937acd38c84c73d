"""Training all subnets of a UNet at once: its steps, its pictures and what is left of it."""

from __future__ import annotations

from typing import Any, ClassVar

from diffusion.pipeline.files.folder import is_elastic
from diffusion.training.distil.objective import DistillationContext, DistillationObjective
from diffusion.training.distil.state import DistillationState, build_state, sort_channels, with_subnet
from diffusion.training.distil.steps import DistillationSteps
from nas.train.objective import Losses


class ElasticObjective(DistillationObjective):
    """All subnets of a UNet beside the frozen original."""

    columns: ClassVar[tuple[str, ...]] = (
        "step", "images", "loss", "output", "feature", "largest", "narrowest", "images_per_s",
    )  # fmt: skip
    shown: ClassVar[tuple[str, ...]] = ("largest", "narrowest", "feature")
    state: DistillationState  # pyright: ignore[reportIncompatibleVariableOverride]

    def build(self) -> DistillationState:
        job: DistillationContext = self.job
        state, teacher = build_state(job.recipe, job.pipeline, self.setup.device)
        self._steps = DistillationSteps(
            job.recipe, state, teacher, job.pipeline, job.data, self.setup.processes
        )
        return state

    def begin(self) -> None:
        if not is_elastic(self.job.info):
            examples = self._steps.distiller.importance_examples()
            sort_channels(self.state, examples, self.setup.processes)

    def step(self) -> Losses:
        return self._steps.take()

    def shown_pipelines(self) -> list[Any]:
        """Return those of the largest, the half and the narrowest subnet."""
        family = self.state.family
        subnets = (family.space.largest(), family.uniform(0.5), family.uniform(0))
        return [with_subnet(self.job.pipeline, self.state.averaged, subnet) for subnet in subnets]

    def finished(self) -> tuple[Any, dict[str, Any]]:
        job, family = self.job, self.state.family
        made = with_subnet(job.pipeline, self.state.averaged, family.space.largest()).to("cpu")
        options = {name: value for name, value in family.options.items() if name != "config"}
        elastic = {"data": job.data_name, "steps": self.state.step, "batch_size": job.recipe.batch_size}
        return made, {**job.info, "name": job.recipe.name, "space": {"unet": options}, "elastic": elastic}
