"""What every training must do: go on where it was stopped to the same bits, keep what is good, share its batches.

Subclass `ProcessesTrainerSuite` in a test module, under a name that begins with `Test`, and give it a `case`
(`TrainerSuite` starts no processes, which is quicker):

    class TestMine(ProcessesTrainerSuite):
        case = TrainerCase("tests.mine:train_tiny", "mine.objective:MyObjective")

`tests/mine.py` then holds `def train_tiny(folder: Path, *, longer: bool = False, changed: bool = False, **options)`,
which calls the training with a recipe of a few seconds and returns the model's folder.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import multiprocessing
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nas.errors import NasError, UsageError
from nas.train.checkpoint import CHECKPOINT, read_checkpoint
from nas.train.log import read_log
from nas.train.trainer import MODEL, TrainingStopped


@dataclass(frozen=True)
class TrainerCase:
    """One training.

    Attributes:
        train: "module:function" that trains in a folder: six steps with a checkpoint every two, nine if `longer`;
            with another learning rate if `changed`; `options` are those of `nas.train.trainer.Trainer`. A module's
            name lets other processes call it.
        objective: "module:class" of its `nas.train.objective.Objective`.
        prepare: "module:function" that makes beside a folder what a new run there starts from, "" for nothing.
        tolerance: How far weights may be from those of one process where two share the batches. None where
            normalisation by the batch makes them others.
        left_out: Ends of the names of weights that are not compared so: biases before an instance norm, for example,
            have a gradient of nothing but rounding, of which Adam makes steps of the learning rate.
    """

    train: str
    objective: str
    prepare: str = ""
    tolerance: float | None = 2e-5
    left_out: tuple[str, ...] = ()

    def run(self, folder: Path, **options: Any) -> Path:
        """Train in `folder`, on one thread, and return the model's folder."""
        if not options.get("resume"):
            self.make_ready(folder)
        return _found(self.train)(folder, **{**_HERE, **options})

    def make_ready(self, folder: Path) -> None:
        """Make what a new run in `folder` starts from, once."""
        if self.prepare and not folder.exists():
            _found(self.prepare)(folder)

    @property
    def modules(self) -> list[str]:
        """The modules that train."""
        return [place.partition(":")[0] for place in (self.train, self.objective)]

    @contextmanager
    def watched(self, before: Callable[[Any], None]) -> Iterator[None]:
        """Call `before` with the objective ahead of every step, for the time of a block."""
        kind = _found(self.objective)
        step = kind.step

        def watched(objective: Any) -> Any:
            before(objective)
            return step(objective)

        kind.step = watched
        try:
            yield
        finally:
            kind.step = step


_PATIENCE_S = 120.0
_HERE: dict[str, Any] = {"device": "cpu", "threads": 1}


def _found(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


STEPS, LONGER, EVERY = 6, 9, 2


class TrainerSuite:
    """Tests of one training; `case` says which."""

    case: ClassVar[TrainerCase]

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The folder of a run that nothing disturbed."""
        folder = tmp_path_factory.mktemp("whole") / "run"
        assert cls.case.run(folder) == folder / MODEL
        return folder

    @pytest.fixture(scope="class")
    @classmethod
    def stopped(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The folder of a run that got a signal in its third step."""
        folder = tmp_path_factory.mktemp("stopped") / "run"

        def interrupt(objective: Any) -> None:
            if objective.state.step == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        with cls.case.watched(interrupt), pytest.raises(TrainingStopped, match="--resume") as caught:
            cls.case.run(folder)
        assert caught.value.exit_code == 130
        return folder

    def test_a_run_leaves_a_model_a_log_a_checkpoint_and_its_recipe(self, whole: Path) -> None:
        checkpoint = read_checkpoint(whole / CHECKPOINT)
        assert checkpoint.step == checkpoint.steps == STEPS
        assert (whole / MODEL).is_dir()
        assert (whole / "recipe.json").is_file()
        rows = read_log(whole)
        assert int(rows[-1]["step"]) == STEPS
        assert tuple(rows[-1]) == _found(self.case.objective).columns

    def test_a_signal_writes_a_checkpoint_and_the_run_goes_on_to_the_same_bits(
        self, whole: Path, stopped: Path
    ) -> None:
        checkpoint = read_checkpoint(stopped / CHECKPOINT)
        assert (checkpoint.step, checkpoint.steps) == (3, STEPS)
        assert not (stopped / MODEL).exists()
        with pytest.raises(UsageError, match="already holds a run"):
            self.case.run(stopped)
        with pytest.raises(UsageError, match="lr was"):
            self.case.run(stopped, resume=True, changed=True)
        self.case.run(stopped, resume=True)
        assert same(whole, stopped)

    @pytest.mark.parametrize("what", ["loss", "weight"])
    def test_what_is_no_number_keeps_the_last_checkpoint(self, what: str, tmp_path: Path) -> None:
        kind, step = _found(self.case.objective), _found(self.case.objective).step

        def broken(objective: Any) -> Any:
            losses = step(objective)
            if objective.state.step == 3 and what == "loss":
                name = next(iter(losses))
                return {**losses, name: losses[name] * math.nan}
            if objective.state.step == 3:
                next(objective.state.trained()[0].parameters()).data.mul_(math.inf)
            return losses

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "step", broken)
            with pytest.raises(NasError, match=r"no longer finite at step 4, .* kept; lower lr \(now"):
                self.case.run(tmp_path / "run")
        checkpoint = read_checkpoint(tmp_path / "run" / CHECKPOINT)
        assert checkpoint.step == 2
        assert not (tmp_path / "run" / MODEL).exists()

    def test_a_run_that_ended_becomes_longer(self, whole: Path, tmp_path: Path) -> None:
        folder = tmp_path / "run"
        self.case.make_ready(folder)
        shutil.copytree(whole, folder)
        for resume, words in ((False, "trained to its end"), (True, "resume it with more than 6 steps")):
            with pytest.raises(UsageError, match=words):
                self.case.run(folder, resume=resume)
        before = _bytes(folder / MODEL)
        heard: list[str] = []
        self.case.run(folder, resume=True, longer=True, progress=lambda stage, *steps: heard.append(stage))
        assert any("the run was to have 6 steps and goes on to 9" in text for text in heard)
        checkpoint = read_checkpoint(folder / CHECKPOINT)
        assert checkpoint.step == checkpoint.steps == LONGER
        assert _bytes(folder / MODEL) != before
        assert not [*folder.glob(".*")]
        assert int(read_log(folder)[-1]["step"]) == LONGER


class ProcessesTrainerSuite(TrainerSuite):
    """The same with processes of their own: a run that is killed, and two processes that share batches.

    Attributes:
        preloaded: The modules that such processes have imported when they start; where none is named, the case's.
    """

    preloaded: ClassVar[Sequence[str]] = ()

    def test_a_killed_run_goes_on_to_the_same_bits(self, whole: Path, tmp_path: Path) -> None:
        assert self._apart(tmp_path / "run", "kill") == [-signal.SIGKILL], _said(tmp_path / "run")
        assert read_checkpoint(tmp_path / "run" / CHECKPOINT).step == 4
        self.case.run(tmp_path / "run", resume=True)
        assert same(whole, tmp_path / "run")
        steps = [[row["step"] for row in read_log(folder)] for folder in (whole, tmp_path / "run")]
        assert steps[0] == steps[1]

    def test_two_processes_end_where_one_does(self, whole: Path, tmp_path: Path) -> None:
        assert self._apart(tmp_path / "run", "run", processes=2) == [0, 0], _said(tmp_path / "run")
        one, two = (read_checkpoint(folder / CHECKPOINT) for folder in (whole, tmp_path / "run"))
        assert two.step == STEPS
        assert (tmp_path / "run" / MODEL).is_dir()
        ranks = [Path(f"{tmp_path / 'run'}-rank{rank}").read_text() for rank in (0, 1)]
        assert ranks[0] == ranks[1], "the processes end with other weights"
        logs = read_log(whole), read_log(tmp_path / "run")
        assert [row["step"] for row in logs[0]] == [row["step"] for row in logs[1]]
        if self.case.tolerance is None:
            return
        assert distance(one.state, two.state, self.case.left_out) < self.case.tolerance
        for row, other in zip(*logs, strict=True):
            for name in row.keys() - {"images_per_s"}:
                assert float(row[name] or 0) == pytest.approx(float(other[name] or 0), rel=0.02, abs=1e-3), (
                    name
                )

    def _apart(self, folder: Path, what: str, processes: int = 1) -> list[int | None]:
        """Train in processes of their own and return how each ended; None where they wait for each other for ever.

        They are forked from one process that has imported the training, which takes seconds, once. What each says
        stands beside `folder`.
        """
        self.case.make_ready(folder)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*(self.preloaded or self.case.modules)])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        started = []
        for rank in map(str, range(processes)):
            # What torchrun and `accelerate launch` tell the processes that they start.
            environment = {**place, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(processes)}
            started.append(context.Process(target=_apart, args=(self.case, folder, what, environment)))
            started[-1].start()
        end = time.monotonic() + _PATIENCE_S
        for process in started:
            process.join(max(end - time.monotonic(), 0))
        codes = [process.exitcode for process in started]
        for process in started:
            process.kill()
        return codes


def _said(folder: Path) -> str:
    """Return the end of what the processes of a run said."""
    return "\n".join(path.read_text()[-4000:] for path in sorted(folder.parent.glob(f"{folder.name}-said*")))


def same(first: Path, second: Path) -> bool:
    """Whether the checkpoints of two runs hold the same bits: weights, averages, momenta."""
    one, other = (_flat(read_checkpoint(folder / CHECKPOINT).state) for folder in (first, second))
    return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)


def distance(first: Any, second: Any, left_out: tuple[str, ...] = ()) -> float:
    """Return the largest difference of two states' networks, number by number, without names of these ends."""
    networks = [
        {name: part for name, part in state.items() if "optimizer" not in name} for state in (first, second)
    ]
    one, other = map(_flat, networks)
    assert one.keys() == other.keys()
    compared = [name for name in one if hasattr(one[name], "shape") and not name.endswith(left_out)]
    pairs = [(one[name], other[name]) for name in compared]
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs if a.numel())


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return every tensor and value of nested containers by its path."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {name: value}
    return {path: part for key, item in items for path, part in _flat(item, f"{name}/{key}").items()}


def _equal(first: Any, second: Any) -> bool:
    import torch

    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _apart(case: TrainerCase, folder: Path, what: str, environment: Mapping[str, str]) -> None:
    """Train in this process; with `what` "kill" it is killed in its fifth step."""
    os.environ.update(environment)
    rank = environment["RANK"]
    with open(f"{folder}-said{rank}", "w") as said:
        for stream in (1, 2):
            os.dup2(said.fileno(), stream)
    seen: dict[str, Any] = {}

    def before(running: Any) -> None:
        seen["state"] = running.state
        if what == "kill" and running.state.step == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    with case.watched(before):
        _found(case.train)(folder, **_HERE)
    weights = [weight for network in seen["state"].trained() for weight in network.parameters()]
    digest = hashlib.sha256(b"".join(each.detach().cpu().numpy().tobytes() for each in weights)).hexdigest()
    Path(f"{folder}-rank{rank}").write_text(digest)
