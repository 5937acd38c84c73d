"""Any model as a family: one of every kind of network is derived, proved, built and exported, beside other libraries.

    python -m tests.benchmarks.bench_any_model [--minutes 4] [--models PATTERN ...] [--peers ...] [--again]
    python -m tests.benchmarks.bench_any_model --zoo [--output FILE]

The list is the smallest model, by parameters, of every file of timm's models, builders of torchvision, and small
configurations of transformers and diffusers. A run goes on where the last stopped, for `--minutes`; the table says of each
model what was derived, and why what was refused is. The other libraries have environments of their own, which are made
once in the folder for temporary files.
"""

from __future__ import annotations

import argparse
import fnmatch
import logging
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from nas.derive import Derivation, derive
from nas.elastic import Axis, Supernet, call, named_inputs
from nas.errors import UsageError
from nas.latency.runtimes.onnx import to_onnx
from nas.space import Subnet
from tests.benchmarks._any_model_table import (
    COLUMNS,
    LIBRARIES,
    PEERS,
    Peer,
    Row,
    merged,
    of_peer,
    read,
    summary,
    write,
)
from tests.benchmarks._any_models import (
    DIFFUSERS,
    TORCHVISION,
    TRANSFORMERS,
    forgetful,
    in_own_process,
    in_short,
    make,
    reveal,
)
from tests.benchmarks._conditions import facts

RESULTS = Path(__file__).with_name("results") / "any_model.csv"
ZOO = Path(__file__).with_name("results") / "any_model_zoo.csv"
ZOO_PARAMS = 40e6
TOLERANCE = 1e-4
"""Of single precision, as a share of the largest output."""


def listed() -> list[str]:
    """Return the models: of every file of timm's the one with the fewest parameters."""
    return [
        *(f"timm:{name}" for name in _smallest_of_timm()),
        *(f"torchvision:{name}" for name in TORCHVISION),
        *(f"transformers:{name}" for name in TRANSFORMERS),
        *(f"diffusers:{name}" for name in DIFFUSERS),
    ]


def _timm_params() -> dict[str, int]:
    """Return the published parameters of models of timm."""
    from nas.zoo import open_zoo

    return {model.name.partition(".")[0]: model.params for model in open_zoo("timm").models}


def _smallest_of_timm() -> list[str]:
    import timm.models._registry as registry

    params, found = _timm_params(), []
    for file, names in sorted(registry._module_to_models.items()):
        own = {name for name in names if not name.startswith("test_")}
        known = {name: params[name] for name in own if name in params}
        known = known or {name: _count(name) for name in own}
        if file != "test":
            found.append(min(known, key=lambda name: (known[name], name)))
    return found


def _count(name: str) -> int:
    import timm

    with torch.device("meta"):
        return sum(p.numel() for p in timm.create_model(name).parameters())


def zoo() -> list[str]:
    """Return all entry points of timm of fewer than 40 million parameters, the smallest first."""
    import timm

    params = _timm_params()
    sizes = {name: params.get(name) or _count(name) for name in timm.list_models()}
    return [
        f"timm:{name}" for name in sorted(sizes, key=lambda name: sizes[name]) if sizes[name] < ZOO_PARAMS
    ]


def derived(model: str, elastic: Sequence[str] = ()) -> Row:
    """Return what is derived from a model, with more kinds of dimensions where asked for: one row of the table."""
    module, inputs = make(model)
    row: Row = {
        "input": " ".join("x".join(map(str, x.shape[1:])) or "1" for x in inputs),
        "params_millions": f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f}",
    }
    start = perf_counter()
    try:
        found = derive(module, inputs, elastic=elastic, name=model)
    except UsageError as error:
        return {**row, "result": "refused", "reason": str(error), "seconds": f"{perf_counter() - start:.1f}"}
    row["seconds"] = f"{perf_counter() - start:.1f}"
    report, space = found.report, found.family.space
    proof = report.proof
    assert proof is not None
    row |= {
        "result": report.built_from, "reason": report.note, "dimensions": len(report.dimensions),
        "proof_error": f"{proof.error:.0e}", "proof_moved": f"{proof.moved:.2f}",
        "refuted": "; ".join(f"{name}: {seen}" for name, seen in proof.refuted),
        "normalised_anew": len(report.renormalised),
        "smallest_params": f"{report.params[0] / report.params[1]:.3f}",
        "smallest_macs": f"{report.macs[0] / max(1, report.macs[1]):.3f}",
        "seconds_by_stage": " ".join(f"{stage} {s:.1f}" for stage, s in report.seconds.items()),
        **_elastic(found),
    }  # fmt: skip
    supernet = Supernet(found.family).eval()
    supernet.network.load_state_dict(found.state_dict)
    smallest = space.smallest()
    network = supernet.extract(smallest)
    row["wrong"] = "; ".join(_wrong(found, supernet, module, inputs))
    row["exported"] = _exported(network, found.family.example_input(smallest))
    return row


def _elastic(found: Derivation) -> Row:
    """Return the shares of parameters and of multiply-accumulates that an elastic axis has."""
    spec = found.family.specification
    own = dict(found.family.build(found.family.space.largest()).named_parameters())
    params = sum(p.numel() for p in own.values())
    elastic = sum(p.numel() for name, p in own.items() if name in spec.tensors)
    largest = dict(found.family.space.largest())
    macs = [
        (
            cost.constants[-1] * int(np.prod([axis.length({"batch": 1, **largest}) for axis in cost.axes])),
            cost.axes,
        )
        for cost in spec.costs
    ]
    moving = sum(count for count, axes in macs if any(set(axis.dimensions) - {"batch"} for axis in axes))
    return {
        "elastic_params": f"{elastic / params:.3f}",
        "elastic_macs": f"{moving / max(1, sum(count for count, _ in macs)):.3f}",
    }


@torch.no_grad()
def _wrong(
    found: Derivation, supernet: Supernet, module: nn.Module, inputs: Sequence[torch.Tensor]
) -> list[str]:
    """Return in what the family is not the model, or its subnet not the model whose left-out entries are zero."""
    seen, space = [], found.family.space
    names = [each.name for each in found.family.specification.inputs]
    given = inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=True))
    if (error := _difference(supernet(given, space.largest()), module(*inputs))) > TOLERANCE:
        seen.append(f"the largest subnet differs from the model by {error:.0e}")
    if not any(dimension.renormalised for dimension in found.report.dimensions):
        blocks = found.family.specification.blocks
        subnet = space.subnet({n: space[n].choices[-1 if n in blocks else 0] for n in space.names})
        if (error := _masked_difference(found, supernet, subnet, module, inputs)) > TOLERANCE:
            seen.append(f"sliced and masked differ by {error:.0e}")
    return seen


def _masked_difference(
    found: Derivation, supernet: Supernet, subnet: Subnet, module: nn.Module, inputs: Sequence[torch.Tensor]
) -> float:
    """Compare a subnet with the user's own module whose left-out entries are zero, with weights that hide nothing."""
    largest = found.family.space.largest()
    state = {name: t.float() if t.is_floating_point() else t for name, t in reveal(found.state_dict).items()}
    supernet.network.load_state_dict(state)
    axes = found.family.specification.tensors
    masked = {name: _masked(t, axes.get(name, ()), subnet, largest) for name, t in state.items()}
    own = {name.removeprefix("model."): t for name, t in masked.items() if name.startswith("model.")}
    expected = functional_call(forgetful(module), own, tuple(inputs))
    names = [each.name for each in found.family.specification.inputs]
    given = inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=True))
    difference = _difference(call(supernet.extract(subnet), given), expected)
    supernet.network.load_state_dict(found.state_dict)
    return difference


def _masked(tensor: torch.Tensor, axes: Sequence[Axis], subnet: Subnet, largest: Subnet) -> torch.Tensor:
    for place, axis in enumerate(axes):
        if axis.dimensions and tensor.is_floating_point():
            keep = torch.zeros(tensor.shape[place])
            for start, stop in axis.segments(subnet, largest):
                keep[start:stop] = 1
            tensor = tensor * keep.view([-1 if d == place else 1 for d in range(tensor.ndim)])
    return tensor


def _difference(given: torch.Tensor, expected: torch.Tensor) -> float:
    if given.shape != expected.shape:
        return float("inf")
    return float((given - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


@torch.no_grad()
def _exported(network: nn.Module, x: Any) -> str:
    """Return "equal" where ONNX Runtime computes from the exported file what the network does."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            to_onnx(network, x, path)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = 1, 3
            session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
            feed = {name: t.numpy() for name, t in named_inputs(x, session.get_inputs()[0].name).items()}
            (given,) = session.run(None, feed)
        except Exception as error:
            return in_short(error)
    error = _difference(torch.from_numpy(given), call(network, x))
    return "equal" if error <= TOLERANCE else f"differs by {error:.0e}"


def _warm() -> None:
    """Have all that a derivation imports be imported, so that it counts for no model."""
    derive(nn.Sequential(nn.Linear(6, 16), nn.Linear(16, 3)).eval(), (torch.randn(2, 6),))
    for name in (*LIBRARIES, "onnxruntime", "torch.onnx"):
        __import__(name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["*"], help="names or patterns, such as 'timm:*'")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no model is begun after these")
    parser.add_argument("--limit", type=float, default=120, help="seconds that a model may take")
    parser.add_argument("--peer-limit", type=float, default=60, help="seconds that another library may take")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[*PEERS])
    parser.add_argument("--ours", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--elastic", nargs="*", default=[], choices=["stream", "head_size"])
    parser.add_argument("--again", action="store_true", help="also what is in the table already")
    parser.add_argument("--zoo", action="store_true", help="all of timm under 40 million parameters")
    parser.add_argument("--merge", type=Path, nargs="*", default=[], help="tables whose cells are taken over")
    parser.add_argument("--list", action="store_true", help="print the models")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def main() -> None:
    """Go on with the table and print what it says as a whole."""
    given = _arguments()
    output = given.output or (ZOO if given.zoo else RESULTS)
    if given.merge:
        rows = merged([read(path) for path in (output, *given.merge)])
        write(output, [*rows.values()])
        print(summary([*rows.values()]))
        return
    models = zoo() if given.zoo else listed()
    chosen = [*dict.fromkeys(m for pattern in given.models for m in fnmatch.filter(models, pattern))]
    if given.list:
        print(*chosen, sep="\n")
        return
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    _warm()
    rows, end = read(output), perf_counter() + 60 * given.minutes
    own, peers = {**facts(), "timm": version("timm")}, {} if given.zoo else dict.fromkeys(given.peers)
    for model in chosen:
        row = rows.get(model, {})
        if given.ours and (given.again or not row.get("result")) and perf_counter() < end:
            found = in_own_process(partial(derived, elastic=given.elastic), model, given.limit)
            if "error" in found:
                found = {"result": "error", "reason": found["error"]}
            row = {**row, **dict.fromkeys(COLUMNS, ""), **found, **own, "model": model}
            print(
                f"{model}: {row['result']} {row['seconds']} s {row['wrong']} {row['exported']} {row['reason']}"
            )
        for peer in peers:
            column = f"{peer}_result".replace("-", "_")
            if (given.again or not row.get(column)) and perf_counter() < end:
                opened = peers[peer] = peers[peer] or Peer(peer, given.peer_limit)
                row = {**own, **row, "model": model, **of_peer(peer, opened(model))}
                print(f"{model}: {peer} {row[column]}")
        if row and row is not rows.get(model):
            rows[model] = row
            write(output, [rows[name] for name in sorted(rows, key=(models + sorted(rows)).index)])
    print(summary([rows[model] for model in chosen if model in rows]))


if __name__ == "__main__":
    main()
