"""Several processes that train one network: what each has of a batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nas.errors import UsageError
from nas.seeds import Draws, step_generator
from nas.train.processes import Processes


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    processes = Processes(1, 3, torch.device("cpu"))
    assert processes.shard(9) == slice(3, 6)
    with pytest.raises(UsageError, match="batch_size is 8, which 3 processes cannot share equally"):
        processes.shard(8)


def test_each_process_draws_its_rows_of_what_one_would_draw() -> None:
    def drawn(shard: slice) -> list[torch.Tensor]:
        draws = Draws(step_generator(0, 5, 7), 6, shard)
        return [draws.randn(2), draws.rand(3, 1), draws.randint(0, 100, 1)]

    whole, parts = (
        drawn(slice(None)),
        [drawn(Processes(rank, 2, torch.device("cpu")).shard(6)) for rank in (0, 1)],
    )
    for place, tensor in enumerate(whole):
        assert torch.equal(tensor, torch.cat([part[place] for part in parts]))


def test_torchrun_starts_processes_that_find_each_other(tmp_path: Path) -> None:
    (tmp_path / "mean.py").write_text("""
from nas.train.processes import joined
with joined("cpu") as processes:
    print(processes.size, processes.average_values({"rank": processes.rank}), flush=True)
""")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, tmp_path / "mean.py"], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == ["2 {'rank': 0.5}"] * 2, done.stderr
