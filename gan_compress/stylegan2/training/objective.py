"""Training a generator in one stage: from scratch, at every resolution, every subnet at once, or without images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Unpack

from gan_compress.stylegan2.family import StyleGAN2
from gan_compress.stylegan2.training.adversarial import AdversarialStep
from gan_compress.stylegan2.training.distance import Features
from gan_compress.stylegan2.training.recipe import FAMILY, GeneratorRecipe
from gan_compress.stylegan2.training.samples import sample_grid
from gan_compress.stylegan2.training.start import GeneratorStart, read_start, take_over
from gan_compress.stylegan2.training.state import (
    GeneratorState,
    build_state,
    kept_share,
    make_family,
    set_rates,
)
from gan_compress.stylegan2.training.subnets import narrowest, widest
from nas.data.dataset import Data
from nas.data.images import RealImages, real_images
from nas.errors import UsageError
from nas.models import save_model
from nas.pictures import write_png
from nas.space import Subnet
from nas.train.checkpoint import Checkpoint
from nas.train.log import Log
from nas.train.objective import Losses, Objective, Setup
from nas.train.precision import autocast
from nas.train.trainer import Trainer, TrainerOptions


def train(
    recipe: GeneratorRecipe,
    data: Data | None,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    features: Features | None = None,
    **options: Unpack[TrainerOptions],
) -> Path:
    """Train a generator in one stage and return the model folder `folder`/model.

    Args:
        recipe: How it is trained.
        data: Images; None for stage "distil", which needs none.
        folder: Of the run.
        start: The folder of an earlier stage's run, or a model; the stages "elastic" and "distil" need one and take
            the networks' settings from it. It is not read where a run is resumed.
        features: Takes the place of the frozen discriminator's features in the distance to the teacher.
        **options: Of the `Trainer`: resume, device, threads, tensorboard, progress.

    Raises:
        UsageError: No start, no data, settings that the start does not have, and as `Trainer.run`.
        NasError: As `Trainer.run`.
    """
    return Trainer(Path(folder), **options).run(
        lambda setup: GeneratorObjective(recipe, data, start, features, setup)
    )


class GeneratorObjective(Objective[GeneratorRecipe, GeneratorState]):
    """A supernet of generators beside a discriminator, a frozen full generator, or both, as the stage asks for."""

    columns: ClassVar[tuple[str, ...]] = (
        "step", "images", "generator", "discriminator", "real", "fake", "r1", "r2", "pixel", "feature", "images_per_s",
    )  # fmt: skip
    leading: ClassVar[tuple[str, ...]] = ("generator", "pixel")
    shown: ClassVar[tuple[str, ...]] = ("discriminator", "real", "fake", "pixel", "feature")
    rates: ClassVar[tuple[str, ...]] = ("lr", "discriminator_lr")

    def __init__(
        self,
        recipe: GeneratorRecipe,
        data: Data | None,
        start: str | Path | None,
        features: Features | None,
        setup: Setup,
    ) -> None:
        self.setup, self._features = setup, features
        self._autocast = autocast(recipe.precision, setup.device, auto="tf32")
        self._start = None if setup.checkpoint or start is None else read_start(start)
        self.recipe = _settled(recipe, self._start, setup.checkpoint, start)
        known = self._known(setup.checkpoint)
        self._classes = self._find_classes(data, known["classes"])
        self._data_name = known["data"] if data is None else data.name
        self._real: RealImages | None = None
        if self.recipe.has_discriminator:
            if data is None:
                raise UsageError(
                    f"stage {recipe.stage!r} learns from images, but no data was given; name some"
                )
            self._real = real_images(data, self.recipe.resolution).to(setup.device)

    def _known(self, checkpoint: Checkpoint | None) -> dict[str, Any]:
        """Return the classes and the data that the start, or the run that is resumed, was trained with."""
        if self._start is not None:
            return {"classes": self._start.classes, "data": self._start.data}
        return dict(checkpoint.about) if checkpoint else {"classes": (), "data": ""}

    def _find_classes(self, data: Data | None, known: tuple[str, ...]) -> tuple[str, ...]:
        classes = tuple(known if data is None else data.classes)
        if not self.recipe.conditional:
            return ()
        if self.recipe.has_teacher and len(classes) != len(known):
            raise UsageError(
                f"{data.name if data else 'the data'} has {len(classes)} classes, but the generator to start from was "
                f"trained with {len(known)}; give data of the same classes"
            )
        return classes

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"classes": list(self._classes), "train": 0 if self._real is None else len(self._real.labels)}

    @property
    def about(self) -> Mapping[str, Any]:
        return {"data": self._data_name, "classes": list(self._classes)}

    def build(self) -> GeneratorState:
        recipe, checkpoint = self.recipe, self.setup.checkpoint
        compares_features = recipe.has_teacher and self._features is None and recipe.feature_weight > 0
        if checkpoint is not None:
            compares_features = compares_features and "feature_discriminator" in checkpoint.state
        elif self._start is not None:
            compares_features = compares_features and self._start.discriminator is not None
        family = make_family(recipe, len(self._classes))
        state = build_state(recipe, family, self.setup.device, compares_features=compares_features)
        self._adversarial = AdversarialStep(
            recipe, state, self._real, self._autocast, self._features, self.setup.processes
        )
        return state

    def begin(self) -> None:
        if self._start is not None:
            take_over(self.state, self._start, self.recipe)

    def step(self) -> Losses:
        set_rates(self.state, self.recipe)
        losses = self._adversarial.step()
        self.state.ema.update(self.state.supernet, kept_share(self.recipe, self.state.step + 1))
        return losses

    def evaluate(self, samples: Path, log: Log) -> Mapping[str, Any]:
        subnets = shown_subnets(self.state.family, self.recipe.stage)
        write_png(samples, sample_grid(self.state.averaged, subnets).numpy())
        return {}

    def finish(self, folder: Path, log: Log) -> None:
        """Write the averaged generator as a model folder."""

        recipe, half = self.recipe, (0.5, 0.5, 0.5)
        info = {
            "data": self._data_name, "stage": recipe.stage, "steps": recipe.steps,
            "batch_size": recipe.batch_size, "seed": recipe.seed,
        }  # fmt: skip
        save_model(
            folder, self.state.averaged.cpu(), name=recipe.name, classes=self._classes, mean=half, std=half,
            info=info,
        )  # fmt: skip


def _settled(
    recipe: GeneratorRecipe,
    begin: GeneratorStart | None,
    checkpoint: Checkpoint | None,
    start: str | Path | None,
) -> GeneratorRecipe:
    """Return the recipe with the networks' settings that a start decides."""
    if checkpoint is not None:
        if not recipe.has_teacher:
            return recipe
        return recipe.replaced(
            **{name: checkpoint.recipe[name] for name in FAMILY if name in checkpoint.recipe}
        )
    if recipe.has_teacher and start is None:
        raise UsageError(
            f"stage {recipe.stage!r} needs a trained generator; name the folder of its run or its model as start"
        )
    if begin is None:
        return recipe
    settled = begin.adopt(recipe)
    changed = [name for name in FAMILY if getattr(settled, name) != getattr(recipe, name)]
    if changed and not recipe.has_teacher:
        name = changed[0]
        raise UsageError(
            f"recipe: {name} is {getattr(recipe, name)!r}, but {begin.where} has {getattr(settled, name)!r}; "
            "set the same or leave the start out"
        )
    return settled


def shown_subnets(family: StyleGAN2, stage: str) -> list[Subnet]:
    """Return the subnets that sample pictures show, side by side."""
    largest, sizes = family.space.largest(), family.resolutions
    if stage == "base":
        return [largest]
    if stage == "multires":
        return [widest(family, size) for size in reversed(sizes)]
    shown = [largest, narrowest(family, family.resolution), narrowest(family, sizes[-2:][0])]
    return list(dict.fromkeys(shown))
