"""Program files: what one output of a network takes, written so that a process of its own can run it.

Where an output takes several programs, a *sequence* lists their files and how often each is run, on how many inputs.
A runtime opens it like any program: one run of it is the whole output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import elastic
from nas.families import families
from nas.files import write_json
from nas.latency.runtimes import Runtime
from nas.latency.runtimes.onnx_files import DATA
from nas.latency.runtimes.sequence import FORMAT, FORMAT_VERSION, SUFFIX
from nas.space import Subnet

if TYPE_CHECKING:
    from torch import nn


def lower_output(
    module: nn.Module, family: elastic.Family, subnet: Subnet, runtime: Runtime, path: Path
) -> Path:
    """Write what one output of the static network `module` takes and return its file: `path` with a suffix.

    Where that is several programs, they stand beside it, each once for all subnets that share it.
    """
    passes = family.passes(subnet)
    if [*family.programs] == [""]:
        return runtime.lower(module, family.example_input(subnet), path, _recipe(family, subnet))
    files = {
        name: lower_program(module, family, name, subnet, runtime, path.parent)
        for name in dict.fromkeys(step.program for step in passes)
    }
    return write_sequence(path, passes, files)


def lower_program(
    module: nn.Module, family: elastic.Family, name: str, subnet: Subnet, runtime: Runtime, folder: Path
) -> Path:
    """Write one of the programs of a network into `folder`, unless an equal one is there, and return its file."""
    program = family.programs[name]
    digest = hashlib.sha256(repr(program.key(subnet)).encode()).hexdigest()[:16]
    stem = f"{name}-{digest}"
    known = [path for path in folder.glob(f"{stem}.*") if path.suffix not in (".safetensors", DATA)]
    if known:
        return known[0]
    recipe = _recipe(family, subnet)
    if recipe is not None:
        recipe = {**recipe, "program": name}
    example = program.example(subnet, 1)
    return runtime.lower(program.view(module).eval(), example, folder / f"{stem}.program", recipe)


def write_sequence(path: Path, passes: Iterable[elastic.Pass], files: Mapping[str, Path]) -> Path:
    """Write which program files are run in which order; they are named relative to the folder of `path`."""
    runs = [
        {
            "program": files[step.program].relative_to(path.parent).as_posix(),
            "times": step.times,
            "batch": step.batch,
        }
        for step in passes
    ]
    sequence = path.with_suffix(SUFFIX)
    write_json(sequence, {"format": FORMAT, "version": FORMAT_VERSION, "runs": runs})
    return sequence


def _recipe(family: elastic.Family, subnet: Subnet) -> dict[str, Any] | None:
    """Return how a process of its own builds the network, if its family has a name there."""
    if not is_registered(family):
        return None
    return {"family": family.name, "options": dict(family.options), "subnet": subnet.to_dict()}


def is_registered(family: elastic.Family) -> bool:
    """Whether a process of its own can make the family by its name."""
    return family.name in families()
