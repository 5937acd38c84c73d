"""The loop of a generator's training: steps, samples, checkpoints; the same bits whether or not it was interrupted."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gan_compress.family import StyleGAN2
from gan_compress.train.distance import Features
from gan_compress.train.game import Game
from gan_compress.train.images import RealImages, real_images
from gan_compress.train.log import GameLog
from gan_compress.train.loop import Losses, check_folder, one_device, run_steps, save_checkpoint
from gan_compress.train.recipe import FAMILY, Recipe
from gan_compress.train.samples import sample_grid, write_picture
from gan_compress.train.start import CHECKPOINT, Start, read_start, take_over
from gan_compress.train.state import State, build_state, ema_beta, make_family, set_rates
from gan_compress.train.subnets import narrowest, resolutions, widest
from nas._errors import UsageError
from nas._files import write_json
from nas.space import Subnet
from nas.train._checkpoint import Checkpoint, check_same, read_checkpoint
from nas.train.data import Data


@dataclass(frozen=True)
class Job:
    """One training run: what, on what, where to."""

    recipe: Recipe
    folder: Path
    data_name: str
    classes: tuple[str, ...]
    real: RealImages | None
    digest: str
    device: torch.device

    @property
    def about(self) -> dict[str, Any]:
        """Facts that a checkpoint carries for whoever opens it without the data."""
        return {"data": self.data_name, "classes": list(self.classes)}


def train(
    recipe: Recipe,
    data: Data | None,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    threads: int | None = None,
    features: Features | None = None,
    show: bool = True,
    tensorboard: bool = False,
) -> Path:
    """Train a generator in one stage and return the model folder `folder`/model.

    `start` is the folder of an earlier stage's run, or a model; the stages "elastic" and "distil" need one and take
    the networks' settings from it. `data` may be None for "distil". `features` takes the place of the frozen
    discriminator's features in the distance to the teacher. With `resume` a run that was stopped or killed goes on
    from its last checkpoint, on one process to the bit; `start` is not read then.

    Raises `UsageError` (a folder in use, a changed recipe, no start), `NasError` (a broken checkpoint, a loss that is
    no longer finite: the last good checkpoint stays); after SIGINT or SIGTERM the run writes a checkpoint and raises
    an error of exit code 130.
    """
    if threads:
        torch.set_num_threads(threads)
    folder, chosen = Path(folder), _device(device, recipe)
    check_folder(folder, resume)
    checkpoint = read_checkpoint(folder / CHECKPOINT, chosen) if resume else None
    begin = None if checkpoint or start is None else read_start(start)
    recipe = _settled(recipe, begin, checkpoint, start)
    job = _job(recipe, data, folder, begin, checkpoint, chosen)
    watched = recipe.has_teacher and features is None and recipe.feature_weight > 0
    if checkpoint is not None:
        check_same(checkpoint, job.digest, job.recipe.to_dict(), folder / CHECKPOINT)
        watched = watched and "watcher" in checkpoint.state
    elif begin is not None:
        watched = watched and begin.judge is not None
    state = build_state(recipe, make_family(recipe, len(job.classes)), chosen, watched=watched)
    if checkpoint is not None:
        state.load(checkpoint.step, checkpoint.state)
        del checkpoint
    else:
        if begin is not None:
            take_over(state, begin, recipe)
        write_json(folder / "recipe.json", recipe.to_dict())
    log = GameLog(folder, recipe.steps, state.step, show=show, leads=True, tensorboard=tensorboard)
    try:
        _loop(job, state, log, features)
        return _finish(job, state, log)
    finally:
        log.close()


def _device(name: str | None, recipe: Recipe) -> torch.device:
    device = one_device(name)
    if recipe.precision == "bf16" and device.type == "cpu":
        raise UsageError("precision bf16 trains slower than fp32 on a CPU; use fp32 or auto")
    if device.type == "cuda" and recipe.precision == "auto":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return device


def _settled(
    recipe: Recipe, begin: Start | None, checkpoint: Checkpoint | None, start: str | Path | None
) -> Recipe:
    """Return the recipe with the networks' settings that a start decides."""
    if checkpoint is not None:
        if recipe.has_teacher:
            known = {name: checkpoint.recipe[name] for name in FAMILY if name in checkpoint.recipe}
            return recipe.replaced(**known)
        return recipe
    if recipe.has_teacher and start is None:
        raise UsageError(
            f"stage {recipe.stage!r} needs a trained generator; name the folder of its run or its model as start"
        )
    if begin is None:
        return recipe
    settled = begin.adopt(recipe)
    if not recipe.has_teacher and (changed := [n for n in FAMILY if _differs(settled, recipe, n)]):
        name = changed[0]
        raise UsageError(
            f"recipe: {name} is {getattr(recipe, name)!r}, but {begin.where} has {getattr(settled, name)!r}; "
            "set the same or leave the start out"
        )
    return settled


def _differs(first: Recipe, second: Recipe, name: str) -> bool:
    return getattr(first, name) != getattr(second, name)


def _job(
    recipe: Recipe,
    data: Data | None,
    folder: Path,
    begin: Start | None,
    checkpoint: Checkpoint | None,
    device: torch.device,
) -> Job:
    if data is None and recipe.has_judge:
        raise UsageError(f"stage {recipe.stage!r} learns from images, but no data was given; name some")
    known = begin.classes if begin else tuple(checkpoint.about["classes"]) if checkpoint else ()
    classes = tuple(data.classes) if data is not None else known
    if not recipe.conditional:
        classes = ()
    elif recipe.has_teacher and len(classes) != len(known):
        raise UsageError(
            f"{data.name if data else 'the data'} has {len(classes)} classes, but the generator to start from was "
            f"trained with {len(known)}; give data of the same classes"
        )
    name = (
        data.name
        if data is not None
        else begin.data
        if begin
        else checkpoint.about["data"]
        if checkpoint
        else ""
    )
    if not recipe.has_judge:
        data = None
    real = None if data is None else real_images(data, recipe.resolution).to(device)
    facts = {"classes": list(classes), "train": 0 if real is None else len(real.labels)}
    return Job(recipe, folder, name, classes, real, recipe.digest(**facts), device)


def _loop(job: Job, state: State, log: GameLog, features: Features | None) -> None:
    recipe = job.recipe
    game = Game(recipe, state, job.real, lambda: _autocast(recipe, job.device), features)

    def take() -> Losses:
        set_rates(state, recipe)
        losses = game.step()
        state.step += 1
        state.average(ema_beta(recipe, state.step))
        return losses

    run_steps(
        recipe,
        state,
        log,
        take=take,
        draw=lambda step: draw_samples(job.folder / "samples" / f"{step:07d}.png", state, recipe.stage),
        save=lambda: save_checkpoint(job.folder, recipe, state, job.digest, job.about),
    )


def _autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bf16")


def shown_subnets(family: StyleGAN2, stage: str) -> list[Subnet]:
    """Return the subnets that sample pictures show, side by side."""
    largest, sizes = family.space.largest(), resolutions(family)
    if stage == "base":
        return [largest]
    if stage == "multires":
        return [widest(family, size) for size in reversed(sizes)]
    shown = [largest, narrowest(family, family.resolution), narrowest(family, sizes[-2:][0])]
    return list(dict.fromkeys(shown))


def draw_samples(path: Path, state: State, stage: str) -> None:
    """Write the sample picture of the averaged generator."""
    write_picture(path, sample_grid(state.averaged, shown_subnets(state.family, stage)))


def _finish(job: Job, state: State, log: GameLog) -> Path:
    """Write the averaged generator as a model folder."""
    from nas.families import save_model

    recipe, path = job.recipe, job.folder / "model"
    info: dict[str, Any] = {
        "data": job.data_name,
        "stage": recipe.stage,
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
    }
    half = (0.5, 0.5, 0.5)
    save_model(
        path, state.averaged.cpu(), name=recipe.name, classes=job.classes, mean=half, std=half, info=info
    )
    log.say(f"wrote {path}")
    return path
