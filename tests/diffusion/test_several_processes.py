"""Two processes train what one does: each has its share of the batch, gradients are averaged, one writes and answers."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffusion.distil import distil
from diffusion.pipeline import load_pipeline
from diffusion.train import train
from nas._errors import UsageError
from nas.train._group import Group
from nas.train.data import open_data
from tests.diffusion.small import tiny_recipe, write_pictures
from tests.diffusion.test_distil import recipe

SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from nas.cli._main import run
from nas.train import _group
# Two commands in one start, which is quicker: they keep one group, for gloo does not find its peers a second time.
_group.leave_group = lambda group: None
for command in {commands}:
    assert run(command) == 0, command
"""


def write_recipe(path: Path, values: dict) -> Path:
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in plain.items()))
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_end_where_one_does(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "shades")
    first, second = (
        tiny_recipe(steps=3, flip=True, sample_every=3),
        recipe(steps=3, flip=True, sample_every=3),
    )
    alone = tmp_path / "alone"
    data = open_data(str(pictures))
    train(first, data, alone / "sd", show=False, device="cpu", threads=1)
    distil(second, data, alone / "elastic", start=alone / "sd", show=False, device="cpu", threads=1)

    both = tmp_path / "both"
    common = ["--data", str(pictures), "--device", "cpu", "--threads", "1"]
    commands = [
        ["diffusion", "train", "--recipe", str(write_recipe(tmp_path / "a.toml", first.to_dict())), *common,
         "--output", str(both / "sd")],
        ["diffusion", "distill", "--recipe", str(write_recipe(tmp_path / "b.toml", second.to_dict())), *common,
         "--start", str(alone / "sd"), "--output", str(both / "elastic")],
    ]  # fmt: skip
    script = tmp_path / "two.py"
    script.write_text(SCRIPT.format(commands=commands))
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-6000:]
    assert done.stdout.splitlines() == [str(both / "sd" / "model"), str(both / "elastic" / "model")]
    for name in ("sd", "elastic"):
        ours, theirs = (load_pipeline(place / name) for place in (both, alone))
        for part in ("unet", "text_encoder", "vae"):
            for one, other in zip(
                getattr(ours, part).parameters(), getattr(theirs, part).parameters(), strict=True
            ):
                torch.testing.assert_close(one, other, rtol=0, atol=2e-5)
        assert [row["step"] for row in rows(both / name)] == [row["step"] for row in rows(alone / name)]
        assert float(rows(both / name)[-1]["loss"]) == pytest.approx(
            float(rows(alone / name)[-1]["loss"]), rel=1e-3
        )


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    group = Group(1, 3, torch.device("cpu"))
    assert group.share(9) == slice(3, 6)
    with pytest.raises(UsageError, match="batch_size is 8, which 3 processes cannot share equally"):
        group.share(8)
