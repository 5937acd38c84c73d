"""Do subnets keep the full generator's images, better than a small generator that was trained alone?

    python -m tests.benchmarks.bench_generator_consistency [--model anycost-digits] [--data digits] [--alone FOLDER]

The small generator has the layers of the subnet of a quarter of the width, the recipe, seed and latents of the full one;
it is trained into --alone unless it is there (half an hour). Results go to results/generator_consistency.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
from dataclasses import asdict
from pathlib import Path

import torch

from gan_compress.stylegan2.consistency import Consistency, Labelled, measure_consistency, uniform_subnets
from gan_compress.stylegan2.generate import latents, unit
from gan_compress.stylegan2.task import resolution_of
from gan_compress.stylegan2.training import load_recipe, train
from gan_compress.stylegan2.training.recipe import GeneratorRecipe
from nas.data.dataset import Data, open_data
from nas.data.images import real_images
from nas.files import write_atomic
from nas.metrics.features import feature_space, kid
from nas.models import Model, load_model

RESULTS = Path(__file__).with_name("results") / "generator_consistency.csv"
COUNT = 500


def small_recipe(recipe: GeneratorRecipe) -> GeneratorRecipe:
    """Return the recipe of a generator with a quarter of the width, and the same discriminator."""
    return recipe.replaced(
        name=f"{recipe.name}-alone",
        discriminator_multiplier=recipe.discriminator_multiplier or recipe.multiplier,
        multiplier=recipe.multiplier / 4,
    )


def alone(model: Model, recipe: GeneratorRecipe, data: Data, folder: Path) -> Model:
    """Return the small generator, trained where it is missing."""
    if not (folder / "model").is_dir():
        train(small_recipe(recipe), data, folder, resume=(folder / "checkpoint.pt").exists())
    small = load_model(folder / "model")
    quarter = model.supernet.count(uniform_subnets(model)["0.25@32"]).macs
    assert small.supernet.count(small.space.largest()).macs == quarter
    return small


@torch.no_grad()
def beside(model: Model, small: Model, labelled: Labelled) -> Consistency:
    """Return the figures of another generator's images beside those of the full generator of `model`."""
    from gan_compress.stylegan2.edit import label_scores

    space, images = feature_space(), []
    for each in (model, small):
        network = each.extract(each.space.largest())
        made = torch.cat([network(part) for part in latents(each, range(COUNT)).split(50)])
        images.append(2 * unit(each, made).clamp(0, 1) - 1)
    full, own = images
    real = torch.cat([space.vectors(part.float() / 127.5 - 1) for part in labelled.images.split(50)])
    score = label_scores(real, labelled.labels, labelled.names)
    vectors = [space.vectors(each) for each in images]
    told = [score(each).argmax(1) for each in vectors]
    distance = torch.cat(
        [space.distances(a, b) for a, b in zip(own.split(50), full.split(50), strict=True)]
    ).mean()
    return Consistency(
        "0.25@32 trained alone",
        small.supernet.count(small.space.largest()).macs,
        float(distance),
        float((own - full).square().mean().sqrt() / 2),
        float("nan"),
        float("nan"),
        float((told[0] == told[1]).float().mean()),
        1000 * kid(vectors[1], real),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="anycost-digits")
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--alone", type=Path, default=Path("runs/generator-alone"))
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    model, data = load_model(given.model), open_data(given.data)
    real = real_images(data, resolution_of(model), limit=2000)
    labelled = Labelled(real.pixels, real.labels, tuple(data.classes))
    rows = measure_consistency(model, uniform_subnets(model), labelled, count=COUNT)
    small = alone(model, load_recipe(given.recipe), data, given.alone)
    rows.append(beside(model, small, labelled))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(rows[0])), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in asdict(row).items()})
    write_atomic(given.output, text.getvalue())
    subnet = next(row for row in rows if row.name == "0.25@32")
    print(f"distance of a quarter: as subnet {subnet.distance:.4f}, trained alone {rows[-1].distance:.4f}")


if __name__ == "__main__":
    main()
