"""A whole pipeline as a family: the elastic UNet, its text encoder and decoder, and how images are sampled.

Beside the UNet's dimensions there are four that touch no weight: "steps"; "guided", the share of steps that are
guided; "reuse", after how many steps deep features are new; "scheduler", which costs nothing. They say how often each
of the programs "text_encoder", "unet", "unet_shallow" and "vae_decoder" runs for an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.components import make_decoder, make_scheduler, make_text_encoder, steady_scheduler
from diffusion.denoiser import Denoiser, ShallowDenoiser
from diffusion.plan import Step, plan_steps
from diffusion.unet import DiffusionUNet, diffusion_unet
from nas._errors import UsageError
from nas.elastic import Family, Inputs, Part, Pass, Program, call
from nas.elastic._family import Forward
from nas.space import Dimension, SearchSpace, Subnet

TEXT, WHOLE, SHALLOW, DECODE = "text_encoder", "unet", "unet_shallow", "vae_decoder"
STEPS, GUIDED, REUSE, SCHEDULER = "steps", "guided", "reuse", "scheduler"
SCALE = 7.5
"""The guidance of a pipeline that names none: the default of diffusers."""


@dataclass(frozen=True)
class Sampling:
    """How images may be sampled; the last of each is how the original samples."""

    steps: Sequence[int]
    guided: Sequence[float]
    reuse: Sequence[int]
    schedulers: Sequence[str]
    scale: float


class Pipeline(nn.Module):
    """A pipeline of one subnet as a network: latents, prompt and negative prompt to images, all steps included."""

    def __init__(self, unet: nn.Module, text_encoder: nn.Module, vae: nn.Module, sampler: _Sampler) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.vae = unet, text_encoder, vae
        self._sampler = sampler

    def forward(self, latents: Tensor, prompt: Tensor, negative: Tensor) -> Tensor:
        """Return images (batch, 3, height, width), -1 to 1 and a little beyond.

        `latents` are noise (batch, channels, height, width), `prompt` and `negative` token numbers (batch, tokens).
        """
        inputs = {"latents": latents, "prompt": prompt, "negative": negative}
        return self._sampler.compose(self)(inputs)

    def sample_latents(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the latents (batch, channels, height, width) that the decoder is given."""
        return self._sampler.compose(self).sample_latents(inputs)


@dataclass(frozen=True)
class _Sampler:
    """What a network needs to know of its family and subnet to sample."""

    family: DiffusionPipeline
    subnet: Subnet

    def compose(self, network: nn.Module) -> Sampled:
        def runner(name: str) -> Forward:
            view = self.family.programs[name].view(network)
            return lambda inputs: call(view, inputs)

        names = {step.program for step in self.family.passes(self.subnet)}
        return self.family.compose({name: runner(name) for name in names}, self.subnet)


class DiffusionPipeline(Family):
    """The subnets of a Stable Diffusion pipeline. Its inputs are those of `Pipeline`."""

    name = "diffusion"
    task = "diffusion"
    published_scale = ((0.5,) * 3, (0.5,) * 3)

    def __init__(
        self,
        unet: DiffusionUNet,
        text_encoder: Mapping[str, Any],
        vae: Mapping[str, Any],
        scheduler: Mapping[str, Any],
        sampling: Sampling,
    ) -> None:
        self.unet, self.sampling = unet, sampling
        self._text, self._vae, self._scheduler = dict(text_encoder), dict(vae), dict(scheduler)
        self.options: Mapping[str, object] = {
            "unet": dict(unet.options),
            "text_encoder": self._text,
            "vae": self._vae,
            "scheduler": self._scheduler,
            **{name: value if name == "scale" else list(value) for name, value in vars(sampling).items()},
        }
        own = [
            Dimension(STEPS, tuple(sampling.steps)),
            Dimension(GUIDED, tuple(sampling.guided)),
            Dimension(REUSE, tuple(sampling.reuse)),
            Dimension(SCHEDULER, tuple(sampling.schedulers)),
        ]
        own = [dimension for dimension in own if len(dimension.choices) > 1]
        self.pass_dimensions = tuple(dimension.name for dimension in own)
        self.space = SearchSpace(self.name, [*unet.space.dimensions, *own])
        self._counts: dict[tuple[str, int], int] = {}

    # --- the network --------------------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> Sequence[Part]:
        return (
            Part(TEXT, lambda _: make_text_encoder(self._text)),
            *(replace(part, name=f"unet.{part.name}", group=part.group) for part in self.unet.parts),
            Part("vae", lambda _: make_decoder(self._vae)),
        )

    def assemble(self, modules: Mapping[str, nn.Module], subnet: Subnet) -> nn.Module:
        own = {name.removeprefix("unet."): module for name, module in modules.items()}
        unet = self.unet.assemble(own, subnet)
        return Pipeline(unet, modules[TEXT], modules["vae"], _Sampler(self, subnet))

    def example_input(self, subnet: Subnet, batch_size: int = 1) -> dict[str, Tensor]:
        latents = self.unet.example_input(subnet, batch_size)["sample"]
        words, tokens = int(self._text["vocab_size"]), self.unet.tokens
        prompt = torch.arange(batch_size * tokens).reshape(batch_size, tokens) * 7 % words
        return {"latents": latents, "prompt": prompt, "negative": torch.zeros_like(prompt)}

    # --- programs -----------------------------------------------------------------------------------------------------

    @cached_property
    def programs(self) -> Mapping[str, Program]:
        unet_dimensions = self.unet.space.names

        def tokens(subnet: Subnet, batch_size: int) -> dict[str, Tensor]:
            return {"input_ids": self.example_input(subnet, batch_size)["prompt"]}

        def deep(subnet: Subnet, batch_size: int) -> dict[str, Tensor]:
            inputs = self.unet.example_input(subnet, batch_size)
            height, width = inputs["sample"].shape[-2:]
            generator = torch.Generator().manual_seed(1)
            return {
                **inputs,
                "deep": torch.randn(batch_size, self._width, height, width, generator=generator),
            }

        def latents(subnet: Subnet, batch_size: int) -> Tensor:
            return self.unet.example_input(subnet, batch_size)["sample"]

        found = {
            TEXT: Program(lambda network: network.get_submodule(TEXT), tokens, ()),
            WHOLE: Program(
                lambda network: Denoiser(network.get_submodule("unet")),
                self.unet.example_input,
                unet_dimensions,
            ),
            SHALLOW: Program(
                lambda network: ShallowDenoiser(network.get_submodule("unet")), deep, self._shallow_dimensions
            ),
            DECODE: Program(lambda network: network.get_submodule("vae"), latents, ()),
        }
        return found if self._has_depth else {name: own for name, own in found.items() if name != SHALLOW}

    @property
    def _has_depth(self) -> bool:
        """Whether there is anything below the outer stage to be used again."""
        return len(self.unet.template.config["block_out_channels"]) > 1

    @property
    def _width(self) -> int:
        """The channels of the features that enter the last stage going up."""
        return int(self.unet.template.config["block_out_channels"][1])

    @property
    def _shallow_dimensions(self) -> tuple[str, ...]:
        stages = len(self.unet.template.config["block_out_channels"])
        outer = ("down_blocks.0.", f"up_blocks.{stages - 1}.")
        inner = ("down_blocks.0.downsamplers", f"up_blocks.{stages - 1}.upsamplers")
        names = [
            name
            for part in self.unet.parts
            if part.name.startswith(outer) and not part.name.startswith(inner)
            for name in (*part.dimensions, *((part.active_if[0],) if part.active_if else ()))
        ]
        return tuple(name for name in self.unet.space.names if name in names)

    # --- sampling -----------------------------------------------------------------------------------------------------

    def chosen(self, subnet: Subnet) -> dict[str, Any]:
        """Return the choices of how to sample, also where only one is offered."""
        offered = {
            STEPS: self.sampling.steps,
            GUIDED: self.sampling.guided,
            REUSE: self.sampling.reuse,
            SCHEDULER: self.sampling.schedulers,
        }
        return {name: subnet.get(name, choices[-1]) for name, choices in offered.items()}

    def scheduler(self, subnet: Subnet) -> Any:
        """Return a scheduler that is set to the steps of `subnet`."""
        own = self.chosen(subnet)
        scheduler = make_scheduler(own[SCHEDULER], self._scheduler)
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
        is_guided = any(step.is_guided for step in plan)
        steps = [
            Pass(WHOLE if step.is_whole else SHALLOW, len(list(run)), 2 if step.is_guided else 1)
            for step, run in groupby(plan)
        ]
        return [Pass(TEXT, 1, 2 if is_guided else 1), *steps, Pass(DECODE)]

    def compose(self, programs: Mapping[str, Forward], subnet: Subnet) -> Sampled:
        return Sampled(self, programs, subnet)


class Sampled:
    """The images of a pipeline, by programs that anything may run."""

    def __init__(self, family: DiffusionPipeline, programs: Mapping[str, Forward], subnet: Subnet) -> None:
        self._family, self._programs, self._subnet = family, programs, subnet
        self._plan = family.plan(subnet)

    def __call__(self, inputs: Inputs) -> Tensor:
        """Return images for latents, prompts and negative prompts."""
        assert isinstance(inputs, Mapping)
        return self._programs[DECODE](self.sample_latents(inputs))

    def sample_latents(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the latents that the decoder is given."""
        scheduler = self._family.scheduler(self._subnet)
        x = inputs["latents"] * scheduler.init_noise_sigma
        conditions = self._conditions(inputs)
        deep: Tensor | None = None
        for step, time in zip(self._plan, scheduler.timesteps, strict=True):
            rows = x.shape[0] * (2 if step.is_guided else 1)  # not len(x), which a trace takes for constant
            feed = {
                "sample": scheduler.scale_model_input(torch.cat([x, x]) if step.is_guided else x, time),
                "timestep": time.to(x.dtype).expand(rows),
                "encoder_hidden_states": conditions[-rows:],
            }
            if step.is_whole:
                out = self._programs[WHOLE](feed)
                prediction, deep = out[:, : x.shape[1]], out[:, x.shape[1] :]
            else:
                assert deep is not None
                prediction = self._programs[SHALLOW]({**feed, "deep": deep[-rows:]})
            if step.is_guided:
                without, with_text = prediction.chunk(2)
                prediction = without + self._family.sampling.scale * (with_text - without)
            x = scheduler.step(prediction, time, x, return_dict=False)[0]
        return x

    def _conditions(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the conditions without the prompt, if some step is guided, then those with it."""
        guided = any(step.is_guided for step in self._plan)
        ids = torch.cat([inputs["negative"], inputs["prompt"]]) if guided else inputs["prompt"]
        return self._programs[TEXT]({"input_ids": ids})


def diffusion_pipeline(
    unet: Mapping[str, Any],
    text_encoder: Mapping[str, Any],
    vae: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    steps: Sequence[int] = (4, 6, 8, 12, 16, 25),
    guided: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    reuse: Sequence[int] = (5, 3, 2, 1),
    schedulers: Sequence[str] = (),
    scale: float = SCALE,
) -> DiffusionPipeline:
    """Return the space of a Stable Diffusion pipeline.

    `unet` are the options of `diffusion_unet`, among them its "config"; the others are the configurations of the
    pipeline's parts. The last of `steps`, `guided`, `reuse` and `schedulers` is how the original samples; without
    `schedulers` only its own, or where that adds noise at every step its deterministic relative, is offered. `scale`
    is the guidance. Raises `UsageError` for a part that is not supported and for choices that make no sense.
    """
    own = steady_scheduler(str(scheduler.get("_class_name")))
    sampling = Sampling(steps, guided, reuse, schedulers or (own,), float(scale))
    for name, choices, fine in (
        (STEPS, steps, lambda value: type(value) is int and value > 0),
        (REUSE, reuse, lambda value: type(value) is int and value > 0),
        (GUIDED, guided, lambda value: isinstance(value, float) and 0 <= value <= 1),
    ):
        if not choices or not all(map(fine, choices)):
            raise UsageError(
                f"{name} is {list(choices)}, but must be numbers that make sense; see the documentation"
            )
    network = diffusion_unet(**unet)
    if not network.conditional or network.config.get("addition_embed_type") is not None:
        raise UsageError(
            "the pipeline's UNet is none of Stable Diffusion 1 or 2, which are supported as whole pipelines; "
            "give such a pipeline"
        )
    return DiffusionPipeline(network, text_encoder, vae, scheduler, sampling)
