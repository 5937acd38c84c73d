"""What every runtime must do: say whether it is here, run a module as torch does, be measured in a process of its own.

Subclass `RuntimeSuite` in a test module, under a name that begins with `Test`, and give it a `case`:

    class TestMine(RuntimeSuite):
        case = RuntimeCase("mine")

Where the runtime cannot be used, what needs it is skipped with the reason that it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from nas.elastic import Pass, Supernet, quantize_layers
from nas.errors import NasError, UsageError
from nas.families import get_family
from nas.latency.measuring.measure import Measurement, measure
from nas.latency.measuring.programs import write_sequence
from nas.latency.measuring.turns import TurnPlan
from nas.latency.runtimes import Runtime, get_runtime, runtime_names
from nas.latency.workload import PRECISIONS, Workload, available_cores


def first_output(result: Any) -> np.ndarray:
    """Return what a run gives, a tensor or a sequence of arrays, as the array of the first output."""
    if isinstance(result, torch.Tensor):
        return result.detach().float().cpu().numpy()
    return np.asarray(result[0], np.float32)


@dataclass(frozen=True)
class RuntimeCase:
    """One runtime.

    Attributes:
        name: Its entry point in the group "anyfit.runtimes", or the name of a built-in one.
        compiles: Whether it takes seconds to open a program: sequences, which open each anew, are then not measured.
        tolerance: How far outputs may be from torch's on the processor, relative to the largest, by precision.
        few_bits: The same in fp32 for weights of 8 bits: some runtimes round what they are multiplied with, too.
        output: What a program gives when it is run, as an array.
        family: A registered family whose smallest and largest subnets are measured; they should differ by half.
        options: Its options; where a runtime compiles for long, such as make it small.
    """

    name: str
    compiles: bool = False
    tolerance: dict[str, float] | None = None
    few_bits: float = 2e-2
    output: Callable[[Any], np.ndarray] = first_output
    family: str = "mbv3-small-image"
    options: Mapping[str, Any] = field(default_factory=dict)

    def most(self, precision: str) -> float:
        """Return the largest difference that is allowed."""
        return {"fp32": 1e-4, "bf16": 3e-2, "fp16": 3e-3, **(self.tolerance or {})}[precision]


class Probe(nn.Module):
    """A small network whose output begins with its input: what noise a runtime made is seen, and can be run again."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 10)
        )

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        return torch.cat([x_bchw.flatten(1), self.layers(x_bchw)], dim=1)


SHAPE = (3, 6, 6)
_ONE = Workload(threads=1)
_QUICK = TurnPlan(min_bursts=3, max_bursts=3, burst_ms=0.5)


def make_probe() -> Probe:
    """Return the probe with weights that are always the same, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Probe().eval()


class RuntimeSuite:
    """Tests of one runtime; `case` says which."""

    case: ClassVar[RuntimeCase]

    @pytest.fixture
    def installed(self) -> Runtime:
        """The runtime, whether it can be used here or not."""
        return get_runtime(self.case.name)

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls) -> Iterator[Runtime]:
        """The runtime, where it can be used here."""
        found = get_runtime(cls.case.name)
        if reason := found.unavailable():
            pytest.skip(reason)
        threads = torch.get_num_threads()
        with torch.random.fork_rng(devices=[]):
            yield found
        torch.set_num_threads(threads)

    def _difference(self, runtime: Runtime, module: nn.Module, program: Path, workload: Workload) -> float:
        """Return how far a run's output is from the module's on the same noise, relative to the largest number."""
        run = runtime.open(program, workload)
        made, again = self.case.output(run()), self.case.output(run())
        np.testing.assert_array_equal(made, again, err_msg="a program runs on the same noise each time")
        x = torch.from_numpy(np.array(made[:, : int(np.prod(SHAPE))])).reshape(-1, *SHAPE)
        assert len(x) == workload.batch_size
        assert x.std() > 0.5, "noise is standard normal"
        with torch.no_grad():
            expected = module(x).numpy()
        return float(np.abs(made - expected).max() / np.abs(expected).max())

    # --- what it says of itself -----------------------------------------------------------------------------------

    def test_it_is_found_by_its_name(self, installed: Runtime) -> None:
        assert isinstance(installed, Runtime)
        assert installed.name == self.case.name
        assert self.case.name in runtime_names()
        assert installed.device
        assert installed.precisions
        assert {*installed.precisions} <= {*PRECISIONS}

    def test_it_says_its_version_or_why_it_cannot_be_used(self, installed: Runtime) -> None:
        reason = installed.unavailable()
        if reason is None:
            installed.require(replace(_ONE, precision="fp32"))
            assert installed.version not in ("", "absent")
            return
        assert reason
        assert "\n" not in reason
        with pytest.raises(NasError) as caught:
            installed.require(_ONE)
        assert repr(self.case.name) in str(caught.value)
        assert reason in str(caught.value)

    def test_without_its_package_it_says_how_to_install_it(
        self, installed: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(installed), "package", "no-such-package")
        assert installed.version == "absent"
        with pytest.raises(NasError, match=r"no-such-package is not installed; pip install ") as caught:
            installed.require(_ONE)
        assert "\n" not in str(caught.value)

    def test_what_it_does_not_run_is_refused(self, runtime: Runtime) -> None:
        with pytest.raises(UsageError, match="threads are asked for") as caught:
            runtime.require(Workload(threads=available_cores() + 1))
        assert "\n" not in str(caught.value)
        for precision in {*PRECISIONS} - {*runtime.precisions}:
            with pytest.raises(UsageError, match=f"{precision} is asked for"):
                runtime.require(replace(_ONE, precision=precision))

    # --- what it computes -----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("batch_size", [1, 3])
    def test_a_program_computes_what_torch_computes(
        self, runtime: Runtime, batch_size: int, tmp_path: Path
    ) -> None:
        module, example = make_probe(), torch.zeros(batch_size, *SHAPE)
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        program = runtime.lower(module, example, tmp_path / "probe")
        assert program.is_file()
        assert (program.parent, program.stem) == (tmp_path, "probe")
        assert not module.training
        assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
        found = self._difference(runtime, module, program, replace(_ONE, batch_size=batch_size))
        assert found <= self.case.most("fp32")

    def test_every_precision_computes_nearly_the_same(self, runtime: Runtime, tmp_path: Path) -> None:
        module = make_probe()
        program = runtime.lower(module, torch.zeros(1, *SHAPE), tmp_path / "probe")
        allowed: list[Workload] = []
        for precision in runtime.precisions:
            workload = replace(_ONE, precision=precision)
            with suppress(UsageError):  # not every processor has every precision
                runtime.require(workload)
                allowed.append(workload)
        assert replace(_ONE, precision="fp32") in allowed
        for workload in allowed:
            precision = workload.precision
            assert self._difference(runtime, module, program, workload) <= self.case.most(precision)

    def test_weights_of_few_bits_compute_nearly_the_same(self, runtime: Runtime, tmp_path: Path) -> None:
        module = quantize_layers(make_probe(), 8)
        program = runtime.lower(module, torch.zeros(1, *SHAPE), tmp_path / "probe")
        assert self._difference(runtime, module, program, _ONE) <= self.case.few_bits

    def test_an_onnx_file_is_a_function_of_arrays(self, runtime: Runtime, tmp_path: Path) -> None:
        """For any batch; inputs that the file does not take are left out."""
        if not runtime.reads_onnx:
            with pytest.raises(NotImplementedError, match="no ONNX files"):
                runtime.function(tmp_path / "any.onnx", 1)
            return
        module = make_probe()
        program = runtime.lower(module, torch.zeros(1, *SHAPE), tmp_path / "probe")
        forward = runtime.function(program, 1)
        for batch_size in (1, 3):
            x = torch.randn(batch_size, *SHAPE, generator=torch.Generator().manual_seed(batch_size))
            made = np.array(forward({"input": x.numpy(), "unknown": x.numpy()}))
            with torch.no_grad():
                expected = module(x).numpy()
            assert np.abs(made - expected).max() <= self.case.most("fp32") * np.abs(expected).max()

    # --- programs of a family -------------------------------------------------------------------------------------

    @pytest.fixture(scope="class")
    @classmethod
    def programs(cls, runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
        """The family's smallest and largest subnets as a measurement lowers them, and a sequence of both."""
        folder, net = (
            tmp_path_factory.mktemp("programs"),
            Supernet(get_family(cls.case.family, **cls.case.options)),
        )
        family, space = net.family, net.space
        files = {}
        for name, subnet in (("smallest", space.smallest()), ("largest", space.largest())):
            recipe = {"family": family.name, "options": dict(family.options), "subnet": subnet.to_dict()}
            example = family.example_input(subnet)
            files[name] = runtime.lower(net.extract(subnet), example, folder / name, recipe)
        passes = [Pass("smallest", 2), Pass("largest", 1, 2)]
        return {**files, "sequence": write_sequence(folder / "sequence", passes, files)}

    def test_programs_run_batches_of_any_size(self, runtime: Runtime, programs: dict[str, Path]) -> None:
        for batch_size in (1, 3):
            run = runtime.open(programs["smallest"], replace(_ONE, batch_size=batch_size))
            made = self.case.output(run())
            assert len(made) == batch_size
            assert np.isfinite(made).all()

    def test_a_network_without_weights_is_built_where_it_runs(self, runtime: Runtime, tmp_path: Path) -> None:
        if not runtime.builds:
            pytest.skip(f"{self.case.name} takes weights with every program")
        family = get_family(self.case.family, **self.case.options)
        subnet = family.space.smallest()
        recipe = {"family": family.name, "options": dict(family.options), "subnet": subnet.to_dict()}
        with torch.device("meta"):
            module = family.build(subnet).eval()
        program = runtime.lower(module, family.example_input(subnet), tmp_path / "net", recipe)
        assert [file.name for file in tmp_path.iterdir()] == [program.name]
        assert np.isfinite(self.case.output(runtime.open(program, _ONE)())).all()

    @pytest.fixture(scope="class")
    @classmethod
    def measured(cls, runtime: Runtime, programs: dict[str, Path]) -> dict[str, Measurement]:
        """The latencies of the programs, in one process."""
        files = {name: file for name, file in programs.items() if name != "sequence" or not cls.case.compiles}
        return measure(files, runtime, _ONE, plan=_QUICK)

    def test_latencies_are_positive_and_larger_networks_take_longer(
        self, measured: dict[str, Measurement]
    ) -> None:
        assert 0 < measured["smallest"].median_ms < measured["largest"].median_ms
        assert all(found.repeats > 0 for found in measured.values())

    def test_a_sequence_takes_what_its_programs_take(self, measured: dict[str, Measurement]) -> None:
        if self.case.compiles:
            pytest.skip(f"{self.case.name} compiles each program of a sequence, which takes long")
        assert measured["sequence"].median_ms > measured["largest"].median_ms

    def test_a_program_that_does_not_load_is_one_sentence(
        self, runtime: Runtime, programs: dict[str, Path], tmp_path: Path
    ) -> None:
        broken = tmp_path / f"broken{programs['smallest'].suffix}"
        broken.write_bytes(b'{"bytes": 8, "no": "program"}')
        for path in (broken, broken.with_stem("absent")):
            with pytest.raises(NasError, match=r"cannot load the program|absent") as caught:
                measure({"a": path}, runtime, _ONE, plan=_QUICK)
            assert "\n" not in str(caught.value)
