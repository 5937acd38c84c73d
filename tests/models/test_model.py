"""A model folder: written whole or not at all, read back exactly, refused in one sentence when it is damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

from nas.elastic import Supernet, calibrate
from nas.errors import NasError, UsageError
from nas.families import get_family
from nas.files import sha256
from nas.models import (
    Calibration,
    MeasuredTable,
    available_models,
    bind_table,
    find_model,
    load_model,
    read_model_config,
    save_calibration,
    save_model,
)
from nas.train.calibration.distil import with_statistics
from tests.conformance.families import randomise

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(get_family("mbv3-small-image", classes=3, width=0.5))
    randomise(supernet)
    return supernet.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(
        0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def _table(supernet: Supernet) -> MeasuredTable:
    codes = supernet.space.sample_codes(np.random.default_rng(0), 2)
    counts = supernet.counts(codes)
    return MeasuredTable(
        supernet.space,
        codes,
        {"top1": np.array([50.0, 61.5])},
        ("fit", "held-out"),
        counts["macs"],
        counts["params"],
    )


def _save(path: Path, supernet: Supernet, **extras: Any) -> Path:
    classes = ["cat", "dog", "ß"]
    save_model(path, supernet, name="small", classes=classes, mean=MEAN, std=STD, **extras)
    return path


@pytest.fixture(scope="module")
def saved(supernet: Supernet, images: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small"
    return _save(
        path,
        supernet,
        calibration=Calibration(images),
        table=_table(supernet),
        info={"data": "digits", "epochs": 3},
    )


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    """A copy for a test to damage."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@torch.no_grad()
def test_a_saved_model_loads_as_it_was(saved: Path, supernet: Supernet, images: torch.Tensor) -> None:
    model = load_model(saved)
    assert (model.name, model.path, model.classes) == ("small", saved, ["cat", "dog", "ß"])
    assert (model.mean, model.std) == (MEAN, STD)
    assert model.info == {"data": "digits", "epochs": 3}
    assert model.space.digest == supernet.space.digest
    assert model.family.options == supernet.family.options
    assert not model.supernet.training
    own = supernet.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.supernet.state_dict().items())
    given = model.calibration_images()
    assert given is not None
    assert torch.equal(given, images)
    table = model.table()
    assert table is not None
    assert table.to_csv() == _table(supernet).to_csv()


def test_a_folder_holds_what_it_says_and_no_pickle(saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert names == {"supernet.json", "model.safetensors", "calibration.npz", "subnets.csv"}
    config = json.loads((saved / "supernet.json").read_text(encoding="utf-8"))
    assert (config["format"], config["version"], config["family"]) == (
        "anyfit-supernet",
        1,
        "mbv3-small-image",
    )
    assert config["files"] == {"model.safetensors": sha256(saved / "model.safetensors")}
    assert config == read_model_config(saved)


def test_calibration_table_and_info_are_optional(supernet: Supernet, tmp_path: Path) -> None:
    model = load_model(_save(tmp_path / "bare", supernet))
    assert model.calibration_images() is None
    assert model.table() is None
    assert model.info == {}


@torch.no_grad()
def test_without_calibration_images_the_statistics_are_slices(supernet: Supernet, tmp_path: Path) -> None:
    model = load_model(_save(tmp_path / "bare", supernet))
    subnet = supernet.space.smallest()
    given, expected = model.extract(subnet).state_dict(), supernet.extract(subnet).state_dict()
    assert all(torch.equal(given[name], expected[name]) for name in expected)


@torch.no_grad()
def test_an_extracted_network_is_calibrated_on_the_shipped_or_given_images(
    saved: Path, images: torch.Tensor
) -> None:
    model = load_model(saved)
    subnet = model.space.smallest()
    for given in (None, images.flip(0)[:4]):
        module = model.extract(subnet, given)
        assert not module.training
        expected = model.supernet.extract(subnet)
        used = images if given is None else given
        calibrate(expected, [model.family.prepare(model.normalize(used), subnet)])
        own = expected.state_dict()
        for name, tensor in module.state_dict().items():
            np.testing.assert_allclose(tensor, own[name], rtol=1e-4, atol=1e-5, err_msg=name)
    statistics = [n for n, _ in module.named_buffers() if n.endswith("running_mean")]
    sliced = model.supernet.extract(subnet).state_dict()
    assert statistics
    assert not any(torch.equal(module.get_buffer(name), sliced[name]) for name in statistics)


def test_images_are_normalised_by_channel(saved: Path, images: torch.Tensor) -> None:
    model = load_model(saved)
    expected = (images.numpy() / 255.0 - np.array(MEAN).reshape(1, 3, 1, 1)) / np.array(STD).reshape(
        1, 3, 1, 1
    )
    normalised = model.normalize(images)
    assert normalised.dtype == torch.float32
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    assert np.abs(normalised.numpy() - expected).max() < 1e-5
    assert torch.allclose(model.normalize(images.float() / 255), normalised, atol=1e-6)


def test_loading_draws_no_random_numbers(saved: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_model(saved)
    assert torch.equal(torch.rand(4), expected)


def test_saving_refuses_an_existing_folder(saved: Path, supernet: Supernet) -> None:
    before = sha256(saved / "supernet.json")
    with pytest.raises(UsageError, match="already exists"):
        _save(saved, supernet)
    assert sha256(saved / "supernet.json") == before


def test_a_save_that_fails_leaves_nothing(supernet: Supernet, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        _save(tmp_path / "model", supernet, info={"unwritable": object()})
    assert list(tmp_path.iterdir()) == []


def test_calibration_images_can_be_replaced(copied: Path, images: torch.Tensor) -> None:
    save_calibration(copied, Calibration(images[:2]))
    given = load_model(copied).calibration_images()
    assert given is not None
    assert torch.equal(given, images[:2])


@torch.no_grad()
def test_the_largest_network_gets_the_known_statistics(copied: Path, images: torch.Tensor) -> None:
    model = load_model(copied)
    save_calibration(copied, with_statistics(model.supernet, images, images // 2, model.normalize))
    model = load_model(copied)
    assert model.calibration is not None and torch.equal(model.calibration.images, images)
    largest = dict(model.extract(model.space.largest()).named_buffers())
    for name, value in model.calibration.real.items():
        np.testing.assert_allclose(largest[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    # A subnet's are nearer to what the real images cause in it than without the correction.
    smallest = model.space.smallest()
    real = dict(model.extract(smallest, images // 2).named_buffers())
    plain = dict(model.extract(smallest, images).named_buffers())
    corrected = dict(model.extract(smallest).named_buffers())
    means = [name for name in real if name.endswith("running_mean")]
    distance = {
        kind: sum(float((found[name] - real[name]).square().sum()) for name in means)
        for kind, found in (("plain", plain), ("corrected", corrected))
    }
    assert distance["corrected"] < 0.5 * distance["plain"]


def test_statistics_of_another_network_are_refused(copied: Path, images: torch.Tensor) -> None:
    statistics = {"somewhere.running_mean": torch.zeros(3)}
    save_calibration(copied, Calibration(images, statistics, statistics))
    model = load_model(copied)
    with pytest.raises(NasError, match="is of another network"):
        model.extract(model.space.smallest())
    save_calibration(copied, Calibration(images, statistics))
    with pytest.raises(NasError, match="is damaged .*different layers"):
        load_model(copied).extract(model.space.smallest())


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANYFIT_CACHE", str(tmp_path))
    return Path(shutil.copytree(saved, tmp_path / "models" / "small"))


def test_a_table_belongs_to_the_weights_and_images_it_was_measured_with(
    copied: Path, images: torch.Tensor
) -> None:
    assert load_model(copied).table() is not None
    save_calibration(copied, Calibration(images.flip(0) // 2))
    with pytest.raises(NasError, match=r"measured with another calibration\.npz"):
        load_model(copied).table()
    with pytest.raises(NasError, match="remove it to measure anew"):
        bind_table(copied)
    table = (copied / "subnets.csv").read_bytes()
    (copied / "subnets.csv").unlink()
    bind_table(copied)
    (copied / "subnets.csv").write_bytes(table)
    assert load_model(copied).table() is not None
    bind_table(copied)  # what was begun may go on


def test_a_table_measured_with_real_images_outlives_new_synthetic_ones(
    copied: Path, images: torch.Tensor
) -> None:
    table = (copied / "subnets.csv").read_bytes()
    (copied / "subnets.csv").unlink()
    bind_table(copied, own_calibration=False)
    (copied / "subnets.csv").write_bytes(table)
    save_calibration(copied, Calibration(images.flip(0) // 2))
    assert load_model(copied).table() is not None


def test_a_cached_model_is_found_by_name(cached: Path) -> None:
    assert ("small", cached, "cached") in available_models()
    assert find_model("small") == cached
    assert load_model("small").path == cached


def test_an_unknown_name_suggests_the_nearest(cached: Path) -> None:
    with pytest.raises(UsageError, match="there is no model 'smal'; did you mean 'small'"):
        find_model("smal")
    with pytest.raises(UsageError, match=r"there is no model 'zzzzzz'; the models are .*small"):
        find_model("zzzzzz")


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no model folder: it has no supernet\.json"):
        find_model(tmp_path)


def test_unfinished_folders_are_no_models(cached: Path) -> None:
    (cached.parent / "unfinished").mkdir()
    assert "unfinished" not in [name for name, _, _ in available_models()]


# --- damage -----------------------------------------------------------------------------------------------------------


def _rewrite(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "supernet.json").read_text(encoding="utf-8"))
    (folder / "supernet.json").write_text(json.dumps(config | changes), encoding="utf-8")


def _truncate(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-100])

    return damage


def _flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def _pickle(folder: Path) -> None:
    torch.save(load((folder / "model.safetensors").read_bytes()), folder / "model.safetensors")
    _rewrite(folder, files={})


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Change the weights and sign them, as another program would write them."""

    def damage(folder: Path) -> None:
        state = load((folder / "model.safetensors").read_bytes())
        change(state)
        save_file(state, folder / "model.safetensors")
        _rewrite(folder, files={"model.safetensors": sha256(folder / "model.safetensors")})

    return damage


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_truncate("model.safetensors"), r"model\.safetensors is truncated or was changed"),
        (_flip_a_bit, r"model\.safetensors is truncated or was changed"),
        (_pickle, r"model\.safetensors does not hold this supernet's weights"),
        (
            _weights(lambda state: state.pop("classifier.bias")),
            r"model\.safetensors does not hold this supernet's weights",
        ),
        (_weights(lambda state: state.update(x=torch.ones(1))), "does not hold this supernet's weights"),
        (
            _weights(lambda state: state.update({"classifier.bias": torch.ones(4)})),
            "does not hold this supernet's weights",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), r"model\.safetensors does not exist"),
        (_truncate("supernet.json"), r"supernet\.json is not complete JSON"),
        (lambda folder: _rewrite(folder, format="else"), r"supernet\.json is no model description"),
        (lambda folder: _rewrite(folder, version=2), "has format version 2, but 1 is expected"),
        (lambda folder: _rewrite(folder, space_digest="0"), "was made for version 0 of the search space"),
        (lambda folder: _rewrite(folder, family="mbv3-smal"), "there is no model family 'mbv3-smal'"),
        (lambda folder: _rewrite(folder, options={"colour": 1}), "cannot be made with options {'colour': 1}"),
    ],
)
def test_a_damaged_model_costs_one_sentence(
    copied: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(copied)
    with pytest.raises(NasError, match=sentence) as error:
        load_model(copied)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["name", "family", "options", "classes", "mean", "std", "space_digest"])
def test_an_incomplete_description_is_refused(copied: Path, key: str) -> None:
    config = json.loads((copied / "supernet.json").read_text(encoding="utf-8"))
    del config[key]
    (copied / "supernet.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(NasError, match=r'supernet\.json is no model description of format "anyfit-supernet"'):
        load_model(copied)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", None])
def test_damaged_calibration_images_cost_one_sentence(copied: Path, content: bytes | None) -> None:
    path = copied / "calibration.npz"
    path.write_bytes(path.read_bytes()[:-50] if content is None else content)
    with pytest.raises(NasError, match=r"calibration\.npz is damaged"):
        load_model(copied).calibration_images()
