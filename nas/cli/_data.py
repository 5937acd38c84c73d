"""The options that say which labelled images to use, shared by the commands that need some."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nas.train.data import Data

_NAMES = ("data", "data_root", "download", "image_column", "label_column")


def data_options(required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator adding --data and what goes with it; hand the values to `opened`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(
            (
                click.option(
                    "--data",
                    metavar="NAME|PATH",
                    required=required,
                    help="digits, torchvision:NAME, a folder with a folder a class (where no labels are needed: of "
                    "images), or a parquet file or folder.",
                ),
                click.option(
                    "--data-root", metavar="FOLDER", default=None, help="Where torchvision keeps its data."
                ),
                click.option("--download", is_flag=True, help="Let torchvision download the data."),
                click.option("--image-column", default=None, help="Parquet: the column with the images."),
                click.option("--label-column", default=None, help="Parquet: the column with the labels."),
            )
        ):
            function = option(function)
        return function

    return decorate


def opened(options: dict[str, Any]) -> Data:
    """Take the data options out of `options` and open the data."""
    from nas.train.data import open_data

    spec, root, download, image_column, label_column = (options.pop(name) for name in _NAMES)
    return open_data(spec, root=root, download=download, image_column=image_column, label_column=label_column)
