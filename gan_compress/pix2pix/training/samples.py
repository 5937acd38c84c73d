"""What a training's state makes of fixed pictures: as one picture, and as PSNR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gan_compress.pix2pix.pairs import SAME, get_pairs, psnr, to_bytes
from gan_compress.pix2pix.training.state import TranslationState
from nas.elastic import calibrate
from nas.pictures import write_png

SHOWN = 12
_BATCH = 50


def _all(network: nn.Module, given: Tensor) -> Tensor:
    return torch.cat([network(part) for part in given.split(_BATCH)])


@torch.no_grad()
def columns(state: TranslationState, pictures: Tensor, calibration: Tensor, pairs: str) -> dict[str, Tensor]:
    """Return by name what is given, what the teacher and the subnets make of it, and the truth.

    `pictures` are (n, 3, h, w), -1 to 1; subnets recompute their statistics on the inputs `calibration`. With the
    pairs "same" the truth is the teacher's.
    """
    supernet, space = state.generator(), state.supernet.space
    found = {"given": get_pairs(pairs)(pictures)}
    subnets = {"largest": space.largest()}
    if state.teacher is not None:
        found["teacher"] = _all(state.teacher, found["given"])
        subnets["smallest"] = space.smallest()
    for name, subnet in subnets.items():
        network = supernet.extract(subnet)
        calibrate(network, calibration.split(_BATCH))
        found[name] = _all(network, found["given"])
    if pairs == SAME:
        pictures = found.pop("teacher")
    return {**found, "truth": pictures}


def psnr_db(found: dict[str, Tensor]) -> dict[str, float]:
    """Return the mean PSNR of each column against the truth."""
    return {
        name: round(float(psnr(column, found["truth"]).mean()), 3)
        for name, column in found.items()
        if name != "truth"
    }


def draw_samples(
    path: Path, state: TranslationState, pictures: Tensor, calibration: Tensor, pairs: str
) -> dict[str, float]:
    """Write the first pictures' columns side by side; returns the PSNR on all `pictures`."""
    found = columns(state, pictures, calibration, pairs)
    write_png(path, side_by_side([*found.values()], SHOWN).numpy())
    state.supernet.train()
    return psnr_db(found)


def side_by_side(columns: Sequence[Tensor], rows: int) -> Tensor:
    """Return one picture, uint8 (height, width, 3): a row for each image, a column for each entry of `columns`."""
    table = torch.stack([column[:rows].float().cpu() for column in columns], 1)  # (rows, columns, c, h, w)
    rows, count, channels, height, width = table.shape
    contact_sheet = table.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, count * width)
    return to_bytes(contact_sheet).permute(1, 2, 0)
