"""A whole pipeline as a family: the elastic denoiser, text encoders, decoder, and how images are sampled.

Beside the denoiser's dimensions there are those that touch no weight: "steps"; "guided", the share of steps that are
guided, where anything guides; "reuse", after how many steps deep features are new, for UNets with depth; "scheduler",
which costs nothing. They say how often each program runs for an image: the text encoders, "unet" and "unet_shallow" or
"transformer", and "vae_decoder".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.denoisers.deepcache import Denoiser, ShallowDenoiser
from diffusion.denoisers.family import DenoiserFamily
from diffusion.denoisers.merging import choices_for
from diffusion.denoisers.transformer import diffusion_transformer
from diffusion.denoisers.unet import diffusion_unet
from diffusion.pipeline.inputs.conditioning import conditions_of
from diffusion.pipeline.inputs.conditions import LATENTS
from diffusion.pipeline.parts.components import (
    deterministic_scheduler,
    make_decoder,
    make_scheduler,
    make_text_encoder,
)
from diffusion.pipeline.parts.kinds import TEXT, TEXT_2, TRANSFORMER, UNET, VAE, Kind, find_kind
from diffusion.pipeline.sampling.plan import Step, plan_steps
from diffusion.pipeline.sampling.programs import Procedure, ProgramPipeline, Sampled
from nas.elastic import BITS, FULL, Family, Forward, Part, Pass, Program
from nas.errors import UsageError
from nas.space import Dimension, SearchSpace, Subnet

SHALLOW, DECODE = "unet_shallow", "vae_decoder"
STEPS, GUIDED, REUSE, SCHEDULER = "steps", "guided", "reuse", "scheduler"
_SAMPLE = {UNET: "sample", TRANSFORMER: "hidden_states"}
_FAMILIES = {UNET: diffusion_unet, TRANSFORMER: diffusion_transformer}


@dataclass(frozen=True)
class Sampling:
    """How images may be sampled; the last of each is how the original samples."""

    steps: Sequence[int]
    guided: Sequence[float]
    reuse: Sequence[int]
    schedulers: Sequence[str]
    scale: float

    def dimensions(self) -> dict[str, Sequence[Any]]:
        """Return the choices by the dimension's name."""
        return {STEPS: self.steps, GUIDED: self.guided, REUSE: self.reuse, SCHEDULER: self.schedulers}


class PipelineFamily(Family):
    """The subnets of a pipeline of diffusers. Inputs are those of `ProgramPipeline`: `latents`, and what conditions it.

    Attributes:
        kind: which pipeline it is of.
        denoiser: the family of its UNet or transformer.
        conditions: what the denoiser is told beside noise and time.
        outputs: the channels that the denoiser predicts; the first are those of the latents.
    """

    name = "diffusion"
    task = "diffusion"
    published_scale = ((0.5,) * 3, (0.5,) * 3)

    def __init__(
        self,
        kind: Kind,
        denoiser: DenoiserFamily,
        configs: Mapping[str, Mapping[str, Any]],
        sampling: Sampling,
        zeros: bool,
    ) -> None:
        self.kind, self.denoiser, self.sampling = kind, denoiser, sampling
        self._configs = {name: dict(config) for name, config in configs.items()}
        self.conditions = conditions_of(kind, self._configs, denoiser, zeros)
        self.whole, self.shallow, self.decoder = kind.denoiser, SHALLOW, DECODE if kind.has_decoder else ""
        self.sample_name = _SAMPLE[kind.denoiser]
        self.outputs = int(
            denoiser.template.config["out_channels"] or denoiser.template.config["in_channels"]
        )
        own = [Dimension(name, tuple(c)) for name, c in sampling.dimensions().items() if len(c) > 1]
        self.pass_dimensions = tuple(dimension.name for dimension in own)
        self.space = SearchSpace(self.name, [*denoiser.space.dimensions, *own])
        self.options: Mapping[str, object] = {
            "kind": kind.name,
            kind.denoiser: {"bits": None, **denoiser.options},
            **self._configs,
            **({"zeros": zeros} if TEXT_2 in kind.texts else {}),
            **self._sampling_options(),
        }
        self._counts: dict[tuple[str, int], int] = {}

    def _sampling_options(self) -> dict[str, object]:
        absent = () if self.kind.scale is not None else ("guided", "scale")
        absent = absent if _has_depth(self.denoiser) else (*absent, "reuse")
        return {
            name: value if name == "scale" else list(value)
            for name, value in vars(self.sampling).items()
            if name not in absent
        }

    # --- the network --------------------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> Sequence[Part]:
        kind = self.kind
        texts = [Part(name, partial(self._make_text, name)) for name in kind.texts]
        decoder = [Part(VAE, self._make_decoder)] if kind.has_decoder else []
        return (*texts, *self.denoiser.parts_within(kind.denoiser), *decoder)

    def _make_text(self, name: str, _choices: object) -> nn.Module:
        return make_text_encoder(self._configs[name], self.kind.texts[name], inner=TEXT_2 in self.kind.texts)

    def _make_decoder(self, _choices: object) -> nn.Module:
        return make_decoder(self._configs[VAE], by_channel=TEXT_2 in self.kind.texts)

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        path = self.kind.denoiser
        denoiser = self.denoiser.assemble_within(path, modules, subnet)
        others = {name: module for name, module in modules.items() if not name.startswith(f"{path}.")}
        return ProgramPipeline({path: denoiser, **others}, self, subnet)

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> dict[str, Tensor]:
        return {LATENTS: self._latents(subnet, batch_size), **self.conditions.example(batch_size)}

    def _latents(self, subnet: Subnet, batch_size: int) -> Tensor:
        return self.denoiser.example_input(subnet, batch_size)[self.sample_name]

    # --- programs -----------------------------------------------------------------------------------------------------

    @cached_property
    def programs(self) -> Mapping[str, Program]:
        part = self.kind.denoiser

        def whole(network: nn.Module) -> nn.Module:
            denoiser = network.get_submodule(part)
            return Denoiser(denoiser) if _has_depth(self.denoiser) else denoiser

        found = {name: self._encoder(name) for name in self.kind.texts}
        found[self.whole] = Program(whole, self.denoiser.example_input, self.denoiser.space.names)
        if _has_depth(self.denoiser):
            found[self.shallow] = Program(
                lambda network: ShallowDenoiser(network.get_submodule(part)),
                self._deep_example,
                self._shallow_dimensions,
            )
        if self.decoder:
            found[self.decoder] = Program(lambda network: network.get_submodule(VAE), self._latents, ())
        return found

    def _encoder(self, name: str) -> Program:
        def example(subnet: Subnet, batch_size: int) -> dict[str, Tensor]:
            inputs = self.conditions.example(batch_size)
            return {argument: inputs[own] for argument, own in self.conditions.encoders[name].items()}

        return Program(lambda network: network.get_submodule(name), example, ())

    def _deep_example(self, subnet: Subnet, batch_size: int) -> dict[str, Tensor]:
        inputs = self.denoiser.example_input(subnet, batch_size)
        width = int(
            self.denoiser.template.config["block_out_channels"][1]
        )  # what enters the last stage going up
        shape = (batch_size, width, *inputs[self.sample_name].shape[-2:])
        return {**inputs, "deep": torch.randn(shape, generator=torch.Generator().manual_seed(1))}

    @property
    def _shallow_dimensions(self) -> tuple[str, ...]:
        stages = len(self.denoiser.template.config["block_out_channels"])
        outer = ("down_blocks.0.", f"up_blocks.{stages - 1}.")
        inner = ("down_blocks.0.downsamplers", f"up_blocks.{stages - 1}.upsamplers")
        names = [
            name
            for part in self.denoiser.parts
            if part.name.startswith(outer) and not part.name.startswith(inner)
            for name in (*part.dimensions, *((part.active_if[0],) if part.active_if else ()))
        ]
        return tuple(name for name in self.denoiser.space.names if name in names)

    # --- sampling -----------------------------------------------------------------------------------------------------

    def chosen(self, subnet: Subnet) -> dict[str, Any]:
        """Return the choices of how to sample, also where only one is offered."""
        return {name: subnet.get(name, choices[-1]) for name, choices in self.sampling.dimensions().items()}

    def scheduler(self, subnet: Subnet) -> Any:
        """Return a scheduler that is set to the steps of `subnet`."""
        own = self.chosen(subnet)
        scheduler = make_scheduler(own[SCHEDULER], self._configs["scheduler"])
        scheduler.set_timesteps(own[STEPS])
        return scheduler

    def plan(self, subnet: Subnet) -> list[Step]:
        """Return what is run at each step; some schedulers take one more than they are told."""
        own = self.chosen(subnet)
        key = own[SCHEDULER], own[STEPS]
        if key not in self._counts:
            self._counts[key] = len(self.scheduler(subnet).timesteps)
        return plan_steps(self._counts[key], own[GUIDED], own[REUSE])

    def passes(self, subnet: Subnet) -> Sequence[Pass]:
        plan = self.plan(subnet)
        has_negatives = self.conditions.negatives and any(step.is_guided for step in plan)
        steps = [
            Pass(self.whole if step.is_whole else self.shallow, len(list(run)), 2 if step.is_guided else 1)
            for step, run in groupby(plan)
        ]
        texts = [Pass(name, 1, 2 if has_negatives else 1) for name in self.kind.texts]
        return [*texts, *steps, *([Pass(self.decoder)] if self.decoder else [])]

    def compose(self, programs: Mapping[str, Forward], subnet: Subnet) -> Sampled:
        procedure = Procedure(
            plan=self.plan(subnet),
            make_scheduler=partial(self.scheduler, subnet),
            conditions=self.conditions,
            scale=self.sampling.scale,
            whole=self.whole,
            shallow=self.shallow,
            decoder=self.decoder,
            sample_name=self.sample_name,
            outputs=self.outputs,
        )
        return Sampled(procedure, programs)


def _has_depth(denoiser: DenoiserFamily) -> bool:
    """Whether there is anything below an outer stage to be used again."""
    return len(denoiser.template.config.get("block_out_channels", ())) > 1


def diffusion_pipeline(
    kind: str = "StableDiffusionPipeline",
    *,
    scheduler: Mapping[str, Any],
    unet: Mapping[str, Any] | None = None,
    transformer: Mapping[str, Any] | None = None,
    text_encoder: Mapping[str, Any] | None = None,
    text_encoder_2: Mapping[str, Any] | None = None,
    vae: Mapping[str, Any] | None = None,
    zeros: bool = True,
    steps: Sequence[int] = (4, 6, 8, 12, 16, 25),
    guided: Sequence[float] | None = None,
    reuse: Sequence[int] | None = None,
    schedulers: Sequence[str] = (),
    scale: float | None = None,
) -> PipelineFamily:
    """Return the space of a pipeline of the class `kind` of diffusers.

    `unet` or `transformer` are the options of `diffusion_unet` or `diffusion_transformer`, among them its "config";
    weights may have 4, 8 and 32 bits unless its "bits" say otherwise, and a UNet's "merge" is offered unasked where the
    outermost self-attentions have many tokens. The others are the configurations of the pipeline's parts. `zeros` is
    Stable Diffusion XL's `force_zeros_for_empty_prompt`. The last of `steps`, `guided`, `reuse` and `schedulers` is how
    the original samples; without `schedulers` only its own, or where that adds noise at every step its deterministic
    relative, is offered. `scale` is the guidance, 1 or less for none. Raises `UsageError` for a part that is not
    supported and for choices that make no sense.
    """
    own = find_kind(kind)
    given = {UNET: unet, TRANSFORMER: transformer, TEXT: text_encoder, TEXT_2: text_encoder_2, VAE: vae}
    missing = [name for name in own.weighted if given[name] is None]
    extra = [name for name, value in given.items() if value is not None and name not in own.weighted]
    if missing or extra:
        raise UsageError(
            f"a {kind} has the parts {', '.join(own.weighted)}, but {', '.join(missing + extra)} "
            f"{'is missing' if missing else 'is given too'}; give these"
        )
    options = dict(given[own.denoiser] or {})
    unasked = {"merge": choices_for(options["config"])} if own.denoiser == UNET else {}
    denoiser = _FAMILIES[own.denoiser](**{"bits": (*BITS, FULL), **unasked, **options})
    sampling = _sampling(own, denoiser, steps, guided, reuse, schedulers, scale, scheduler)
    configs = {name: given[name] or {} for name in own.weighted if name != own.denoiser}
    return PipelineFamily(own, denoiser, {**configs, "scheduler": scheduler}, sampling, bool(zeros))


def _sampling(
    kind: Kind,
    denoiser: DenoiserFamily,
    steps: Sequence[int],
    guided: Sequence[float] | None,
    reuse: Sequence[int] | None,
    schedulers: Sequence[str],
    scale: float | None,
    scheduler: Mapping[str, Any],
) -> Sampling:
    """Return what is offered, with the defaults of `kind`; refuse what it has not and what makes no sense."""
    if kind.scale is None and (guided is not None or scale is not None):
        raise UsageError(f"guidance is given, but nothing guides a {kind.name}; leave it out")
    if reuse is not None and not _has_depth(denoiser):
        raise UsageError(
            "reuse is given, but only a UNet with several stages has deep features; leave it out"
        )
    used = float(1 if kind.scale is None else kind.scale if scale is None else scale)
    is_guided = used > 1
    for name, choices, fine in (
        (STEPS, steps, lambda value: type(value) is int and value > 0),
        (REUSE, (1,) if reuse is None else reuse, lambda value: type(value) is int and value > 0),
        (
            GUIDED,
            (0.0,) if guided is None else guided,
            lambda value: isinstance(value, float) and 0 <= value <= 1,
        ),
    ):
        if not choices or not all(map(fine, choices)):
            raise UsageError(
                f"{name} is {list(choices)}, but must be numbers that make sense; see the documentation"
            )
    return Sampling(
        steps,
        (guided or (0.0, 0.25, 0.5, 0.75, 1.0)) if is_guided else (0.0,),
        reuse or ((5, 3, 2, 1) if _has_depth(denoiser) else (1,)),
        schedulers or (deterministic_scheduler(str(scheduler.get("_class_name"))),),
        used,
    )
