"""Every training of the project, in a few seconds, for `nas.testing.trainers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nas.data.dataset import Data
from nas.data.sources import DataSource, ImageTable, find_source
from nas.testing.trainers import ProcessesTrainerSuite


class OurProcessesSuite(ProcessesTrainerSuite):
    """The suite whose processes have every training of the project imported, which each of pytest's workers does once."""

    preloaded = (
        "nas.train.classifiers.objective", "gan_compress.stylegan2.training.objective",
        "gan_compress.pix2pix.training.objective", "diffusion.training.text_to_image.objective",
        "diffusion.training.distil.elastic", "diffusion.training.distil.one",
    )  # fmt: skip


def few_digits(count: int = 110) -> Data:
    """Return digits, ten classes in turn: with the usual split, enough for three steps of 28."""
    source = find_source("digits")
    turns = [np.flatnonzero(source.train.labels == digit) for digit in range(10)]
    order = np.stack([turn[: -(-count // 10)] for turn in turns], axis=1).reshape(-1)[:count]
    return Data(DataSource("few-digits", source.classes, source.train.take(order)))


def shades(count: int = 10) -> Data:
    """Return dark and bright pictures of 16 pixels."""
    rng = np.random.default_rng(0)
    pixels = [
        rng.normal(70 + 115 * (i % 2), 40, (16, 16, 3)).clip(0, 255).astype(np.uint8)
        for i in range(2 * count)
    ]
    labels = np.arange(2 * count) % 2
    return Data(
        DataSource("shades", ("dark", "bright"), ImageTable(labels, lambda i: Image.fromarray(pixels[i])))
    )


def beside(folder: Path) -> Path:
    """Return the folder of what a run starts from."""
    return folder.parent / f"{folder.name}-start"


# --- classifiers ------------------------------------------------------------------------------------------------------


def classifier(
    folder: Path, *, longer: bool = False, changed: bool = False, method: str = "sandwich", **options: Any
) -> Path:
    from nas.train.classifiers.objective import train
    from nas.train.classifiers.recipe import load_recipe

    data = few_digits()
    epoch = data.count("train") // 3 // 2 * 2
    recipe = load_recipe("digits").replaced(
        epochs=3 if longer else 2, batch_size=epoch, checkpoint_steps=2, distil_steps=0, warmup_epochs=0.5,
        calibration_images=32, random_subnets=1, eval_epochs=1, lr=0.5 if changed else 0.003, method=method,
        largest_epochs=0.5 if method == "progressive" else 0.0, ema_decay=0.5,
    )  # fmt: skip
    return train(recipe, data, folder, **options)


def progressive(folder: Path, **options: Any) -> Path:
    return classifier(folder, method="progressive", **options)


def start_of_distilled(folder: Path) -> None:
    from nas.elastic import Supernet
    from nas.families import get_family
    from nas.models import save_model

    supernet = Supernet(get_family("mbv3-small-image", classes=10))
    half = [0.5] * 3
    save_model(beside(folder), supernet, name="tiny", classes=[*"0123456789"], mean=half, std=half)


def distilled(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    from nas.train.classifiers.distilled import train_distilled
    from nas.train.classifiers.recipe import load_recipe

    data = few_digits()
    recipe = load_recipe("distil").replaced(
        epochs=3 if longer else 2, batch_size=data.count("train") // 3 // 2 * 2, checkpoint_steps=2, warmup_epochs=0.5,
        calibration_images=32, random_subnets=1, lr=0.5 if changed else 0.003,
    )  # fmt: skip
    start = None if options.get("resume") else beside(folder)
    return train_distilled(recipe, data, folder, start=start, **options)


# --- generators -------------------------------------------------------------------------------------------------------

GENERATOR: dict[str, Any] = {
    "resolution": 16, "multiplier": 0.0078125, "style": 8, "cap": 16, "smallest": 4, "batch_size": 8,
    "r1_every": 2, "flip": True, "mixing": 0.5, "cooldown": 0.5, "checkpoint_steps": 2, "sample_every": 3,
    "log_every": 2,
}  # fmt: skip


def _generator(folder: Path, stage: str, longer: bool, changed: bool, **options: Any) -> Path:
    from gan_compress.stylegan2.training import GeneratorRecipe, train

    steps = {"steps": 9 if longer else 6, "lr": 0.5 if changed else 0.002}
    recipe = GeneratorRecipe.from_dict({**GENERATOR, **steps, "stage": stage})
    start = beside(folder) if recipe.has_teacher and not options.get("resume") else None
    data = few_digits() if recipe.has_discriminator else None
    return train(recipe, data, folder, start=start, **options)


def base_beside(folder: Path) -> None:
    from gan_compress.stylegan2.training import GeneratorRecipe, train

    first = GeneratorRecipe.from_dict({**GENERATOR, "steps": 1, "stage": "base"})
    train(first, few_digits(), beside(folder), device="cpu", threads=1)


def base(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    return _generator(folder, "base", longer, changed, **options)


def multires(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    return _generator(folder, "multires", longer, changed, **options)


def elastic(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    return _generator(folder, "elastic", longer, changed, **options)


def without_images(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    return _generator(folder, "distil", longer, changed, **options)


TRANSLATION: dict[str, Any] = {
    "resolution": 16, "ngf": 8, "blocks": 3, "discriminator_channels": 4, "discriminator_layers": 1, "batch_size": 4,
    "distil_steps": 2, "checkpoint_steps": 2, "sample_every": 3, "log_every": 2,
}  # fmt: skip


def teacher(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    from gan_compress.pix2pix.training import TranslationRecipe, train

    recipe = TranslationRecipe(
        stage="teacher", pairs="blur", steps=9 if longer else 6, lr=0.5 if changed else 2e-4, **TRANSLATION
    )
    return train(recipe, few_digits(), folder, **options)


def teacher_beside(folder: Path) -> None:
    from gan_compress.pix2pix.training import TranslationRecipe, train

    first = TranslationRecipe(stage="teacher", pairs="blur", steps=1, **TRANSLATION)
    train(first, few_digits(), beside(folder), device="cpu", threads=1)


def compress(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    from gan_compress.pix2pix.training import TranslationRecipe, train

    start = None if options.get("resume") else beside(folder)
    recipe = TranslationRecipe(
        stage="compress", steps=9 if longer else 6, lr=0.5 if changed else 2e-4, **TRANSLATION
    )
    return train(recipe, few_digits(), folder, start=start, **options)


# --- pipelines --------------------------------------------------------------------------------------------------------


def pipeline(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    from diffusion.training.text_to_image import train
    from tests.diffusion.small import tiny_recipe

    recipe = tiny_recipe(steps=9 if longer else 6, lr=0.5 if changed else 8e-4, flip=True)
    return train(recipe, shades(), folder, **options)


def _distilled(folder: Path, longer: bool, changed: bool, recipe: dict[str, Any], **options: Any) -> Path:
    from diffusion.training.distil import DistillationRecipe, distil

    start = None if options.get("resume") else beside(folder)
    settings = DistillationRecipe(
        name="elastic", steps=9 if longer else 6, batch_size=4, warmup_steps=1, checkpoint_steps=2, sample_every=6,
        log_every=2, sample_steps=1, ema_decay=0.9, flip=True, lr=0.5 if changed else 8e-4,
    ).replaced(**recipe)  # fmt: skip
    return distil(settings, shades(), folder, start=start, **options)


def pipeline_beside(folder: Path) -> None:
    from tests.diffusion.small import write_tiny

    write_tiny(beside(folder))


def all_subnets(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    return _distilled(folder, longer, changed, {}, **options)


def one_subnet(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    return _distilled(folder, longer, changed, {"subnet": "half"}, **options)


def adapters(folder: Path, *, longer: bool = False, changed: bool = False, **options: Any) -> Path:
    return _distilled(folder, longer, changed, {"subnet": "half", "lora_rank": 2}, **options)
