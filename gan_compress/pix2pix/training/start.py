"""Where compression starts: the run of a teacher, or a generator's model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_compress.pix2pix.family import GanCompression, gan_compression
from gan_compress.pix2pix.training.recipe import TAKEN, TranslationRecipe
from gan_compress.pix2pix.training.state import TranslationState
from nas.elastic import Supernet
from nas.errors import NasError, UsageError
from nas.models import load_model
from nas.train.checkpoint import CHECKPOINT, read_checkpoint


@dataclass(frozen=True)
class TranslationStart:
    """A trained generator: `options` of its family, its tensors; known beside are `settings` and `discriminator`."""

    where: str
    options: dict[str, Any]
    settings: dict[str, Any]
    generator: dict[str, Any]
    discriminator: dict[str, Any] | None

    def adopt(self, recipe: TranslationRecipe) -> TranslationRecipe:
        """Return the recipe with the settings of the start; raises `UsageError` for another kind of pairs."""
        known = self.settings.get("pairs")
        if recipe.pairs and known and recipe.pairs != known:
            raise UsageError(
                f"recipe: pairs is {recipe.pairs!r}, but {self.where} was trained for {known!r}; set the same or "
                "leave it out"
            )
        return recipe.replaced(**{name: value for name, value in self.settings.items() if value})


def read_start(start: str | Path) -> TranslationStart:
    """Read a run's folder, or a model by folder or name; raises `UsageError` for anything else."""
    path = Path(start) / CHECKPOINT
    if not path.is_file():
        return _from_model(start)
    checkpoint = read_checkpoint(path)
    try:
        recipe = TranslationRecipe.from_dict(checkpoint.recipe, str(path))
        generator, discriminator = checkpoint.state["supernet"], checkpoint.state["discriminator"]
    except (KeyError, UsageError) as error:
        raise UsageError(
            f"{path} is no checkpoint of an image-to-image generator; name the folder of such a run"
        ) from error
    if recipe.stage != "teacher":
        raise UsageError(f"{start} is a run of stage {recipe.stage!r}; name the run of a teacher")
    own = {name.removeprefix("network."): tensor for name, tensor in generator.items()}
    settings = {name: getattr(recipe, name) for name in TAKEN}
    return TranslationStart(str(start), dict(recipe.family().options), settings, own, discriminator)


def _from_model(start: str | Path) -> TranslationStart:

    model = load_model(start)
    family = model.family
    if not isinstance(family, GanCompression):
        raise UsageError(
            f"{start} is a model of family {family.name}, expected gan-compression; name a generator to start from"
        )
    if (family.inputs, family.outputs) != (3, 3):
        raise UsageError(
            f"{start} takes {family.inputs} and gives {family.outputs} colours, but only three and three can be "
            "compressed; name another"
        )
    settings = {"pairs": model.info.get("pairs", "")}
    state = model.supernet.network.state_dict()
    return TranslationStart(str(start), dict(family.options), settings, state, None)


def take_over(state: TranslationState, start: TranslationStart, recipe: TranslationRecipe) -> None:
    """Give the frozen teacher, the discriminator and, if wanted, layers of the student the weights of the start."""

    try:
        assert state.teacher is not None
        state.teacher.load_state_dict(start.generator)
        if start.discriminator is not None:
            state.discriminator.load_state_dict(start.discriminator)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise NasError(
            f"{start.where} does not hold the weights that its settings tell ({reason}); train it anew"
        ) from error
    if recipe.warm:
        teacher = Supernet(gan_compression(**start.options))
        teacher.network.load_state_dict(start.generator)
        # Subnets keep the first channels: the student starts with the teacher's most important ones in front.
        teacher.sort_channels()
        _copy_equal(teacher.network.state_dict(), state.supernet.network.state_dict())


def _copy_equal(source: dict[str, Any], target: dict[str, Any]) -> None:
    for name, tensor in source.items():
        own = target.get(f"generator.{name}")
        if own is not None and own.shape == tensor.shape:
            own.copy_(tensor)
