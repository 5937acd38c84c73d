"""What a generator's training is made of: recipes, images, subnets, importance, distances, mixing, samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gan_compress.stylegan2.discriminator import Discriminator
from gan_compress.stylegan2.family import StyleGAN2, anycost
from gan_compress.stylegan2.training.adversarial import mixed
from gan_compress.stylegan2.training.distance import feature_distance, shrunk
from gan_compress.stylegan2.training.importance import style_importance
from gan_compress.stylegan2.training.recipe import FAMILY, GeneratorRecipe, load_recipe, recipe_names
from gan_compress.stylegan2.training.samples import sample_grid
from gan_compress.stylegan2.training.state import make_family
from gan_compress.stylegan2.training.subnets import (
    described,
    drawn_resolution,
    narrowest,
    random_subnet,
    sandwich,
    widest,
)
from nas.data.dataset import open_data
from nas.data.images import RealImages, real_images
from nas.elastic import Supernet
from nas.errors import UsageError
from nas.pictures import write_png
from nas.seeds import Draws


@pytest.fixture(scope="module")
def family() -> StyleGAN2:
    return anycost(16, 0.0078125, style=8, cap=16, classes=3, smallest=4)


@pytest.fixture
def supernet(family: StyleGAN2) -> Supernet:
    torch.manual_seed(0)
    return Supernet(family)


def test_every_recipe_makes_its_networks_and_every_elastic_one_has_its_start() -> None:
    assert {"digits", "digits-elastic", "cifar10-gpu", "cifar10-cpu-elastic"} <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        if recipe.has_teacher:
            assert load_recipe(name.rpartition("-")[0]).name == recipe.name
            assert all(getattr(recipe, key) == getattr(GeneratorRecipe(), key) for key in FAMILY)
        else:
            make_family(recipe, 10)
    family = make_family(load_recipe("cifar10-gpu"), 10)
    assert family.full == (256, 256, 256, 256, 128, 128, 64, 64)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = 0", "steps is 0, expected at least 1"),
        ("lr = 0.0", "lr is 0.0, expected more than 0"),
        ("mixing = 1.5", "mixing is 1.5, expected a share"),
        ("stage = 'shrink'", "stage is 'shrink', expected one of base, multires, elastic, distil"),
        ("speed = 3", "there is no setting 'speed'; known are name"),
        ("batch_size = 'many'", "batch_size is 'many', expected a value of type int"),
        ("steps = ", "no complete TOML file"),
    ],
)
def test_wrong_recipes_cost_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_recipe(str(path))


def test_unknown_recipe_names_the_known() -> None:
    with pytest.raises(UsageError, match="there is no recipe 'faces'.*digits-elastic"):
        load_recipe("faces")


def test_every_epoch_shows_every_image_once() -> None:
    real = real_images(open_data("digits"), 16)
    assert real.pixels.shape[1:] == (3, 16, 16) and real.pixels.dtype == torch.uint8
    count, size = len(real.labels), 100
    seen = torch.cat([real.indices(0, step, size) for step in range(2 * count // size + 1)])
    assert sorted(seen[:count].tolist()) == sorted(seen[count : 2 * count].tolist()) == list(range(count))
    assert seen[:count].tolist() != seen[count : 2 * count].tolist()
    draws = Draws(torch.Generator().manual_seed(0), 8)
    images = real.batch(0, 0, draws, flip=False)
    assert images.min() >= -1 and images.max() <= 1
    assert torch.equal(images, real.pixels[real.indices(0, 0, 8)].float() / 127.5 - 1)
    mirrored = real.batch(0, 0, draws, flip=True)
    flips = [torch.equal(a, b.flip(2)) for a, b in zip(mirrored, images, strict=True)]
    assert any(flips) and not all(flips)


def test_images_of_classes_are_of_those_classes() -> None:
    real = real_images(open_data("digits"), 16)
    labels = torch.tensor([3, 3, 9, 0]).repeat(100)
    images = real.of_classes(labels, Draws(torch.Generator().manual_seed(0), 400), flip=False)
    known = {
        image.numpy().tobytes(): int(label) for image, label in zip(real.pixels, real.labels, strict=True)
    }
    found = [((image + 1) * 127.5).round().to(torch.uint8).numpy().tobytes() for image in images]
    assert [known[each] for each in found] == labels.tolist()
    assert len(set(found)) > 150
    empty = RealImages(real.pixels[real.labels != 4], real.labels[real.labels != 4])
    draws = Draws(torch.Generator().manual_seed(0), 20)
    nines = empty.of_classes(torch.tensor([9] * 20), draws, flip=True)
    assert nines.shape == (20, 3, 16, 16)


def test_shrinking_takes_means() -> None:
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    assert torch.equal(shrunk(x, 2)[0, 0], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))
    assert shrunk(x, 4) is x


def test_subnets_of_a_step(family: StyleGAN2) -> None:
    assert family.resolutions == (4, 8, 16)
    assert family.channels(widest(family, 8)) == family.full[:4]
    assert family.channels(narrowest(family, 16)) == family.channels(family.uniform(0.25, 16))
    drawn = sandwich(family, np.random.default_rng(3), 2, 0.5)
    assert drawn == sandwich(family, np.random.default_rng(3), 2, 0.5)
    assert len(drawn) == 4 and drawn[0] == family.space.largest()
    uniform = {random_subnet(family, np.random.default_rng(seed), 1.0) for seed in range(60)}
    assert uniform <= {family.uniform(r, s) for r in (0.25, 0.5, 0.75, 1.0) for s in (4, 8, 16)}
    assert len(uniform) > 6
    fixed = anycost(16, 0.0078125, style=8, cap=16, smallest=16)
    assert fixed.resolutions == (16,)
    assert widest(fixed, 16) == fixed.space.largest()
    odd = anycost(16, 0.0078125, style=8, cap=13)
    for seed in range(30):
        odd.space.validate(random_subnet(odd, np.random.default_rng(seed), 1.0))


def test_resolutions_open_one_after_another(family: StyleGAN2) -> None:
    def drawn(growing: float, step: int) -> list[int]:
        recipe = GeneratorRecipe(stage="multires", steps=90, growing=growing)
        rngs = (np.random.default_rng(seed) for seed in range(200))
        return [drawn_resolution(recipe, family, step, rng) for rng in rngs]

    assert set(drawn(1.0, 0)) == {4}
    assert set(drawn(1.0, 59)) == {4, 8}
    assert set(drawn(1.0, 89)) == set(drawn(0.0, 0)) == {4, 8, 16}
    assert 110 < drawn(0.0, 1).count(16) < 155


def test_a_description_has_the_shares_of_every_layer(family: StyleGAN2) -> None:
    assert described(family, family.space.largest()).tolist() == [1.0] * len(family.full)
    told = described(family, narrowest(family, 8))
    assert told[4:].tolist() == [0.0] * (len(family.full) - 4)
    expected = [a / b for a, b in zip(family.channels(narrowest(family, 8)), family.full, strict=False)]
    assert torch.allclose(told[:4], torch.tensor(expected))


def test_importance_sorts_dead_channels_last_and_keeps_the_image(
    family: StyleGAN2, supernet: Supernet
) -> None:
    largest = family.space.largest()
    z = family.example_input(largest, 3)
    with torch.no_grad():
        supernet.network.get_submodule("convs.2.conv").weight[:, :, 0] = 0  # pyright: ignore
        supernet.network.get_submodule("to_rgbs.0.conv").weight[:, :, 0] = 0  # pyright: ignore
    before = supernet(z, largest)
    scores = style_importance(supernet)
    assert set(scores) == {name for name in family.space.names if name.startswith("layer")}
    assert scores["layer3.channels"][0] == 0
    supernet.sort_channels(scores)
    assert torch.allclose(supernet(z, largest), before, atol=1e-5)
    assert style_importance(supernet)["layer3.channels"][-1] == 0
    again = style_importance(supernet)
    assert all((part.diff() <= 1e-9).all() for part in again.values())


def test_importance_weighs_styles(supernet: Supernet) -> None:
    before = style_importance(supernet)["layer3.channels"]
    with torch.no_grad():
        for name in ("convs.2.conv", "to_rgbs.0.conv"):
            modulation = supernet.network.get_submodule(f"{name}.modulation")
            modulation.weight[5] = 0  # pyright: ignore
            modulation.bias[5] = 0  # pyright: ignore
    assert before[5] > 0
    assert style_importance(supernet)["layer3.channels"][5] == 0


@pytest.mark.parametrize("by", ["discriminator", "pixels", "callable"])
def test_distances_are_zero_at_the_goal_and_move_only_the_student(by: str) -> None:
    torch.manual_seed(0)
    sizes: list[int] = []

    def features(x: torch.Tensor) -> torch.Tensor:
        sizes.append(x.shape[-1])
        return x.flatten(1)

    chosen = {"discriminator": Discriminator(16, {4: 8, 8: 8, 16: 8}), "pixels": None, "callable": features}[
        by
    ]
    for size in (4, 8, 16):
        images = torch.randn(2, 3, size, size, requires_grad=True)
        wanted = torch.randn(2, 3, size, size, requires_grad=True)
        assert feature_distance(chosen, images, images.detach(), 16) < 1e-9
        distance = feature_distance(chosen, images, wanted.detach(), 16)
        distance.backward()
        assert distance > 0
        assert images.grad is not None and images.grad.abs().sum() > 0
    assert set(sizes) <= {16}


def test_mixing_gives_each_layer_its_style(family: StyleGAN2, supernet: Supernet) -> None:
    subnet = narrowest(family, 8)
    first, second = family.example_input(subnet, 4), family.example_input(subnet, 4).flip(0)
    noise = {f"noises.noise_{index}": torch.randn(4, 1, size, size) for index, size in enumerate((4, 8, 8))}
    network = supernet.extract(subnet)
    styles = [network.map(z) for z in (first, second)]  # pyright: ignore
    for border in (1, 2, 3):
        given = torch.stack([styles[int(layer >= border)] for layer in range(4)], 1)
        wanted = network.synthesize(given, list(noise.values()))  # pyright: ignore
        assert torch.allclose(mixed(supernet, subnet, first, second, border, noise), wanted, atol=1e-6)
    plain = supernet(first, subnet, overrides=noise)
    assert torch.allclose(mixed(supernet, subnet, first, second, 4, noise), plain, atol=1e-6)


def test_samples_have_a_row_a_class_and_a_grid_a_subnet(
    family: StyleGAN2, supernet: Supernet, tmp_path: Path
) -> None:
    from PIL import Image

    picture = sample_grid(supernet, [family.space.largest(), narrowest(family, 8)], columns=5)
    assert picture.shape == (3 * 16, 2 * 5 * 16 + 8, 3) and picture.dtype == torch.uint8
    assert torch.equal(
        picture, sample_grid(supernet, [family.space.largest(), narrowest(family, 8)], columns=5)
    )
    assert (picture[:, 80:88] == 255).all()
    write_png(tmp_path / "a" / "grid.png", picture.numpy())
    with Image.open(tmp_path / "a" / "grid.png") as image:
        assert np.array_equal(np.asarray(image), picture.numpy())
    plain = Supernet(anycost(16, 0.0078125, style=8, cap=16))
    assert sample_grid(plain, [plain.space.largest()]).shape == (8 * 16, 8 * 16, 3)
