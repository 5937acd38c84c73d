"""Training on digits: what a step reaches, recipes, commands, what is told."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.dataset import open_data
from nas.errors import UsageError
from nas.models import load_model
from nas.train.classifiers.objective import ClassifierObjective, train
from nas.train.classifiers.recipe import ClassifierRecipe, load_recipe, recipe_names
from nas.train.objective import Setup
from nas.train.processes import Processes

TINY = {
    "epochs": 1,
    "batch_size": 40,
    "checkpoint_steps": 2,
    "distil_steps": 2,
    "calibration_images": 32,
    "random_subnets": 1,
    "warmup_epochs": 0.0,
}


def tiny(**changes) -> ClassifierRecipe:
    return load_recipe("digits").replaced(**{**TINY, **changes})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder / "model").supernet.state_dict()


@pytest.fixture(scope="module")
def trained(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(tiny(), open_data(str(few_digits)), folder, threads=1)
    return folder


def test_writes_a_model_that_loads(trained: Path, few_digits: Path) -> None:
    model = load_model(trained / "model")
    images = model.calibration_images()
    assert images is not None and images.shape[:2] == (256, 3) and images.dtype == torch.uint8
    assert len(model.classes) == 10 and "test" in model.info
    with pytest.raises(UsageError, match="trained to its end|already holds"):
        train(tiny(), open_data(str(few_digits)), trained, threads=1)


def objective(**changes) -> ClassifierObjective:
    setup = Setup(Path("never"), Processes(0, 1, torch.device("cpu")))
    made = ClassifierObjective(tiny(**changes), open_data("digits"), setup)
    made.state = made.build()
    return made


def test_sandwich_reaches_every_weight_and_progressive_needs_its_teacher() -> None:
    images, targets = torch.randn(8, 3, 32, 32), torch.arange(8) % 10
    first = objective()
    assert torch.isfinite(first.backward(images, targets))
    parameters = first.state.supernet.named_parameters()
    missing = [name for name, p in parameters if p.grad is None and "matrix" not in name]
    assert missing == []
    second = objective(method="progressive", largest_epochs=0.1)
    assert torch.isfinite(second.backward(images, targets))
    assert second.state.teacher is None
    second.state.step = 5
    assert torch.isfinite(second.backward(images, targets))
    assert second.state.teacher is not None
    with pytest.raises(UsageError, match="largest_epochs"):
        train(tiny(method="progressive"), open_data("digits"), Path("never"), threads=1)


def test_recipes_are_checked() -> None:
    assert {"digits", "cifar10-cpu", "cifar10-gpu"} <= set(recipe_names())
    for name in recipe_names():
        assert load_recipe(name).epochs >= 1
    with pytest.raises(UsageError, match="no setting 'epoch'"):
        ClassifierRecipe.from_dict({"epoch": 3})
    with pytest.raises(UsageError, match="expected a value of type int"):
        ClassifierRecipe.from_dict({"epochs": "many"})
    with pytest.raises(UsageError, match="method"):
        ClassifierRecipe.from_dict({"method": "magic"})
    with pytest.raises(UsageError, match="no recipe 'nowhere'"):
        load_recipe("nowhere")


def test_measure_and_eval_commands(nas_run, few_digits: Path, trained: Path) -> None:
    import json

    folder = trained / "model"
    args = ("measure", str(folder), "--data", few_digits, "--count", "30", "--held-out", "10", "--jobs", "1")
    code, out, err = nas_run(*args, "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["subnets"] == 30 and answer["qualities"]["top1"]["predictor"]["n"] == 10
    before = (folder / "subnets.csv").stat().st_mtime_ns
    code, out, _ = nas_run(*args)
    assert code == 0 and "30 subnets" in out and (folder / "subnets.csv").stat().st_mtime_ns >= before
    code, out, err = nas_run("eval", "smallest", "--model", str(folder), "--data", few_digits, "--json")
    assert code == 0, err
    table = load_model(folder).table()
    assert table is not None and 0 <= json.loads(out)["quality"]["value"] <= 100
    assert np.isfinite(table.values["top1"]).all() and table.split.count("held-out") == 10


# --- shorter runs, and what is told without a terminal -----------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_takes_fewer_epochs(name: str) -> None:
    whole = load_recipe(name)
    for epochs in (1, whole.epochs // 2):
        short = whole.replaced(epochs=epochs)
        assert short.warmup_epochs / epochs == pytest.approx(whole.warmup_epochs / whole.epochs)
    assert whole.replaced(epochs=2 * whole.epochs).warmup_epochs == whole.warmup_epochs
    assert whole.replaced(epochs=1, warmup_epochs=0.5).warmup_epochs == 0.5
    staged = whole.replaced(largest_epochs=whole.epochs / 4)
    assert staged.replaced(epochs=1).largest_epochs == 0.25


def test_a_warm_up_as_long_as_the_training_says_what_to_type() -> None:
    with pytest.raises(UsageError, match=r"warmup_epochs is 2, .* which is 2; .*--set warmup_epochs=0"):
        load_recipe("digits").replaced(epochs=2, warmup_epochs=2.0)


def test_one_epoch_of_a_shipped_recipe_just_works(few_digits: Path, nas_run, tmp_path: Path) -> None:
    words = ("train", "--recipe", "digits", "--data", few_digits, "--epochs", "1", "--set", "distil_steps=2")
    done = nas_run(*words, "--output", tmp_path / "run", "--threads", "1")
    assert done.code == 0 and (tmp_path / "run" / "model").is_dir(), done.stderr
    assert "the warm-up is shortened with the run: 0.0833 of 1 epochs instead of 1 of 12" in done.stderr


def test_distilling_tells_how_far_it_is_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.cli.output import shown_progress
    from nas.train.log import Log

    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with shown_progress() as progress:
        log = Log(tmp_path, 40, 0, columns=("step", "loss"), progress=progress)
        for step in range(1, 41):
            now[0] += 0.5
            log.step(step, 8, {"loss": 1.25})
        advance = log.stage("distilling calibration images")
        for step in range(1, 31):
            now[0] += 1.0
            advance(step, 30)
    assert capsys.readouterr().err.splitlines() == [
        "training ...",
        "training: 20 of 40, loss 1.250 16 images/s, 10 s left",
        "training: 40 of 40, loss 1.250 16 images/s, 0 s left",
        "distilling calibration images ...",
        "distilling calibration images: 10 of 30, 20 s left",
        "distilling calibration images: 20 of 30, 10 s left",
        "distilling calibration images: 30 of 30, 0 s left",
    ]


def test_what_is_not_shown_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nas.train.log import Log

    log = Log(tmp_path, 40, 0, columns=("step", "loss"))
    log.stage("distilling calibration images")(1, 2)
    assert capsys.readouterr().err == ""
