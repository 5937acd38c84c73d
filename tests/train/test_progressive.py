"""A whole progressive shrinking on digits: when the teacher freezes, what opens when, and resuming to the bit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from nas.data.dataset import open_data
from nas.models import load_model
from nas.space import Subnet
from nas.train import trainer
from nas.train.checkpoint import read_checkpoint
from nas.train.classifiers.objective import ClassifierObjective, ClassifierState, build_supernet, train
from nas.train.classifiers.recipe import ClassifierRecipe, load_recipe
from nas.train.sampling import Progressive

# Two epochs of six steps: three for the largest network alone, then three for each of the three stages.
FREEZE = 3
STAGES = (("kernel", "resolution"), ("depth",), ("expand",))
OPEN = [{"kernel", "resolution"}] * 3 + [{"kernel", "resolution", "depth"}] * 3
OPEN += [{"kernel", "resolution", "depth", "expand"}] * 3


class Crash(Exception):
    """What ends a training from outside in the middle of a step."""


class Seen(NamedTuple):
    """What happened inside a training."""

    frozen_at: list[int]
    drawn: list[tuple[set[str], Subnet]]
    saved: dict[int, dict[str, Any]]


def recipe() -> ClassifierRecipe:
    return load_recipe("digits").replaced(
        method="progressive",
        stages=STAGES,
        largest_epochs=0.5,
        epochs=2,
        batch_size=14,
        random_subnets=1,
        eval_epochs=2,
        checkpoint_steps=3,
        warmup_epochs=0.0,
        calibration_images=16,
        distil_steps=0,
    )


def shrink(data: Path, folder: Path, *, resume: bool = False, crash_at: int | None = None) -> Seen:
    """Train with open eyes; at step `crash_at` it ends before that step's gradients are there."""
    seen = Seen([], [], {})
    freeze, sample = ClassifierState.freeze_teacher, Progressive.sample
    step_of, write = ClassifierObjective.backward, trainer.write_checkpoint

    def freezing(state: ClassifierState) -> None:
        seen.frozen_at.append(state.step)
        freeze(state)

    def sampling(self: Progressive, rng: Any, step: int) -> Subnet:
        subnet = sample(self, rng, step)
        seen.drawn.append((self.opened(step), subnet))
        return subnet

    def stepping(self: ClassifierObjective, images: Tensor, targets: Tensor) -> Tensor:
        if self.state.step == crash_at:
            raise Crash
        return step_of(self, images, targets)

    def writing(path: Path, checkpoint: Any) -> None:
        seen.saved[checkpoint.step] = copy.deepcopy(checkpoint.state)
        write(path, checkpoint)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassifierState, "freeze_teacher", freezing)
        patch.setattr(Progressive, "sample", sampling)
        patch.setattr(ClassifierObjective, "backward", stepping)
        patch.setattr(trainer, "write_checkpoint", writing)
        train(recipe(), open_data(str(data)), folder, resume=resume, threads=1)
    return seen


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, few_digits: Path) -> tuple[Path, Seen]:
    folder = tmp_path_factory.mktemp("progressive") / "run"
    return folder, shrink(few_digits, folder)


def test_dimensions_open_in_the_order_of_the_stages(run: tuple[Path, Seen]) -> None:
    _, seen = run
    assert [opened for opened, _ in seen.drawn] == OPEN
    largest = build_supernet(recipe(), 10, torch.device("cpu")).space.largest()
    for opened, subnet in seen.drawn:
        changed = {name.split(".")[-1] for name, choice in subnet.items() if choice != largest[name]}
        assert changed <= opened
    # Every stage was used: a subnet of the last one differs in what only the last one opens.
    for stage in STAGES:
        words = [opened for opened, subnet in seen.drawn if _differs(subnet, largest, stage)]
        assert words, f"no subnet differs in {stage}"


def _differs(subnet: Subnet, largest: Subnet, words: tuple[str, ...]) -> bool:
    return any(choice != largest[name] for name, choice in subnet.items() if name.rpartition(".")[2] in words)


def test_the_teacher_is_the_largest_network_when_the_stages_begin(run: tuple[Path, Seen]) -> None:
    _, seen = run
    assert seen.frozen_at == [FREEZE]
    assert sorted(seen.saved) == [3, 6, 9, 12]
    assert "teacher" not in seen.saved[FREEZE]
    supernet = build_supernet(recipe(), 10, torch.device("cpu"))
    supernet.load_state_dict(seen.saved[FREEZE]["supernet"])
    expected = dict(supernet.extract(supernet.space.largest()).named_parameters())
    for step in (6, 9, 12):
        teacher = seen.saved[step]["teacher"]
        assert all(torch.equal(teacher[name], value) for name, value in expected.items())
    # The supernet itself went on learning.
    supernet.load_state_dict(seen.saved[12]["supernet"])
    moved = dict(supernet.extract(supernet.space.largest()).named_parameters())
    assert not any(torch.equal(moved[name], value) for name, value in expected.items() if value.ndim == 4)


def test_resuming_across_the_freeze_ends_with_the_same_bits(
    run: tuple[Path, Seen], few_digits: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    # First exactly where the teacher is to be frozen, then in the middle of the second stage.
    with pytest.raises(Crash):
        shrink(few_digits, folder, crash_at=FREEZE)
    assert "teacher" not in read_checkpoint(folder / "checkpoint.pt").state
    with pytest.raises(Crash):
        shrink(few_digits, folder, resume=True, crash_at=8)
    checkpoint = read_checkpoint(folder / "checkpoint.pt")
    assert checkpoint.step == 6 and "teacher" in checkpoint.state
    rest = shrink(few_digits, folder, resume=True)
    # Loading makes the teacher's module anew, then fills it with the frozen one's tensors.
    assert rest.frozen_at == [0] and sorted(rest.saved) == [9, 12]
    once = load_model(run[0] / "model").supernet.state_dict()
    again = load_model(folder / "model").supernet.state_dict()
    assert once.keys() == again.keys() and all(torch.equal(once[key], again[key]) for key in once)
    teachers = [state.saved[12]["teacher"] for state in (run[1], rest)]
    assert all(torch.equal(teachers[0][key], teachers[1][key]) for key in teachers[0])
    assert rest.drawn == run[1].drawn[3:]
