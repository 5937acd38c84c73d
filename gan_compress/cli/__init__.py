"""`nas gan`: what people do with a generator. Help and completion import no command, and no torch."""

from __future__ import annotations

import click

from nas.cli.commands import LazyGroup

# name -> (module that defines `command`, short help); the order is that of the help page
COMMANDS: dict[str, tuple[str, str]] = {
    "sample": ("gan_compress.cli.sample", "Make images of seeds: a grid, or one file each."),
    "preview": ("gan_compress.cli.preview", "The same image by a small subnet and in full quality."),
    "interpolate": ("gan_compress.cli.interpolate", "Go from seed to seed or class to class."),
    "project": ("gan_compress.cli.project", "Find the style of a picture."),
    "edit": ("gan_compress.cli.edit", "Give images more or less of a label."),
    "directions": ("gan_compress.cli.directions", "Find the directions that `edit` uses, or list them."),
    "translate": ("gan_compress.cli.translate", "Apply an image-to-image generator to pictures."),
    "consistency": ("gan_compress.cli.consistency", "How well subnets keep the full generator's images."),
    "fidelity": ("gan_compress.cli.fidelity", "FID and KID in Inception's features."),
    "train": ("gan_compress.cli.train", "Train a generator, one stage at a time."),
    "compress": ("gan_compress.cli.compress", "Train an image-to-image generator, then its small subnets."),
}


@click.group(
    cls=LazyGroup, table=COMMANDS, name="gan", short_help="Generate, preview, project and edit images."
)
def group() -> None:
    """Generate, preview, project and edit images with a generator and its subnets.

    \b
      nas gan sample --class 7                 sixteen sevens
      nas gan preview --seed 3 --subnet 0.25   at once by a small subnet, then in full quality

    SUBNET is 'largest', 'smallest', a width such as 0.5, a width at a resolution such as 0.5@16, the folder of a run
    or a subnet.json.
    """
