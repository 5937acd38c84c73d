"""What every task must do: judge subnets by numbers that are the same again, and say what goes in and comes out.

Subclass `TaskSuite` in a test module, under a name that begins with `Test`, and give it a `case`:

    class TestMine(TaskSuite):
        case = TaskCase("mine", write_tiny_model, few_pictures)

`write_tiny_model` is `def write_tiny_model(folder: Path) -> Path`: it writes a model of the task as `folder`, untrained
and as small as can be, and returns the folder.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data.dataset import Data
from nas.elastic import Inputs, batch_of, call, named_inputs
from nas.errors import UsageError
from nas.export import Export, load_artifact, parse_formats, read_manifest
from nas.models import Evaluator, Model, Quality, Task, get_task, load_model
from nas.models.task import SPLIT_WORDS, Split
from nas.space import Subnet
from nas.testing.families import some_subnets


@dataclass(frozen=True)
class TaskCase:
    """One task, with a model of it.

    Attributes:
        name: The task's entry point in the group "anyfit.tasks".
        model: Writes a model of the task as a folder, which does not exist yet, and returns that.
        data: Opens images of the user's, for qualities that need some; None where none does.
        limit: How many images of them an evaluator is given, at most.
        tolerance: How far an artifact's outputs may be from the network's, relative to the largest.
    """

    name: str
    model: Callable[[Path], Path]
    data: Callable[[], Data] | None = None
    limit: int = 20
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Judged:
    """What an evaluator found: of the smallest and the largest subnet; itself, pickled before it was used."""

    evaluator: Evaluator
    unused: bytes
    values: tuple[float, float]


class TaskSuite:
    """Tests of one task; `case` says which."""

    case: ClassVar[TaskCase]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def one_thread(cls) -> Any:
        """On one thread outputs are exact, on several they may differ by rounding."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls) -> Task:
        """The task."""
        return get_task(cls.case.name)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Model:
        """A model of the task; tests leave it as it is."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return load_model(cls.case.model(tmp_path_factory.mktemp("task") / "model"))

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls) -> Data | None:
        """Images of the user's."""
        return None if cls.case.data is None else cls.case.data()

    @pytest.fixture(scope="class")
    @classmethod
    def judged(cls, task: Task, model: Model, data: Data | None) -> dict[Quality, Judged]:
        """What the evaluators of all qualities that the model has say of its smallest and its largest subnet."""
        found = {}
        for quality in task.qualities_of(model):
            evaluator = cls.evaluator(task, model, quality, data)
            unused = pickle.dumps(evaluator)
            small, large = (_value(evaluator, model, subnet) for subnet in _ends(model))
            found[quality] = Judged(evaluator, unused, (small, large))
        return found

    @classmethod
    def evaluator(
        cls, task: Task, model: Model, quality: Quality, data: Data | None, split: Split = "val"
    ) -> Evaluator:
        """Return an evaluator, with the user's images where it needs some."""
        given = data if task.needs_data(quality) else None
        return task.evaluator(model, quality, given, split=split, limit=cls.case.limit)

    @pytest.fixture(scope="class")
    @classmethod
    def artifact(cls, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The exported smallest subnet, without programs."""
        folder = tmp_path_factory.mktemp("artifacts") / "small"
        smallest, _ = _ends(model)
        Export(model=model, subnet=smallest, formats=parse_formats("safetensors")).write(folder)
        return folder

    def test_its_models_name_it(self, task: Task, model: Model) -> None:
        assert isinstance(task, Task)
        assert task.name == self.case.name == model.family.task
        assert model.task is task

    def test_qualities_are_told_apart(self, task: Task, model: Model) -> None:
        names = [quality.name for quality in task.qualities]
        assert names
        assert len({*names}) == len({quality.label for quality in task.qualities}) == len(names)
        assert task.quality() == task.qualities[0]
        assert [task.quality(name) for name in names] == [*task.qualities]
        own = task.qualities_of(model)
        assert own
        assert {*own} <= {*task.qualities}
        with pytest.raises(UsageError, match=", ".join(names)) as caught:
            task.quality("no-such-quality")
        assert "\n" not in str(caught.value)

    def test_what_effects_add_up_in_keeps_every_value_and_their_order(self, task: Task) -> None:
        for quality in task.qualities:
            low, high = max(quality.bounds[0], -50.0), min(quality.bounds[1], 50.0)
            assert low < high
            values = np.linspace(low + 0.1 * (high - low), high, 7)
            added = quality.to_additive(values)
            assert (np.diff(added) > 0).all()
            np.testing.assert_allclose(quality.from_additive(added), values, rtol=1e-6)
            assert quality.text(float(values[0])).endswith(quality.unit)

    def test_missing_data_costs_one_sentence(self, task: Task, model: Model) -> None:
        for quality in task.qualities_of(model):
            if not task.needs_data(quality):
                assert task.evaluator(model, quality).quality == quality
                continue
            with pytest.raises(UsageError, match="--data") as caught:
                task.evaluator(model, quality)
            assert "\n" not in str(caught.value)

    def test_evaluators_say_what_they_measure(self, task: Task, model: Model, data: Data | None) -> None:
        for quality in task.qualities_of(model):
            for split in SPLIT_WORDS:
                evaluator = self.evaluator(task, model, quality, data, split)
                assert evaluator.quality == quality
                assert evaluator.data
                assert "\n" not in evaluator.data
                if task.needs_data(quality):
                    assert SPLIT_WORDS[split] in evaluator.data
                    assert any(
                        word.isdigit() and int(word) <= self.case.limit for word in evaluator.data.split()
                    )
                if (images := evaluator.calibration) is not None:
                    assert images.dtype == torch.uint8
                    assert images.ndim == 4

    def test_a_quality_is_a_number_within_its_bounds(self, judged: dict[Quality, Judged]) -> None:
        for quality, found in judged.items():
            low, high = quality.bounds
            for value in found.values:
                assert math.isfinite(value)
                assert low - 1e-6 <= value <= high + 1e-6, quality.name

    def test_some_quality_tells_networks_apart(self, model: Model, judged: dict[Quality, Judged]) -> None:
        """Otherwise the tests of equal values would hold for an evaluator that looks at nothing."""

        def differs(found: Judged) -> bool:
            """Whether the ends have other values or, where few images are judged, one of a few other subnets."""
            others = (_value(found.evaluator, model, subnet) for subnet in some_subnets(model.family, 6)[2:])
            return found.values[0] != found.values[1] or any(value != found.values[0] for value in others)

        assert any(differs(found) for found in judged.values())

    def test_evaluators_are_deterministic_and_can_be_pickled(
        self, model: Model, judged: dict[Quality, Judged]
    ) -> None:
        smallest, _ = _ends(model)
        for quality, found in judged.items():
            used = pickle.loads(pickle.dumps(found.evaluator))
            with ThreadPoolExecutor(1) as pool:  # what is prepared beside other work
                pool.submit(used.prepare(model)).result()
            for again in (used, pickle.loads(found.unused)):
                assert _value(again, model, smallest) == pytest.approx(found.values[0], rel=1e-5), (
                    quality.name
                )
                assert (again.quality, again.data) == (quality, found.evaluator.data)

    @torch.no_grad()
    def test_inputs_are_what_the_network_takes(
        self, task: Task, model: Model, judged: dict[Quality, Judged]
    ) -> None:
        pictures = [found.evaluator.calibration for found in judged.values()]
        for subnet in _ends(model):
            network = model.extract(subnet)
            example = model.family.example_input(subnet, 3)
            for images in (None, *(given for given in pictures if given is not None)):
                x, words = task.inputs(model, subnet, 3, images)
                assert words
                assert _specs(x) == _specs(example)
                again, _ = task.inputs(model, subnet, 3, images)
                assert all(
                    torch.equal(one, named_inputs(again)[name]) for name, one in named_inputs(x).items()
                )
                output = call(network, x)
                assert len(output) == batch_of(x) == 3
                assert output.isfinite().all()

    @torch.no_grad()
    def test_an_artifact_computes_what_the_subnet_computes(
        self, task: Task, model: Model, artifact: Path
    ) -> None:
        smallest, _ = _ends(model)
        x, _ = task.inputs(model, smallest, 3)
        expected, given = (call(network, x) for network in (model.extract(smallest), load_artifact(artifact)))
        assert (given - expected).abs().max() <= self.case.tolerance * expected.abs().max()

    def test_the_interface_is_said_on_the_card(self, task: Task, model: Model, artifact: Path) -> None:
        spec = read_manifest(artifact).input
        text = task.interface(spec.shape, spec.preprocessing, model.classes)
        assert "Input" in text
        assert "Output" in text
        assert all(str(size) in text for size in spec.shape)
        assert text in (artifact / "README.md").read_text(encoding="utf-8")

    def test_the_example_code_runs(
        self, task: Task, model: Model, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It makes an input `x` that the artifact takes; or all that is done, where the task has ways of its own."""
        spec, picture = read_manifest(artifact).input, tmp_path / "own.png"
        Image.new("RGB", (40, 30), (255, 0, 127)).save(picture)
        title, code = task.example_code(spec.shape, spec.preprocessing, model.classes)
        assert title
        monkeypatch.chdir(artifact)
        found: dict[str, Any] = {"name": str(picture), "names": [str(picture)]}
        exec(compile(code, "<example>", "exec"), found)
        if task.usage() is None:
            x = found["x"]
            assert (x.shape, x.dtype) == ((1, *spec.shape), np.float32)
            with torch.no_grad():
                assert call(load_artifact(artifact), torch.from_numpy(x)).isfinite().all()

    def test_every_usage_is_code(self, task: Task) -> None:
        for file, title, code in task.usage() or ():
            assert title
            assert Path(file).suffix
            compile(code, f"<{file}>", "exec")


def _ends(model: Model) -> tuple[Subnet, Subnet]:
    return model.space.smallest(), model.space.largest()


def _value(evaluator: Evaluator, model: Model, subnet: Subnet) -> float:
    return evaluator(model, model.extract(subnet), subnet)


def _specs(x: Inputs) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in named_inputs(x).items()}
