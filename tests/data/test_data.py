"""Data sources, their splits, and the one sentence that a mistake costs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from nas.data.augment import crop_and_flip, draw
from nas.data.dataset import open_data
from nas.errors import NasError, UsageError
from nas.seeds import augment_rng
from nas.train.calibration.dead_leaves import dead_leaves


def picture(seed: int, size: int = 16) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def parquet(path: Path, count: int = 60, **columns) -> Path:
    images = [{"bytes": picture(i), "path": None} for i in range(count)]
    table = {"image": images, "label": [i % 3 for i in range(count)], **columns}
    pq.write_table(pa.table({key: value for key, value in table.items() if value is not None}), path)
    return path


def folders(root: Path, count: int = 12) -> Path:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                (root / split / name / f"{i}.png").write_bytes(picture(i))
    return root


def test_parquet_splits_are_fixed_and_disjoint(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", 100)
    parquet(tmp_path / "test.parquet", 20)
    data = open_data(str(tmp_path))
    assert (data.count("train"), data.count("val"), data.count("test")) == (90, 10, 20)
    again = open_data(str(tmp_path))
    for split in ("train", "val", "test"):
        assert torch.equal(data.images(split).images, again.images(split).images)
    seen = {image.numpy().tobytes() for split in ("train", "val") for image in data.images(split).images}
    assert len(seen) == 100


def test_digits_and_folders(tmp_path: Path) -> None:
    digits = open_data("digits")
    assert len(digits.classes) == 10 and digits.images("val").images.dtype == torch.uint8
    data = open_data(str(folders(tmp_path / "images")))
    assert list(data.classes) == ["cat", "dog"] and data.count("test") == 24


def test_a_folder_without_classes_is_images_without_labels(tmp_path: Path) -> None:
    for place in ("plain", "split/train", "split/test"):
        (tmp_path / place).mkdir(parents=True)
        for i in range(10):
            (tmp_path / place / f"{i}.png").write_bytes(picture(i))
    plain, split = (open_data(str(tmp_path / name)) for name in ("plain", "split"))
    assert plain.classes == split.classes == ()
    assert [plain.count("train"), plain.count("val"), plain.count("test")] == [7, 1, 2]
    assert [split.count("train"), split.count("val"), split.count("test")] == [9, 1, 10]
    assert not plain.images("train").labels.any()


def test_data_has_a_name_and_no_path(tmp_path: Path) -> None:
    (tmp_path / "hub" / "data").mkdir(parents=True)
    parquet(tmp_path / "hub" / "data" / "train-0.parquet")
    parquet(tmp_path / "hub" / "data" / "test-0.parquet")
    parquet(tmp_path / "alone.parquet")
    folders(tmp_path / "pets")
    assert [open_data(str(tmp_path / name)).name for name in ("hub", "hub/data", "alone.parquet", "pets")] == [
        "hub", "hub", "alone", "pets",
    ]  # fmt: skip


def broken_folder(root: Path) -> Path:
    folders(root)
    (root / "train" / "cat" / "3.png").write_bytes(b"no picture")
    return root


def empty_class(root: Path) -> Path:
    folders(root)
    (root / "train" / "emu").mkdir()
    (root / "test" / "emu").mkdir()
    return root


def cut_parquet(root: Path) -> Path:
    root.mkdir()
    path = parquet(root / "train.parquet")
    path.write_bytes(path.read_bytes()[:300])
    return root


def no_column(root: Path) -> Path:
    root.mkdir()
    parquet(root / "train.parquet", label=None)
    return root


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (broken_folder, "3.png"),
        (empty_class, "emu"),
        (cut_parquet, "train.parquet"),
        (no_column, "label"),
        (lambda root: root, "absent"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_name(tmp_path: Path, make, words: str) -> None:
    with pytest.raises(NasError) as caught:
        data = open_data(str(make(tmp_path / "absent")))
        data.images("train")
        data.images("val")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_augmentation_depends_on_seed_and_step_alone() -> None:
    images = torch.arange(4 * 3 * 8 * 8).reshape(4, 3, 8, 8).to(torch.uint8)

    def augmented(seed: int, step: int) -> torch.Tensor:
        return crop_and_flip(images, draw(augment_rng(seed, step), 4, 2, flip=True), 2)

    assert torch.equal(augmented(0, 5), augmented(0, 5))
    assert not torch.equal(augmented(0, 5), augmented(0, 6))
    still = draw(augment_rng(0, 0), 4, 0, flip=False)
    assert torch.equal(crop_and_flip(images, still, 0), images)


def test_dead_leaves_are_pictures_of_the_seed() -> None:
    first = dead_leaves(4, (16, 24), seed=1)
    assert first.shape == (4, 3, 16, 24) and first.dtype == np.uint8
    assert np.array_equal(first, dead_leaves(4, (16, 24), seed=1))
    assert not np.array_equal(first, dead_leaves(4, (16, 24), seed=2))
    # Neighbours are alike, as in photographs and unlike noise.
    differences = np.abs(np.diff(first.astype(float), axis=-1)).mean()
    assert differences < 0.5 * np.abs(first.astype(float) - first.mean()).mean()


def test_a_classifier_refuses_images_without_labels(tmp_path: Path) -> None:
    from nas.train.classifiers.objective import train
    from nas.train.classifiers.recipe import load_recipe

    (tmp_path / "photos").mkdir()
    for i in range(10):
        (tmp_path / "photos" / f"{i}.png").write_bytes(picture(i))
    with pytest.raises(UsageError, match="photos has no classes.*a folder a class"):
        train(load_recipe("digits"), open_data(str(tmp_path / "photos")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
