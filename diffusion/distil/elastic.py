"""Training all subnets of a UNet at once: its state, its steps, its pictures and what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from diffusion.distil.state import build_state, sort_channels, with_subnet
from diffusion.distil.steps import Steps
from diffusion.pipeline import is_elastic
from nas.train._log import LossLog

if TYPE_CHECKING:
    from diffusion.distil.engine import Job


class DistilLog(LossLog):
    """Progress of one run: the loss, and the errors against the original's output."""

    columns: ClassVar[tuple[str, ...]] = (
        "step", "images", "loss", "output", "feature", "largest", "narrowest", "images_per_s",
    )  # fmt: skip
    shown: ClassVar[tuple[str, ...]] = ("largest", "narrowest", "feature")


class Elastic:
    """The training of all subnets."""

    log = DistilLog

    def __init__(self, job: Job, resumed: bool) -> None:
        self._job = job
        self.state, teacher = build_state(job.recipe, job.pipeline, job.group.device)
        steps = Steps(job.recipe, self.state, teacher, job.pipeline, job.data, job.group)
        self.take = steps.take
        if not resumed and not is_elastic(job.info):
            sort_channels(self.state, steps.lessons.importance_examples(), job.group)

    def rows(self) -> list[Any]:
        """Return the pipelines whose samples are shown: of the largest, the half and the narrowest subnet."""
        family = self.state.family
        subnets = (family.space.largest(), family.uniform(0.5), family.uniform(0))
        return [with_subnet(self._job.pipeline, self.state.averaged, subnet) for subnet in subnets]

    def finish(self) -> tuple[Any, dict[str, Any]]:
        """Return the pipeline of the averaged weights, and what is known of it: what its UNet's subnets are."""
        job, family = self._job, self.state.family
        made = with_subnet(job.pipeline, self.state.averaged, family.space.largest()).to("cpu")
        options = {name: value for name, value in family.options.items() if name != "config"}
        elastic = {"data": job.data_name, "steps": self.state.step, "batch_size": job.recipe.batch_size}
        return made, {**job.info, "name": job.recipe.name, "space": {"unet": options}, "elastic": elastic}
