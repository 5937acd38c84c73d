"""A generator's training recipe: every number of one stage that decides the result, as a file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nas.train.settings import Count, Natural, Precision, Rate, Share, StepRecipe, Weight, recipes_of

FAMILY = (
    "resolution",
    "multiplier",
    "style",
    "cap",
    "smallest",
    "mapping",
    "conditional",
    "discriminator_multiplier",
    "discriminator_cap",
)
"""Settings of the two networks; the stages that need a start take them from there."""


class GeneratorRecipe(StepRecipe):
    """How a generator is trained in one stage; a step is one update of each network. The rest is in `StepRecipe`.

    Attributes:
        stage: "base" (the full generator), "multires" (the full generator at a random output resolution in each step),
            "elastic" (all subnets, with a discriminator that is told the subnet, and a frozen full generator as
            teacher), or "distil" (the same without a discriminator and without data).
        resolution, multiplier, style, cap, smallest, mapping: the family's options, see `anycost`.
        conditional: whether images are made by class; the classes come from the data.
        discriminator_multiplier, discriminator_cap: the discriminator's channels, by the generator's rule; 0 takes the
            generator's.
        lr, discriminator_lr: learning rates of Adam; mapping_lr: factor on `lr` for the mapping network, which is
            scaled to learn a hundred times more slowly (StyleGAN2): too slowly for a short training.
        beta1, beta2: Adam's decay rates, for both networks.
        growing: stage "multires" only: share of the steps, at the start, in which the resolutions open one after
            another; small images are cheap and teach the coarse shapes.
        cooldown: share of the steps, at the end, in which both learning rates fall to zero in a straight line.
        paired: whether scores are compared in pairs of a real and a generated image of one class, which keeps small
            trainings from making the same image of every latent; otherwise each is judged alone.
        r1, r2: weights (gamma) of the gradient penalties at real and at generated images, computed every `r1_every`
            steps; 0 turns one off.
        ema_half_life: of the weights that are kept, in thousands of images; `ema_rampup`: at most this share of the
            images seen so far.
        augment: policy of `gan_compress.stylegan2.training.augment.diff_augment`; flip: mirror half of the real images.
        mixing: share of the batches made with two styles, the second from a random layer on.
        random_subnets: drawn each step beside the largest and one of the smallest channels; `uniform_share` of them
            have one ratio in all layers.
        adversarial_weight, pixel_weight, feature_weight: of the losses of the elastic stage.
        precision: "fp32", "bf16" (CUDA only) or "auto" (fp32 with TF32 products on CUDA).
    """

    name: str = "generator"
    stage: Literal["base", "multires", "elastic", "distil"] = "base"
    resolution: int = 32
    multiplier: float = 0.125
    style: int = 256
    cap: int = 256
    smallest: int = 0
    mapping: int = 8
    conditional: bool = True
    discriminator_multiplier: Weight = 0.0
    discriminator_cap: Natural = 0
    steps: Count = 10000
    batch_size: Annotated[int, Field(ge=2)] = 32
    lr: Rate = 0.002
    discriminator_lr: Rate = 0.002
    mapping_lr: Rate = 1.0
    beta1: Share = 0.0
    beta2: Share = 0.99
    growing: Share = 0.0
    cooldown: Share = 0.0
    paired: bool = False
    r1: Weight = 0.1
    r2: Weight = 0.0
    r1_every: Count = 16
    ema_half_life: Rate = 20.0
    ema_rampup: Rate = 0.05
    augment: str = "color,translation,cutout"
    flip: bool = False
    mixing: Share = 0.0
    random_subnets: Natural = 1
    uniform_share: Share = 0.5
    adversarial_weight: Weight = 1.0
    pixel_weight: Weight = 1.0
    feature_weight: Weight = 1.0
    precision: Precision = "auto"

    @property
    def has_teacher(self) -> bool:
        """Whether the stage starts from a trained full generator and keeps it as teacher."""
        return self.stage in ("elastic", "distil")

    @property
    def has_discriminator(self) -> bool:
        """Whether the stage trains a discriminator."""
        return self.stage != "distil"


recipe_names, load_recipe = recipes_of(GeneratorRecipe, "gan_compress.stylegan2.training")
