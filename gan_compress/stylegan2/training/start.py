"""Where a stage starts: another run's checkpoint, or a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_compress.stylegan2.training.importance import style_importance
from gan_compress.stylegan2.training.recipe import FAMILY, GeneratorRecipe
from gan_compress.stylegan2.training.state import GeneratorState
from nas.errors import NasError, UsageError
from nas.models import load_model
from nas.train.checkpoint import CHECKPOINT, read_checkpoint
from nas.train.state import frozen


@dataclass(frozen=True)
class GeneratorStart:
    """Weights to start from.

    `settings` are the recipe's settings of the networks; `discriminator` is missing where only a generator was kept.
    """

    where: str
    settings: dict[str, Any]
    classes: tuple[str, ...]
    data: str
    generator: dict[str, Any]
    discriminator: dict[str, Any] | None

    def adopt(self, recipe: GeneratorRecipe) -> GeneratorRecipe:
        """Return the recipe with the networks' settings of the start."""
        return recipe.replaced(**self.settings)


def read_start(start: str | Path) -> GeneratorStart:
    """Read a run's folder, or a model by folder or name; raises `UsageError` for anything else."""
    path = Path(start) / CHECKPOINT
    if path.is_file():
        checkpoint = read_checkpoint(path)
        try:
            settings = {name: checkpoint.recipe[name] for name in FAMILY}
            generator = _without_prefix(checkpoint.state["ema"])
            classes = tuple(checkpoint.about["classes"])
        except KeyError as error:
            raise UsageError(
                f"{path} is no checkpoint of a generator (no {error}); name the folder of such a run"
            ) from error
        return GeneratorStart(
            str(start),
            settings,
            classes,
            checkpoint.about["data"],
            generator,
            checkpoint.state.get("discriminator"),
        )
    return _from_model(start)


def _without_prefix(values: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("network."): tensor for name, tensor in values.items()}


def _from_model(start: str | Path) -> GeneratorStart:

    model = load_model(start)
    options = dict(model.family.options)
    if model.family.name != "anycost":
        raise UsageError(
            f"{start} is a model of family {model.family.name}, expected anycost; name a generator to start from"
        )
    names = ("resolution", "multiplier", "style", "cap", "smallest", "mapping")
    settings = {name: options[name] for name in names}
    settings["conditional"] = bool(options["classes"])
    return GeneratorStart(
        str(start),
        settings,
        tuple(model.classes),
        model.info.get("data", ""),
        model.supernet.network.state_dict(),
        None,
    )


def take_over(state: GeneratorState, start: GeneratorStart, recipe: GeneratorRecipe) -> None:
    """Give the networks the weights of the start; with a teacher, channels are sorted first, then it is frozen."""
    try:
        state.supernet.network.load_state_dict(start.generator)
        if recipe.has_teacher:
            state.supernet.sort_channels(style_importance(state.supernet))
            state.teacher = frozen(state.supernet.network)
        state.averaged.load_state_dict(state.supernet.state_dict())
        if start.discriminator is not None and state.discriminator is not None:
            state.discriminator.load_state_dict(start.discriminator)
        if start.discriminator is not None and state.feature_discriminator is not None:
            state.feature_discriminator.load_state_dict(start.discriminator)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise NasError(
            f"{start.where} does not hold the weights that its settings tell ({reason}); train it anew"
        ) from error
