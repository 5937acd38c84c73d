"""What `nas train --resume` is not fooled by: one sentence, an exit code, and every file as it was."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.data.dataset import open_data
from nas.train.classifiers.objective import ClassifierObjective, train
from nas.train.classifiers.recipe import load_recipe

TINY = {
    "epochs": 1,
    "batch_size": 14,
    "checkpoint_steps": 2,
    "distil_steps": 0,
    "calibration_images": 16,
    "random_subnets": 1,
    "warmup_epochs": 0.0,
}


class Crash(Exception):
    """What ends a training from outside in the middle of a step."""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, few_digits: Path) -> Path:
    """The folder of a run that ended in its fourth step of six; its checkpoint is of step 2."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    true = ClassifierObjective.step

    def crashing(self: ClassifierObjective) -> Any:
        if self.state.step == 3:
            raise Crash
        return true(self)

    recipe = load_recipe("digits").replaced(**TINY)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(ClassifierObjective, "step", crashing)
        train(recipe, open_data(str(few_digits)), folder, threads=1)
    return folder


@pytest.fixture
def resume(stopped: Path, few_digits: Path, tmp_path: Path, nas_run: Callable) -> Callable:
    """Return a function that resumes a copy of the run, after `harm` was done to its checkpoint."""
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)

    def resume(harm: Callable[[Path], object] = Path.exists, *more: str, data: str | None = None) -> Any:
        harm(folder / "checkpoint.pt")
        settings = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
        base = ("train", "--recipe", "digits", "--data", data or str(few_digits), "--output", folder)
        before = contents(folder)
        outcome = nas_run(*base, *settings, "--threads", "1", "--resume", *more)
        return outcome, before, folder

    return resume


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Return a harm that changes what the checkpoint holds and writes it as torch does."""

    def harm(path: Path) -> None:
        value = torch.load(path, weights_only=True)
        change(value)
        torch.save(value, path)

    return harm


class Malice:
    """An object whose unpickling makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign_weights(value: dict[str, Any]) -> None:
    value["state"]["supernet"] = OrderedDict(weight=torch.zeros(2, 2))


HARMS: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "missing": (Path.unlink, 2, "there is no checkpoint"),
    "empty": (lambda path: path.write_bytes(b""), 1, "no complete checkpoint"),
    "truncated": (truncated, 1, "no complete checkpoint"),
    "text": (lambda path: path.write_text("step 2\n"), 1, "checkpoint.pt"),
    "a picture": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64)), 1, "checkpoint.pt"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps({"step": 2})), 1, "checkpoint.pt"),
    "a pickled command": (
        lambda path: path.write_bytes(pickle.dumps(Malice(path.with_name("mark")))),
        1,
        "checkpoint.pt",
    ),
    "torch's pickled command": (
        lambda path: torch.save({"a": Malice(path.with_name("mark"))}, path),
        1,
        "more than weights",
    ),
    "a list": (lambda path: torch.save([1, 2], path), 1, "no checkpoint of `nas train`"),
    "a state dict": (
        lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path),
        1,
        "no checkpoint of `nas train`",
    ),
    "of another version": (rewritten(lambda value: value.update(version=99)), 1, "version 99, expected 2"),
    "without its state": (rewritten(lambda value: value.pop("state")), 1, "no complete checkpoint"),
    "with foreign weights": (rewritten(foreign_weights), 1, "does not fit the recipe's network"),
}


@pytest.mark.parametrize("name", HARMS)
def test_a_checkpoint_that_is_none_is_refused(resume: Callable, name: str) -> None:
    harm, code, words = HARMS[name]
    outcome, before, folder = resume(harm)
    assert outcome.code == code and words in outcome.stderr, outcome.stderr
    assert "checkpoint" in outcome.stderr and outcome.stdout == ""
    assert len(outcome.stderr.splitlines()) == 1 and "Traceback" not in outcome.stderr
    # Nothing is written, and nothing that a pickle asks for is done.
    assert contents(folder) == before and not (folder / "mark").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--lr", "0.5"), "lr was 0.003, now 0.5"),
        (("--seed", "3"), "seed was 0, now 3"),
        (("--method", "progressive", "--set", "largest_epochs=0.5"), "method was 'sandwich'"),
    ],
)
def test_another_recipe_is_refused(resume: Callable, more: tuple[str, ...], words: str) -> None:
    outcome, before, folder = resume(Path.exists, *more)
    assert outcome.code == 2 and len(outcome.stderr.splitlines()) == 1
    assert words in outcome.stderr or "largest_epochs was" in outcome.stderr
    assert contents(folder) == before


def test_other_data_are_refused(resume: Callable) -> None:
    outcome, before, folder = resume(data="digits")
    assert outcome.code == 2 and "another configuration (data)" in outcome.stderr
    assert contents(folder) == before


def test_the_same_run_goes_on(resume: Callable) -> None:
    # What may change between two parts of a run: names and how often something is written.
    outcome, _, folder = resume(Path.exists, "--set", "checkpoint_steps=5", "--json")
    assert outcome.code == 0, outcome.stderr
    answer = json.loads(outcome.stdout)
    assert Path(answer["model"]) == folder / "model" and 0 <= answer["val"]["largest_top1"] <= 100
    again, before, _ = resume()
    assert again.code == 2 and "trained to its end" in again.stderr and contents(folder) == before


def test_a_run_is_not_started_over_by_accident(
    stopped: Path, few_digits: Path, nas_run: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    before = contents(folder)
    outcome = nas_run("train", "--recipe", "digits", "--data", few_digits, "--output", folder)
    assert outcome.code == 2 and "already holds a run" in outcome.stderr and "--resume" in outcome.stderr
    assert contents(folder) == before
