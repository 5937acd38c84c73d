"""A training recipe: every number that decides the result, as a file, versioned and bound to its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nas.errors import UsageError
from nas.train.settings import (
    Count,
    Natural,
    Precision,
    Rate,
    Settings,
    Share,
    Shares,
    Sizes,
    Stages,
    Weight,
    Words,
    names_in,
    read,
)

_BESIDE = "distil"  # what the names of recipes for trainings beside a teacher begin with


class AdoptedNetwork(Settings):
    """A network that is made a supernet before it is trained, as `nas.api.adopt_model` does.

    Attributes:
        name: what it is: "timm:NAME", "torchvision:NAME", "FILE.py:NAME".
        weights: a file, or "package:NAME" for those of an installed package; "" for those that are published.
        elastic, resolutions: kinds of dimensions beside widths and depth, and the sizes of pictures that it takes.
        widths: shares of full widths that are offered; none for the usual ones.
        importance: by which channels are sorted.
    """

    name: str
    weights: str = ""
    elastic: Words = ()
    resolutions: Sizes = ()
    widths: Shares = ()
    importance: str = "l1"


class ClassifierRecipe(Settings):
    """How a supernet is trained. Lengths are in epochs, rates per optimizer step; see `nas train --help`.

    Attributes:
        name: the trained model's name.
        family, options: what `nas.families.get_family` is asked for; the number of classes comes from the data.
        start: the model whose weights it begins with, and whose family and options take the place of these; "": none.
        network: beside a teacher: what is adopted to begin with, where no start is given.
        method: "sandwich" (Yu & Huang 2019; BigNAS, Yu et al. 2020) or "progressive" (once-for-all, Cai et al. 2020).
        random_subnets: subnets drawn a step, beside the smallest (sandwich) or alone (progressive).
        largest_every: beside a teacher: of so many steps one trains the largest network too.
        drop_rate: beside a teacher: the share of the blocks that the smallest subnet of a step leaves out, and of the
            kernels that it crops, of those that may be; random ones do so with half as many.
        largest_epochs: epochs at the start that train the largest network alone.
        stages: progressive only: which dimensions (by the last word of their name) open in each stage.
        temperature: beside a teacher: what logits are divided by before they are compared. Above 1, unlikely classes
            count too: with few images and 1, a network forgets the classes that are not among them.
        distil_weight: progressive only: weight of the teacher's soft labels beside the true ones.
        optimizer, lr, ...: as timm's `create_optimizer_v2` and cosine schedule understand them.
        ema_decay: of the weights that are evaluated and saved; 0 turns it off.
        crop_padding, flip, erase, mixup, cutmix: augmentation; 0 turns each off.
        crop_scale: of images larger than 64 pixels: the least share of their area that a random crop keeps.
        class_balance: 0 goes through all images in an epoch; 1 draws every class equally often, 0.5 is between these.
        eval_epochs, checkpoint_steps: how often to evaluate and to write a checkpoint (0: once an epoch).
        calibration_images: real images used for recalibrating BatchNorm before an evaluation.
        distil_steps: steps for distilling the synthetic calibration images at the end; 0 leaves them out.
        half: whether the model's weights are stored as float16, which halves its file.
    """

    not_in_digest: ClassVar[tuple[str, ...]] = (
        "name",
        "start",
        "network",
        "epochs",
        "eval_epochs",
        "checkpoint_steps",
        "calibration_images",
        "distil_steps",
        "half",
    )

    name: str = "supernet"
    family: str = "mbv3-small-image"
    options: Mapping[str, Any] = {}
    start: str = ""
    network: AdoptedNetwork | None = None
    method: Literal["sandwich", "progressive"] = "sandwich"
    epochs: Count = 30
    batch_size: Annotated[int, Field(ge=2)] = 128  # BatchNorm needs two images
    seed: Natural = 0
    random_subnets: Natural = 2
    largest_every: Count = 1
    drop_rate: Share = 1.0
    largest_epochs: Weight = 0.0
    stages: Stages = (("kernel", "resolution"), ("depth",), ("expand",))
    temperature: Rate = 1.0
    distil_weight: Weight = 1.0
    optimizer: str = "sgd"
    lr: Rate = 0.1
    momentum: Weight = 0.9
    weight_decay: Weight = 5e-4
    warmup_epochs: Weight = 1.0
    min_lr: Weight = 0.0
    label_smoothing: Share = 0.1
    grad_clip: Weight = 5.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    crop_padding: Natural = 4
    crop_scale: Annotated[float, Field(gt=0, le=1)] = 0.25
    class_balance: Share = 0.0
    flip: bool = True
    erase: Share = 0.0
    mixup: Weight = 0.0
    cutmix: Weight = 0.0
    precision: Precision = "auto"
    eval_epochs: Count = 1
    checkpoint_steps: Natural = 0
    calibration_images: Count = 2048
    distil_steps: Natural = 300
    half: bool = False

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise UsageError(
                f"recipe: warmup_epochs is {self.warmup_epochs:g}, expected less than epochs, which is {self.epochs}; "
                "change one of them (--set warmup_epochs=0 leaves the warm-up out)"
            )
        return self

    def replaced(self, **changes: Any) -> Self:
        """Return the recipe with the `changes` that are not None.

        Fewer epochs shorten in proportion what is counted in epochs, the warm-up and the time of the largest network
        alone, unless these are given too.
        """
        epochs = changes.get("epochs")
        if isinstance(epochs, int) and 1 <= epochs < self.epochs:
            for name in ("warmup_epochs", "largest_epochs"):
                if changes.get(name) is None:
                    changes[name] = getattr(self, name) * epochs / self.epochs
        return super().replaced(**changes)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package, for trainings that begin with new weights."""
    return [name for name in names_in("nas.train") if not name.startswith(_BESIDE)]


def distillation_names() -> list[str]:
    """Return the names of the recipes for trainings beside the network that a model was made of."""
    return [name for name in names_in("nas.train") if name.startswith(_BESIDE)]


def load_recipe(name: str) -> ClassifierRecipe:
    """Read a recipe that comes with the package by name, or any TOML file by path."""
    return read(ClassifierRecipe, "nas.train", name)
