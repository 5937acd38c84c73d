"""What do subnets keep that were trained beside the original, and what do plain slices of it keep?

    python -m tests.benchmarks.bench_diffusion_elastic [--base FOLDER] [--images 500]

Prompt match of the shipped pipeline with its UNet cut to four sizes, every inner width alike, 25 steps, the pipeline's own
guidance. `--base` is a pipeline as it was before `nas diffusion distill`: its half is cut as its channels stand, and with
channels sorted by importance. Results go to results/diffusion_elastic.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffusion.compress.examples import EASY, own_examples, prediction_error
from diffusion.evaluation.quality import Match, evaluate_match
from diffusion.pipeline.elastic import open_pipeline
from diffusion.pipeline.files.folder import find_pipeline, load_pipeline, read_info
from diffusion.pipeline.sampling.defaults import own_settings
from diffusion.training.distil.state import unet_family, with_subnet
from nas.compress import Taylor
from nas.elastic import Supernet
from nas.files import write_atomic

RESULTS = Path(__file__).with_name("results") / "diffusion_elastic.csv"
SIZES = {"largest": 1.0, "three quarters": 0.75, "half": 0.5, "narrowest": 0.0}


def supernet_of(name: str) -> tuple[Any, Supernet]:
    """Return a pipeline and its UNet as a supernet."""
    pipeline = load_pipeline(name)
    options = (read_info(find_pipeline(name)).get("space") or {}).get("unet") or {}
    supernet = Supernet(unet_family(pipeline, options))
    supernet.network.load_state_dict(pipeline.unet.state_dict())
    return pipeline, supernet.eval()


def judged(name: str, pipeline: Any, supernet: Supernet, share: float, images: int) -> tuple[Any, Match]:
    """Return the counts and the prompt match of a pipeline whose UNet is cut to `share` of all widths."""
    subnet = supernet.family.uniform(share)
    made = with_subnet(pipeline, supernet, subnet)
    return supernet.count(subnet), evaluate_match(made, images=images, settings=own_settings(name))


def sorted_base(name: str) -> tuple[Any, Supernet]:
    """Return a pipeline and its UNet as a supernet whose channels are sorted by importance on its own samples."""
    opened = open_pipeline(name)
    examples = own_examples(opened, 8, seed=0, steps=25)
    opened.supernet.sort_channels(Taylor(prediction_error, threshold=EASY)(opened.supernet, examples))
    return opened.pipeline, opened.supernet.eval()


def rows(model: str, base: str | None, images: int) -> Iterator[dict[str, Any]]:
    """Yield one row for each network judged."""
    cases = [("elastic", size, share, model, supernet_of) for size, share in SIZES.items()]
    if base is not None:
        cases += [
            ("original", "largest", 1.0, base, supernet_of),
            ("sliced", "half", 0.5, base, supernet_of),
            ("sorted and sliced", "half", 0.5, base, sorted_base),
        ]
    opened: dict[tuple[str, Any], tuple[Any, Supernet]] = {}
    for kind, size, share, name, open_ in cases:
        if (name, open_) not in opened:
            opened[name, open_] = open_(name)
        counts, match = judged(name, *opened[name, open_], share, images)
        yield {
            "training": kind,
            "size": size,
            "macs": counts.macs,
            "params": counts.params,
            "match": round(match.percent, 1),
            "low": round(match.low, 1),
            "high": round(match.high, 1),
            "images": match.images,
            "classifier": match.classifier,
        }


def main() -> None:
    """Judge, print and write the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--model", default="tiny-sd-cifar10")
    parser.add_argument("--base", default=None)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    found = []
    for row in rows(chosen.model, chosen.base, chosen.images):
        print(row, flush=True)
        found.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*found[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    write_atomic(chosen.results, text.getvalue())


if __name__ == "__main__":
    main()
