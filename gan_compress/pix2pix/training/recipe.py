"""The recipe of one stage of an image-to-image training: every number that decides the result, as a file."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from gan_compress.pix2pix.family import GanCompression, gan_compression
from gan_compress.pix2pix.pairs import SAME, get_pairs
from nas.errors import UsageError
from nas.train.settings import Count, Natural, Rate, Share, StepRecipe, Weight, recipes_of

TAKEN = ("resolution", "pairs", "discriminator_channels", "discriminator_layers")
"""Settings that stage "compress" takes from the run that it starts from, as far as that tells."""


class TranslationRecipe(StepRecipe):
    """How a generator is trained in one stage; a step is one update of each network. The rest is in `StepRecipe`.

    Attributes:
        stage: "teacher" (one plain generator, pix2pix) or "compress" (all subnets of the separable supernet, beside a
            frozen teacher).
        pairs: what is made of the pictures, see `gan_compress.pix2pix.pairs`.
        resolution: width and height of the pictures.
        ngf, blocks, norm: options of the stage's own generator, see `gan_compress.pix2pix.family.gan_compression`.
        discriminator_channels, discriminator_layers: of the discriminator of patches.
        lr, discriminator_lr: learning rates of Adam; beta1, beta2: its decay rates, for both networks.
        cooldown: share of the steps, at the end, in which both rates fall to zero in a straight line.
        gan_mode: the discriminator's loss; adversarial_weight, pixel_weight, feature_weight: of the generator's losses.
        wanted: stage "compress": whether pixels are compared with the "teacher"'s or with those of the "truth"; with
            the pairs "same" the teacher's are the truth.
        random_subnets: drawn each step beside the largest and the smallest.
        warm: stage "compress": take over the teacher's layers where the student has the same shapes.
        flip: mirror half of the pictures.
        distil_steps: at the end, with batch norms: steps that fit the synthetic inputs of the model's folder.
    """

    not_in_digest: ClassVar[tuple[str, ...]] = (*StepRecipe.not_in_digest, "distil_steps")

    name: str = "translator"
    stage: Literal["teacher", "compress"] = "teacher"
    pairs: str = ""
    resolution: int = 32
    ngf: int = 32
    blocks: int = 6
    norm: Literal["instance", "batch"] = "instance"
    discriminator_channels: Count = 32
    discriminator_layers: Count = 2
    steps: Count = 4000
    lr: Rate = 0.0002
    discriminator_lr: Rate = 0.0002
    beta1: Share = 0.5
    beta2: Share = 0.999
    cooldown: Share = 0.5
    gan_mode: Literal["hinge", "bce"] = "bce"
    adversarial_weight: Weight = 1.0
    pixel_weight: Weight = 100.0
    feature_weight: Weight = 1.0
    wanted: Literal["teacher", "truth"] = "teacher"
    random_subnets: Natural = 1
    warm: bool = True
    flip: bool = True
    distil_steps: Natural = 200

    @model_validator(mode="after")
    def _check(self) -> Self:
        # The discriminator's last layers, and its instance norms, need room: 3 × 3 patches after halving.
        if self.resolution < (least := 4 * 2**self.discriminator_layers):
            raise UsageError(
                f"recipe: resolution is {self.resolution}, but discriminator_layers {self.discriminator_layers} needs "
                f"at least {least}"
            )
        if self.pairs:
            get_pairs(self.pairs)
        if self.pairs == SAME and not self.has_teacher:
            raise UsageError(
                f"recipe: pairs is {SAME!r}, but a teacher learns from pairs that differ; set blur, grey or small"
            )
        self.family()
        return self

    @property
    def has_teacher(self) -> bool:
        """Whether the stage starts from a trained generator and keeps it as teacher."""
        return self.stage == "compress"

    def family(self) -> GanCompression:
        """Return the space of the stage's own generator."""
        return gan_compression(
            ngf=self.ngf, blocks=self.blocks, norm=self.norm, separable=self.has_teacher, resolution=self.resolution
        )  # fmt: skip


recipe_names, load_recipe = recipes_of(TranslationRecipe, "gan_compress.pix2pix.training")
