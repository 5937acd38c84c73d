"""What people do with a generator, from Python: results without files, as tables and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gan_compress.stylegan2 import interpolate_images, open_generator, preview_image, sample_images
from nas.errors import UsageError
from nas.models import Model


def test_without_an_output_nothing_is_written(
    tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = sample_images(tiny, "0.5@8", seed=3, count=2, label="cat")
    assert made.pixels.shape == (2, 8, 8, 3) and made.pixels.dtype == np.uint8
    assert made.output is None and not [*tmp_path.iterdir()]
    assert made.remarks == [made.words] and made.words.startswith("2 images of tiny, 0.5@8 (8 px, channels ")
    facts = {row[""]: row["value"] for row in made.table().to_dicts()}
    assert facts["seeds"] == "[3, 4]" and facts["class"] == "cat"
    assert json.loads(json.dumps(made.to_dict()))["seeds"] == [3, 4]


def test_a_line_begins_and_ends_with_the_images_of_its_seeds(tiny: Model) -> None:
    ends = [sample_images(tiny, seed=seed, count=1, label="dog").pixels[0] for seed in (1, 4)]
    line = interpolate_images(tiny, seeds=(1, 4), labels=("dog",), frames=3).pixels
    assert len(line) == 4
    assert np.array_equal(line[0], ends[0]) and np.array_equal(line[-1], ends[1])


def test_a_preview_tells_of_both_parts(tiny: Model) -> None:
    found = preview_image(tiny, "0.25@8", seed=4, measured=False)
    assert [row[0] for row in found.table().rows] == ["preview", "final"]
    assert "<td>preview</td>" in found._repr_html_()
    assert {part: picture.shape for part, picture in found.pictures.items()} == {
        "preview": (8, 8, 3), "final": (16, 16, 3),
    }  # fmt: skip
    assert found.to_dict()["output"] is None and found.to_dict()["final"]["latency"] is None
    assert found.remarks == [f"feature distance {found.distance:.4f} (mbv3-cifar10 features), pixel error "
                             f"{found.pixel_error:.4f}"]  # fmt: skip


def test_words_name_subnets(tiny: Model) -> None:
    model, found = open_generator(tiny, "largest", "smallest", "0.5@8")
    assert model is tiny
    assert found["largest"] == tiny.space.largest() and found["smallest"] == tiny.space.smallest()
    assert found["0.5@8"]["resolution"] == 8
    with pytest.raises(UsageError, match=r"there is no subnet 'half'; .* a width such as 0.5"):
        open_generator(tiny, "half")
