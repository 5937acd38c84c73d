"""The generators that come with the package: they load, export, keep their promises and say nothing of a machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from gan_compress.pix2pix.pairs import blur
from gan_compress.stylegan2.edit import Directions, label_scores
from gan_compress.stylegan2.generate import latents, load_generator, ratio_subnet, styles
from gan_compress.stylegan2.task import resolution_of
from nas.data.dataset import open_data
from nas.data.images import real_images
from nas.metrics.features import feature_space
from nas.models import Model, available_models, load_model
from nas.search.testbed.scorer import predictor_errors

MODELS = Path(__file__).parents[3] / "gan_compress" / "models"
SHIPPED = sorted(path.name for path in MODELS.iterdir())
GENERATORS = [name for name in SHIPPED if name.startswith("anycost")]


@pytest.fixture(scope="module", params=SHIPPED)
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.param)


def test_they_are_found_by_name() -> None:
    found = {name: kind for name, _, kind in available_models()}
    assert {"anycost-cifar10", "anycost-digits", "deblur-cifar10", "mbv3-cifar10"} <= set(found)
    assert all(found[name] == "shipped" for name in SHIPPED)


def test_card_and_description_are_clean(model: Model) -> None:
    assert model.config["name"] == model.path.name
    card = (model.path / "README.md").read_text()
    for text in (card, json.dumps(model.config)):
        assert not re.search(r"""(^|[\s"'`(=])/\w""", text), "it names a path of a machine"
    assert all(word in card for word in ("**Data**", "**Training**", "**Licence**"))
    assert sum(file.stat().st_size for file in model.path.iterdir()) < 10e6


def test_its_table_predicts_every_quality_it_has(model: Model) -> None:
    table = model.table()
    assert table is not None
    assert len(table.rows("held-out")) >= 20
    for name in table.values:
        assert predictor_errors(model, model.task.quality(name))["kendall"] > 0.7


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_onnx_is_the_network_at_any_batch(model: Model, which: str, tmp_path: Path) -> None:
    import onnxruntime

    from nas.latency.runtimes import get_runtime

    subnet = getattr(model.space, which)()
    network = model.extract(subnet)
    example = model.family.example_input(subnet)
    path = get_runtime("onnxruntime").lower(network, example, tmp_path / "model.onnx", None)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        x = model.family.example_input(subnet, batch)
        with torch.no_grad():
            wanted = network(x).numpy()
        (made,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        assert np.abs(made - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("name", GENERATORS)
def test_previews_look_like_the_final_image(name: str) -> None:
    model = load_model(name)
    size = model.family.options["resolution"]
    inputs = latents(model, range(50))
    full = load_generator(model, model.space.largest())(inputs).clamp(-1, 1)
    small = load_generator(model, ratio_subnet(model, f"0.25@{size}"))(inputs).clamp(-1, 1)
    own = (full - small).square().mean()
    other = (
        (full - full.roll(model.family.options["classes"], 0)).square().mean()
    )  # the next image of the class
    assert own < other / 2


@pytest.mark.parametrize("name", GENERATORS)
def test_directions_move_images_towards_their_label(name: str, request: pytest.FixtureRequest) -> None:
    model = load_model(name)
    found = Directions.load(model)
    assert set(found.labels) == set(model.classes)
    data = "digits"
    if name != "anycost-digits":
        data = str(request.getfixturevalue("shared") / "data" / name.removeprefix("anycost-"))
    real, space = real_images(open_data(data), resolution_of(model), limit=2000), feature_space()
    score = label_scores(space.vectors(real.pixels.float() / 127.5 - 1), real.labels, model.classes)
    network = load_generator(model, model.space.largest())
    style = styles(network, latents(model, range(50)))
    for index, label in enumerate(found.labels):
        moved = (network.synthesize(found.apply(style, label, amount)) for amount in (-1.0, 0.0, 1.0))
        less, as_it_is, more = (float(score(space.vectors(images))[:, index].mean()) for images in moved)
        assert less < as_it_is < more


def photographs(size: int = 32) -> torch.Tensor:
    """Return tiles (n, 3, size, size), -1 to 1, of scikit-learn's two photographs at a quarter of their size."""
    small = [Image.fromarray(picture).resize((160, 96)) for picture in load_sample_images().images]
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in small])).permute(0, 3, 1, 2)
    tiles = pixels.unfold(2, size, size).unfold(3, size, size).permute(0, 2, 3, 1, 4, 5)
    return tiles.reshape(-1, 3, size, size).float() / 127.5 - 1


@torch.no_grad()
def test_the_compressed_generator_sharpens_pictures_it_never_saw() -> None:
    model, truth = load_model("deblur-cifar10"), photographs()
    given = blur(truth)
    found = {name: model.extract(getattr(model.space, name)())(given) for name in ("smallest", "largest")}
    before, small, large = (float((x.clamp(-1, 1) - truth).square().mean()) for x in (given, *found.values()))
    assert large < small < 0.8 * before
