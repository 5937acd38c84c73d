"""The options that say which labelled images to use, shared by the commands that need some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_NAMES = ("data", "data_root", "download", "image_column", "label_column")


def data_options(required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator adding --data and what goes with it; hand the values to `given_data`."""

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


def given_data(options: dict[str, Any]) -> dict[str, Any] | None:
    """Take the data options out of `options`; returns the arguments of `nas.data.open_data`, None without --data."""
    spec, root, download, image_column, label_column = (options.pop(name) for name in _NAMES)
    if spec is None:
        return None
    return {
        "spec": spec, "root": root, "download": download, "image_column": image_column, "label_column": label_column,
    }  # fmt: skip
