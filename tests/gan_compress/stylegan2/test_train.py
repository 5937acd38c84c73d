"""Training generators on digits: every stage, resuming to the bit, starts, wrong input."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from gan_compress.stylegan2.training import GeneratorRecipe, train
from gan_compress.stylegan2.training.adversarial import AdversarialStep
from gan_compress.stylegan2.training.start import read_start, take_over
from gan_compress.stylegan2.training.state import (
    GeneratorState,
    build_state,
    kept_share,
    make_family,
    set_rates,
)
from nas.data.dataset import Data, open_data
from nas.data.images import real_images
from nas.elastic import Supernet
from nas.errors import NasError, UsageError
from nas.families import get_family
from nas.models import save_model
from nas.seeds import Draws
from nas.train.checkpoint import read_checkpoint

TINY = {
    "resolution": 16,
    "multiplier": 0.0078125,
    "style": 8,
    "cap": 16,
    "smallest": 4,
    "steps": 6,
    "batch_size": 8,
    "r1_every": 2,
    "flip": True,
    "mixing": 0.5,
    "cooldown": 0.5,
    "checkpoint_steps": 2,
    "sample_every": 3,
    "log_every": 2,
}
CPU = torch.device("cpu")


def tiny(stage: str = "multires", **changes) -> GeneratorRecipe:
    return GeneratorRecipe.from_dict({**TINY, "stage": stage, **changes})


def run(folder: Path, recipe: GeneratorRecipe, data: Data | None, **options) -> Path:
    return train(recipe, data, folder, threads=1, device="cpu", **options)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def digits() -> Data:
    return open_data("digits")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, digits: Data) -> Path:
    folder = tmp_path_factory.mktemp("generator") / "base"
    run(folder, tiny(), digits)
    return folder


def test_both_penalties_and_pairs(digits: Data, tmp_path: Path) -> None:
    run(tmp_path / "run", tiny(paired=True, r1=0.2, r2=0.1), digits)
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    row = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert float(row["r1"]) > 0 and float(row["r2"]) > 0
    run(tmp_path / "alone", tiny(r1=0.2, r2=0.1), digits)
    assert not same(weights(tmp_path / "run"), weights(tmp_path / "alone"))


def test_groups_of_a_batch_are_of_one_class(digits: Data) -> None:
    state = build_state(tiny(), make_family(tiny(), 10), CPU, compares_features=False)
    game = AdversarialStep(tiny(batch_size=16), state, real_images(digits, 16), contextlib.nullcontext)
    z_bi = game._latents(Draws(torch.Generator().manual_seed(0), 16))
    labels = z_bi[:, 8:].argmax(1).reshape(4, 4)
    assert (labels == labels[:, :1]).all() and len(labels.unique()) > 1


def test_a_run_leaves_a_model_samples_a_log_and_its_recipe(base: Path) -> None:
    config = json.loads((base / "model" / "supernet.json").read_text())
    assert config["family"] == "anycost" and config["mean"] == config["std"] == [0.5, 0.5, 0.5]
    assert config["classes"] == [str(digit) for digit in range(10)]
    assert config["info"]["stage"] == "multires" and config["info"]["data"] == "digits"
    assert sorted(path.name for path in (base / "samples").iterdir()) == ["0000003.png", "0000006.png"]
    lines = (base / "log.csv").read_text().splitlines()
    assert lines[0].startswith("step,images,generator,discriminator") and len(lines) == 4
    assert GeneratorRecipe.from_dict(json.loads((base / "recipe.json").read_text())) == tiny()
    averaged = read_checkpoint(base / "checkpoint.pt").state["ema"]
    assert same(weights(base), {name.removeprefix("network."): value for name, value in averaged.items()})


def started(base: Path, stage: str, **changes) -> GeneratorState:
    begin = read_start(base)
    recipe = begin.adopt(tiny(stage, **changes))
    state = build_state(recipe, make_family(recipe, 10), CPU, compares_features=True)
    take_over(state, begin, recipe)
    return state


def test_the_elastic_stage_starts_at_the_full_generator_and_its_scores(base: Path) -> None:
    state = started(base, "elastic")
    space, family = state.family.space, state.family
    z = family.example_input(space.largest(), 4)
    before = read_start(base)
    plain = build_state(tiny(), make_family(tiny(), 10), CPU, compares_features=False)
    take_over(plain, before, tiny())
    image = plain.supernet(z, space.largest())
    assert torch.allclose(state.supernet(z, space.largest()), image, atol=1e-5)
    assert not same(plain.supernet.state_dict(), state.supernet.state_dict())
    assert state.teacher is not None
    assert torch.equal(state.teacher(z), state.supernet(z, space.largest()))
    assert state.discriminator is not None and plain.discriminator is not None
    told = torch.rand(len(family.full))
    assert torch.equal(state.discriminator(image, z[:, 8:], told), plain.discriminator(image, z[:, 8:]))


def test_the_teacher_and_the_watcher_stay_and_everything_else_learns(base: Path, digits: Data) -> None:
    from nas.data.images import real_images

    recipe = read_start(base).adopt(tiny("elastic", lr=0.01))
    state = started(base, "elastic", lr=0.01)
    frozen = {name: getattr(state, name).state_dict() for name in ("teacher", "feature_discriminator")}
    frozen = {name: {key: value.clone() for key, value in part.items()} for name, part in frozen.items()}
    before = {key: value.clone() for key, value in state.supernet.state_dict().items()}
    game = AdversarialStep(
        recipe, state, real_images(digits, 16), lambda: torch.autocast("cpu", enabled=False)
    )
    told: set[str] = set()
    for _ in range(3):
        told |= game.step().keys()
        state.step += 1
    assert {"generator", "discriminator", "pixel", "feature", "r1"} <= told
    assert all(same(frozen[name], getattr(state, name).state_dict()) for name in frozen)
    still = [key for key, value in state.supernet.state_dict().items() if torch.equal(before[key], value)]
    assert all("noise_" in key or key.endswith("kernel") for key in still)
    assert state.discriminator is not None and state.discriminator.describe is not None
    assert state.discriminator.describe.weight.abs().max() > 0


@pytest.mark.parametrize("features", [None, lambda images: images.flatten(1)], ids=["default", "callable"])
def test_distillation_brings_small_subnets_nearer(features: Callable | None, base: Path) -> None:
    from gan_compress.stylegan2.training.distance import shrunk
    from gan_compress.stylegan2.training.subnets import narrowest

    state = started(base, "distil", lr=0.01, batch_size=16)
    recipe = read_start(base).adopt(tiny("distil", lr=0.01, batch_size=16))
    z = torch.cat(
        [torch.randn(64, 8, generator=torch.Generator().manual_seed(5)), torch.eye(10)[[3] * 64]], 1
    )

    def distances() -> list[float]:
        assert state.teacher is not None
        with torch.no_grad():
            wanted = state.teacher(z)
            subnets = [narrowest(state.family, size) for size in state.family.resolutions]
            images = [state.supernet(z, subnet) for subnet in subnets]
        return [float((x - shrunk(wanted, x.shape[-1])).square().mean()) for x in images]

    before = distances()
    game = AdversarialStep(recipe, state, None, lambda: torch.autocast("cpu", enabled=False), features)
    for _ in range(40):
        losses = game.step()
        state.step += 1
    assert losses.keys() == {"pixel", "feature"}
    assert all(after < 0.8 * first for first, after in zip(before, distances(), strict=True))


def test_distillation_needs_no_images_and_starts_from_a_model_folder(base: Path, tmp_path: Path) -> None:
    path = run(tmp_path / "run", tiny("distil"), None, start=base / "model")
    config = json.loads((path / "supernet.json").read_text())
    assert config["info"]["data"] == "digits" and len(config["classes"]) == 10
    assert "discriminator" not in read_checkpoint(tmp_path / "run" / "checkpoint.pt").state


def test_images_without_classes(digits: Data, tmp_path: Path) -> None:
    path = run(tmp_path / "run", tiny("base", conditional=False, steps=2), digits)
    config = json.loads((path / "supernet.json").read_text())
    assert config["classes"] == [] and config["options"]["classes"] == 0


def test_a_folder_of_pictures_without_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(12):
        pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.jpg")
    path = run(tmp_path / "run", tiny(steps=2), open_data(str(tmp_path / "photos")))
    config = json.loads((path / "supernet.json").read_text())
    assert config["classes"] == [] and config["info"]["data"] == "photos"


def test_a_later_run_can_go_on_with_both_networks(base: Path, digits: Data, tmp_path: Path) -> None:
    run(tmp_path / "run", tiny("base", steps=1, lr=1e-9, discriminator_lr=1e-9), digits, start=base)
    start, end = (read_checkpoint(folder / "checkpoint.pt").state for folder in (base, tmp_path / "run"))
    for name, of in (("ema", "supernet"), ("discriminator", "discriminator")):
        assert all(torch.allclose(value, end[of][key], atol=1e-6) for key, value in start[name].items())


def test_rates_and_averages_follow_the_step(base: Path) -> None:
    recipe = tiny(steps=100, cooldown=0.25, lr=0.1, mapping_lr=3.0)
    state = build_state(recipe, make_family(recipe, 10), CPU, compares_features=False)
    rates = {}
    for state.step in (0, 75, 80, 99):
        set_rates(state, recipe)
        rates[state.step] = round(
            max(group["lr"] / group["factor"] for group in state.optimizer.param_groups), 6
        )
    groups = {round(group["factor"], 6): group["params"] for group in state.optimizer.param_groups}
    mapping, embed, join = 8 * (8 * 8 + 8), 8 * 10 + 8, 8 * 16 + 8
    assert sum(p.numel() for p in groups[3.0]) == mapping + embed + join
    assert sum(len(group) for group in groups.values()) == len(list(state.supernet.parameters()))
    assert rates == {0: 0.1, 75: 0.1, 80: 0.08, 99: 0.004}
    assert kept_share(tiny(ema_half_life=0.008, ema_rampup=1.0), 100) == 0.5
    assert kept_share(recipe, 1) < 1e-3


def test_wrong_input_costs_one_sentence(base: Path, digits: Data, tmp_path: Path) -> None:
    folder, foreign = tmp_path / "run", tmp_path / "classifier"
    half = (0.5, 0.5, 0.5)
    save_model(
        foreign, Supernet(get_family("mbv3-small-image")), name="c", classes=["a"], mean=half, std=half
    )
    cases: list[tuple[str, Callable[[], object]]] = [
        ("trained to its end", lambda: run(base, tiny(), digits)),
        ("'elastic' needs a trained generator", lambda: run(folder, tiny("elastic"), digits)),
        ("no data was given", lambda: run(folder, tiny(), None)),
        ("no checkpoint", lambda: run(folder, tiny(), digits, resume=True)),
        ("style is 16, but .* has 8", lambda: run(folder, tiny("base", style=16), digits, start=base)),
        ("bf16", lambda: run(folder, tiny(precision="bf16"), digits)),
        ("mbv3-small-image, expected anycost", lambda: run(folder, tiny("distil"), None, start=foreign)),
        ("power of two", lambda: run(folder, tiny(resolution=24), digits)),
    ]
    for words, call in cases:
        with pytest.raises(UsageError, match=words):
            call()
    assert not folder.exists()


def test_a_broken_start_costs_one_sentence(base: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes((base / "checkpoint.pt").read_bytes()[:2000])
    with pytest.raises(NasError, match=r"checkpoint\.pt is no complete checkpoint"):
        run(tmp_path / "run", tiny("distil"), None, start=tmp_path)


def test_tensorboard_has_every_row(digits: Data, tmp_path: Path) -> None:
    event = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="the extra 'logs' is not installed"
    )
    run(tmp_path / "run", tiny(), digits, tensorboard=True)
    found = event.EventAccumulator(str(next((tmp_path / "run").rglob("events.*")).parent)).Reload()
    steps = {name: [each.step for each in found.Scalars(name)] for name in found.Tags()["scalars"]}
    assert steps["generator"] == steps["discriminator"] == [2, 4, 6]
