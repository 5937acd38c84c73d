"""torchvision's data sets by name, on small stand-ins in the layout that torchvision reads; no network."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from nas.data.dataset import open_data
from nas.data.sources import find_source
from nas.errors import NasError, UsageError

CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
MISSING = "--data-root, or --download"


def cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Write five batches of 20 training images and one of 20 test images; returns all 120 as (n, 3, 32, 32)."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (120, 3072), dtype=np.uint8)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for at, name in enumerate(names):
        batch = {"data": pixels[20 * at : 20 * at + 20], "labels": [i % 10 for i in range(20)]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CIFAR_CLASSES}))
    # The checksums that torchvision knows are those of the true files.
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [[name, None] for name in names[:5]])
    monkeypatch.setattr(kind, "test_list", [["test_batch", None]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
    return pixels.reshape(-1, 3, 32, 32)


def idx(array: np.ndarray) -> bytes:
    """Return an array of bytes as the MNIST family stores it: big-endian header, then the values."""
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def fashion_mnist(root: Path) -> np.ndarray:
    """Write 60 training and 20 test images; returns those for training as (n, 28, 28)."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    train = np.zeros((0, 28, 28), np.uint8)
    for name, count in (("train", 60), ("t10k", 20)):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
        train = images if name == "train" else train
    return train


def imagenet(root: Path) -> None:
    """Write two synsets with six training and two validation images each."""
    root.mkdir(parents=True)
    synonyms = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish", "Carassius auratus")}
    torch.save((synonyms, []), root / "meta.bin")
    for split, count in (("train", 6), ("val", 2)):
        for label, synset in enumerate(synonyms):
            (root / split / synset).mkdir(parents=True)
            for number in range(count):
                picture = Image.new("RGB", (80, 72), (label * 255, number, 0))
                picture.save(root / split / synset / f"{number}.png")


def gtsrb(root: Path) -> None:
    """Write three kinds of signs with five training and one test image each."""
    base = root / "gtsrb" / "GTSRB"
    lines = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    (base / "Final_Test" / "Images").mkdir(parents=True)
    for label in range(3):
        folder = base / "Training" / f"{label:05d}"
        folder.mkdir(parents=True)
        picture = Image.new("RGB", (16, 16), (80 * label, 0, 0))
        for number in range(5):
            picture.save(folder / f"{number}.ppm")
        picture.save(base / "Final_Test" / "Images" / f"{label}.ppm")
        lines.append(f"{label}.ppm;16;16;0;0;15;15;{label}")
    (root / "gtsrb" / "GT-final_test.csv").write_text("\n".join(lines) + "\n")


def test_cifar10_from_its_python_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = cifar10(tmp_path, monkeypatch)
    source = find_source("torchvision:cifar10", root=str(tmp_path))
    assert source.name == "torchvision:CIFAR10" and list(source.classes) == CIFAR_CLASSES
    assert len(source.train) == 100 and source.val is None and source.test is not None
    assert np.array_equal(source.train.labels, np.arange(100) % 10)
    picture = np.asarray(source.train.open(37)).transpose(2, 0, 1)
    assert np.array_equal(picture, pixels[37])
    assert np.array_equal(np.asarray(source.test.open(3)).transpose(2, 0, 1), pixels[103])
    # The name alone is enough, and 10% of train is held out for validation.
    data = open_data("CIFAR10", root=str(tmp_path))
    assert (data.count("train"), data.count("val"), data.count("test")) == (90, 10, 20)
    assert data.size == (32, 32) and data.in_memory


def test_fashion_mnist_from_its_idx_files(tmp_path: Path) -> None:
    pixels = fashion_mnist(tmp_path)
    data = open_data("FashionMNIST", root=str(tmp_path))
    assert data.classes[0] == "T-shirt/top" and len(data.classes) == 10 and data.size == (28, 28)
    assert (data.count("train"), data.count("val"), data.count("test")) == (54, 6, 20)
    found = data.images("train").images
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 0], found[:, 2])
    by_bytes = {image.tobytes(): number % 10 for number, image in enumerate(pixels)}
    labels = [by_bytes[image.numpy().tobytes()] for image in found[:, 0]]
    assert labels == data.images("train").labels.tolist()


def test_imagenet_has_a_validation_split_and_classes_with_synonyms(tmp_path: Path) -> None:
    imagenet(tmp_path / "imagenet")
    data = open_data("torchvision:ImageNet", root=str(tmp_path / "imagenet"))
    assert list(data.classes) == ["tench, Tinca tinca", "goldfish, Carassius auratus"]
    # Its own val stays whole; the test images are held out of train.
    assert (data.count("train"), data.count("val"), data.count("test")) == (10, 4, 2)
    assert data.size == (72, 80) and not data.in_memory
    table = data.table("val")
    colours = [np.asarray(table.open(i))[0, 0, 0] for i in range(4)]
    assert colours == [0, 0, 255, 255] and table.labels.tolist() == [0, 0, 1, 1]


def test_a_data_set_that_keeps_pairs_of_path_and_label(tmp_path: Path) -> None:
    gtsrb(tmp_path)
    source = find_source("GTSRB", root=str(tmp_path))
    assert source.classes == ("0", "1", "2") and source.test is not None
    assert source.train.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert source.test.labels.tolist() == [0, 1, 2]
    assert source.test.open(2).getpixel((0, 0)) == (160, 0, 0)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    gtsrb(tmp_path)
    (tmp_path / "gtsrb" / "GTSRB" / "Training" / "00001" / "2.ppm").write_bytes(b"no picture")
    source = find_source("GTSRB", root=str(tmp_path))
    with pytest.raises(NasError, match="GTSRB under .*image 7 cannot be read"):
        source.train.open(7)


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ("torchvision:CIFR10", 2, "did you mean 'CIFAR10'"),
        ("FashonMNIST", 2, "did you mean 'FashionMNIST'"),
        ("torchvision:zzzzzz", 2, "for example CIFAR10"),
        ("CIFAR10", 1, MISSING),
        ("torchvision:ImageNet", 1, MISSING),
        ("GTSRB", 1, MISSING),
        ("torchvision:FakeData", 2, "no training split"),
        ("torchvision:Kinetics", 2, "no training split"),
        ("torchvision:VOCDetection", 2, "no training split"),
    ],
)
def test_a_wrong_name_or_missing_data_is_one_sentence(
    nas_run: Callable, tmp_path: Path, spec: str, code: int, words: str
) -> None:
    output = tmp_path / "run"
    args = ("--recipe", "digits", "--data", spec, "--data-root", tmp_path / "data", "--output", output)
    outcome = nas_run("train", *args)
    assert outcome.code == code and words in outcome.stderr, outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1 and outcome.stdout == ""
    assert not output.exists()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"no idx file at all")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize("harm", [empty, garbage, truncated])
def test_a_broken_file_is_one_sentence(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    fashion_mnist(tmp_path)
    harm(tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte")
    with pytest.raises(NasError, match=r"FashionMNIST under .* cannot be read \(.+\); delete it") as caught:
        find_source("FashionMNIST", root=str(tmp_path))
    assert "\n" not in str(caught.value) and caught.value.exit_code == 1


def test_a_class_without_an_image_is_named(tmp_path: Path) -> None:
    fashion_mnist(tmp_path)
    labels = np.minimum(np.arange(60) % 10, 8).astype(np.uint8)
    (tmp_path / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(NasError, match="no image of class 'Ankle boot'"):
        find_source("FashionMNIST", root=str(tmp_path))


def test_labels_are_needed(tmp_path: Path) -> None:
    # Moving MNIST has a split `train` and no labels.
    folder = tmp_path / "MovingMNIST"
    folder.mkdir()
    np.save(folder / "mnist_test_seq.npy", np.zeros((20, 2, 64, 64), np.uint8))
    with pytest.raises(UsageError, match="no classification data set"):
        find_source("MovingMNIST", root=str(tmp_path))
