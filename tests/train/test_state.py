"""The training state: the moving average is what is evaluated and saved, and a state survives being written."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from nas.data.dataset import open_data
from nas.errors import NasError, UsageError
from nas.models import load_model
from nas.train import trainer
from nas.train.checkpoint import CHECKPOINT, read_checkpoint
from nas.train.classifiers import objective as classifier
from nas.train.classifiers.objective import ClassifierObjective, ClassifierState, build_state, train
from nas.train.classifiers.recipe import ClassifierRecipe, load_recipe
from nas.train.objective import Losses, Setup
from nas.train.processes import Processes, joined

DECAY = 0.5
TINY = {
    "epochs": 1,
    "batch_size": 14,
    "checkpoint_steps": 1,
    "distil_steps": 0,
    "calibration_images": 16,
    "random_subnets": 1,
    "warmup_epochs": 0.0,
    "ema_decay": DECAY,
}


def tiny(**changes: Any) -> ClassifierRecipe:
    return load_recipe("digits").replaced(**{**TINY, **changes})


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


class Run(NamedTuple):
    """A training as seen from outside: the states after every step, what was evaluated, what was saved."""

    steps: list[dict[str, Any]]
    evaluated: list[dict[str, Tensor]]
    saved: dict[str, Tensor]


def recorded(recipe: ClassifierRecipe, data: Path, folder: Path) -> Run:
    run = Run([], [], {})
    write, evaluate = trainer.write_checkpoint, classifier.evaluate

    def writing(path: Path, checkpoint: Any) -> None:
        run.steps.append(copy.deepcopy(checkpoint.state))
        write(path, checkpoint)

    def evaluating(supernet: Any, *args: Any, **options: Any) -> dict[str, float]:
        run.evaluated.append(copy.deepcopy(supernet.state_dict()))
        return evaluate(supernet, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "write_checkpoint", writing)
        patch.setattr(classifier, "evaluate", evaluating)
        train(recipe, open_data(str(data)), folder, threads=1)
    run.saved.update(load_model(folder / "model").supernet.state_dict())
    return run


def averaged_by_hand(steps: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average the weights after every step: the decay warms up as 1 - t^(-2/3) until it reaches `DECAY`."""
    mean = {key: value.double() for key, value in steps[0].items()}
    for t, weights in enumerate(steps[1:], 2):
        decay = min(DECAY, 1 - t ** (-2 / 3))
        mean = {key: decay * mean[key] + (1 - decay) * weights[key].double() for key in mean}
    return mean


def test_the_moving_average_is_evaluated_and_saved(few_digits: Path, tmp_path: Path) -> None:
    run = recorded(tiny(), few_digits, tmp_path / "run")
    assert len(run.steps) == 6
    by_hand = averaged_by_hand([step["supernet"] for step in run.steps])
    last = run.steps[-1]["supernet"]
    floating = [key for key, value in last.items() if value.is_floating_point()]
    for key in floating:
        assert torch.allclose(run.saved[key].double(), by_hand[key], rtol=1e-5, atol=1e-6), key
    # The average is no copy of the last weights, or of the first.
    distance = max(float((by_hand[key] - last[key]).abs().max()) for key in floating)
    assert distance > 1e-3
    assert same(run.saved, run.steps[-1]["ema"])
    # Once after the epoch, then on validation and test images at the end.
    assert len(run.evaluated) == 3 and all(same(weights, run.saved) for weights in run.evaluated)


def test_without_a_moving_average_the_last_weights_are_saved(few_digits: Path, tmp_path: Path) -> None:
    run = recorded(tiny(ema_decay=0.0), few_digits, tmp_path / "run")
    assert all("ema" not in step for step in run.steps)
    assert same(run.saved, run.steps[-1]["supernet"])
    assert all(same(weights, run.saved) for weights in run.evaluated)


def test_cuda_without_a_number_is_the_first_device(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: taken.append(device.index))
    for name in ("cuda", None):
        with joined(name) as processes:
            assert processes.device == torch.device("cuda:0")
    assert taken == [0, 0]


def advanced(state: ClassifierState, recipe: ClassifierRecipe, data: Path, steps: int) -> ClassifierState:
    """Do `steps` training steps from where the state is."""
    setup = Setup(Path("unused"), Processes(0, 1, torch.device("cpu")))
    objective = ClassifierObjective(recipe, open_data(str(data)), setup)
    objective.build()
    objective.state = state
    for _ in range(steps):
        objective.step()
        state.step += 1
    return state


def flat(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return every tensor and number of nested containers by its path."""
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, dict):
        value = value.items()
    elif isinstance(value, list | tuple):
        value = enumerate(value)
    else:
        return {name: torch.tensor(float(value))} if isinstance(value, int | float) else {}
    return {path: part for key, item in value for path, part in flat(item, f"{name}/{key}").items()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema_decay": 0.0},
        {"method": "progressive", "largest_epochs": 0.2},
    ],
    ids=["sandwich", "no-average", "progressive"],
)
def test_a_state_goes_on_where_another_stopped(few_digits: Path, changes: dict[str, Any]) -> None:
    recipe = tiny(**changes)
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    first = advanced(build_state(recipe, 10, cpu), recipe, few_digits, 2)
    values = copy.deepcopy(first.to_dict())
    # Another seed: whatever `load` forgets would differ.
    second = build_state(recipe.replaced(seed=7), 10, cpu)
    assert not same(second.supernet.state_dict(), values["supernet"])
    second.load(first.step, values)
    assert second.step == 2 and same(flat(second.to_dict()), flat(values))
    assert (second.teacher is not None) == (recipe.method == "progressive")
    for state in (first, second):
        advanced(state, recipe, few_digits, 1)
    assert first.step == second.step == 3
    assert same(flat(first.to_dict()), flat(second.to_dict()))
    assert not same(first.supernet.state_dict(), values["supernet"])
    assert same(first.averaged.state_dict(), second.averaged.state_dict())


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("ema", None),
        ("supernet", {"weight": torch.zeros(2)}),
        ("optimizer", {"state": {}, "param_groups": []}),
        ("optimizer", "none"),
    ],
)
def test_what_does_not_fit_is_one_sentence(part: str, value: Any) -> None:
    state = build_state(tiny(), 10, torch.device("cpu"))
    values = {**copy.deepcopy(state.to_dict()), part: value}
    with pytest.raises(NasError, match="does not fit the recipe's network") as caught:
        state.load(3, values)
    assert "\n" not in str(caught.value) and state.step == 0
    values = copy.deepcopy(state.to_dict())
    del values[part]
    with pytest.raises(NasError, match=part):
        state.load(3, values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"optimizer": "magic"}, "'magic'"), ({"options": {"colour": "red"}}, "colour")],
)
def test_a_recipe_that_cannot_be_built_is_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        build_state(tiny(**changes), 10, torch.device("cpu"))
    assert "\n" not in str(caught.value)


# --- weights and losses that are no numbers, where the loss is read only now and then ----------------------------------


def checkpoint_step(folder: Path) -> int:
    return read_checkpoint(folder / CHECKPOINT).step


@pytest.fixture
def read_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the loss as seldom as on CUDA."""
    monkeypatch.setattr(trainer, "_read_every", lambda device: 20)


def train_digits(data: Path, folder: Path, **changes: Any) -> None:
    recipe = tiny(**{"checkpoint_steps": 2, "batch_size": 14, **changes})
    train(recipe, open_data(str(data)), folder, threads=1)


@pytest.mark.usefixtures("read_rarely")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    take = ClassifierObjective.step

    def broken(self: ClassifierObjective) -> Losses:
        losses = take(self)
        return {"loss": losses["loss"] * (bad if self.state.step == 2 else 1)}

    monkeypatch.setattr(ClassifierObjective, "step", broken)
    with pytest.raises(
        NasError, match=r"the loss is no longer finite at step 4, .* kept; lower lr \(now 0\.003\)"
    ):
        train_digits(few_digits, tmp_path / "run")
    assert checkpoint_step(tmp_path / "run") == 2 and not (tmp_path / "run" / "model").exists()


@pytest.mark.usefixtures("read_rarely")
@pytest.mark.parametrize("what", ["weight", "statistic", "momentum"])
def test_what_is_no_number_is_not_saved(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    take = ClassifierObjective.step

    def broken(self: ClassifierObjective) -> Losses:
        losses, state = take(self), self.state
        if state.step == 3:
            weight = next(state.supernet.parameters())
            statistic = next(
                each for name, each in state.supernet.named_buffers() if name.endswith("running_var")
            )
            momentum = state.optimizer.state[weight]["exp_avg"]
            with torch.no_grad():
                {"weight": weight, "statistic": statistic, "momentum": momentum}[what][0] = torch.nan
        return losses

    monkeypatch.setattr(ClassifierObjective, "step", broken)
    with pytest.raises(NasError, match="weights are no longer finite at step 4, .* kept; lower lr"):
        train_digits(few_digits, tmp_path / "run")
    assert checkpoint_step(tmp_path / "run") == 2


def test_a_poisoned_average_is_not_saved(few_digits: Path) -> None:
    state = build_state(tiny(), 10, torch.device("cpu"))
    assert state.is_finite()
    with torch.no_grad():
        next(state.averaged.parameters())[0] = torch.inf
    assert not state.is_finite()
