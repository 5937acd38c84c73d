"""The options that the commands of `nas gan` share."""

from __future__ import annotations

import click

from nas.cli.commands import Decorator, count_option, named_model_option

DEFAULT_MODEL = "anycost-digits"
_MOST = 2**32 - 1

model_option: Decorator = named_model_option(
    f"A generator's name or folder (default: the run's, or {DEFAULT_MODEL})."
)
subnet_option: Decorator = click.option(
    "--subnet", metavar="SUBNET", default="largest", show_default=True, help="Which subnet makes the images."
)
subnets_option: Decorator = click.option(
    "--subnet", "subnets", metavar="SUBNET", multiple=True, help="A subnet; may be given several times."
)
seed_option: Decorator = count_option("--seed", 0, "Same seed, same image.", least=0, most=_MOST)
seeds_option: Decorator = click.option(
    "--seed",
    "seeds",
    type=click.IntRange(0, _MOST),
    multiple=True,
    help="A seed; may be given several times.",
)
class_option: Decorator = click.option(
    "--class", "label", metavar="CLASS", default=None, help="A class's name or number (default: by the seed)."
)
truncation_option: Decorator = click.option(
    "--truncation",
    type=click.FloatRange(0, 2),
    default=1.0,
    show_default=True,
    help="How far from the mean of the class: less is more typical, 0 is the mean itself.",
)
zoom_option: Decorator = count_option("--zoom", 1, "Show every pixel so many times larger.", most=32)
fps_option: Decorator = click.option(
    "--fps",
    "frames_per_second",
    type=click.FloatRange(0.5, 50),
    default=10.0,
    show_default=True,
    help="Pictures a second.",
)
