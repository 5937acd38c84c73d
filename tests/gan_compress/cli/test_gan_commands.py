"""`nas gan`: each command's answer, its files, and what wrong input costs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from gan_compress.cli import COMMANDS, group
from nas.errors import NasError, UsageError

Run = Callable[..., Result]


@pytest.fixture
def run(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the tiny generator in an empty folder; a user's mistake is the result's exception."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *args: str | Path, model: Path | str = tiny_path) -> Result:
        return CliRunner().invoke(group, [command, "--model", str(model), *map(str, args)])

    return run


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.exception or result.output
    return json.loads(result.stdout)


def refused(result: Result, words: str, kind: type[NasError] = UsageError) -> None:
    assert isinstance(result.exception, kind), result.exception or result.output
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


def read(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def write_shades(folder: Path, names: tuple[str, ...] = ("dark", "bright")) -> Path:
    """Write a folder of class folders, a few pictures each."""
    rng = np.random.default_rng(0)
    for index, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.normal(70 + 115 * index, 40, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str) -> None:
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    assert f"gan {name}" in result.stdout and "--json" in result.stdout


def test_an_unknown_command_names_the_nearest() -> None:
    result = CliRunner().invoke(group, ["smaple"])
    assert result.exit_code == 2
    assert "there is no command 'smaple' (did you mean 'sample'?)" in result.output


def test_the_group_imports_no_torch() -> None:
    import subprocess
    import sys

    group = "import sys; from importlib import import_module; import gan_compress.cli"
    light = "assert not {'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules)"
    # A command's own page of help may take pictures and tables, but nothing that computes.
    commands = f"[import_module(m) for m in {[m for m, _ in COMMANDS.values()]}]"
    code = f"{group}; {light}; {commands}; assert not {{'torch', 'pydantic', 'optuna', 'onnx'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


# --- sample -----------------------------------------------------------------------------------------------------------


def test_sample_writes_a_grid(run: Run) -> None:
    value = answer(run("sample", "--count", 5, "--columns", 3, "--seed", 2, "--json"))
    assert value["seeds"] == [2, 3, 4, 5, 6] and value["output"] == "sample.png"
    assert read("sample.png").shape == (2 * 18 - 2, 3 * 18 - 2, 3)
    assert "5 images of tiny" in run("sample", "--count", 5, "--output", "again.png").stdout


def test_a_seed_is_the_same_image_in_every_grid(run: Run) -> None:
    answer(run("sample", "--count", 4, "--columns", 4, "--json"))
    answer(run("sample", "--count", 1, "--seed", 2, "--output", "one.png", "--json"))
    assert np.array_equal(read("sample.png")[:, 36:52], read("one.png"))
    answer(run("sample", "--count", 1, "--seed", 2, "--class", "cat", "--output", "cat.png", "--json"))
    assert not np.array_equal(read("cat.png"), read("one.png"))


def test_single_pictures_stand_in_a_new_folder(run: Run) -> None:
    answer(run("sample", "--single", "--count", 3, "--seed", 9, "--subnet", "0.5@8", "--zoom", 2, "--json"))
    assert sorted(path.name for path in Path("samples").iterdir()) == [
        "seed09.png",
        "seed10.png",
        "seed11.png",
    ]
    assert read("samples/seed10.png").shape == (16, 16, 3)


def test_a_subnet_file_and_the_smallest_are_subnets(run: Run, tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "mine.json").write_text(tiny.space.smallest().to_json())
    first = answer(run("sample", "--subnet", "mine.json", "--output", "a.png", "--json"))
    second = answer(run("sample", "--subnet", "smallest", "--output", "b.png", "--json"))
    assert first["subnet"] == second["subnet"] == tiny.space.smallest().to_dict()
    assert np.array_equal(read("a.png"), read("b.png"))


def test_wrong_words_cost_one_sentence_and_write_nothing(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    refused(run("sample", "--subnet", "0.6"), "0.6 is no width of tiny; give 0.25, 0.5, 0.75 or 1")
    refused(run("sample", "--subnet", "0.5@64"), "no images of 64 pixels; give 8 or 16")
    refused(
        run("sample", "--subnet", "half"), "there is no subnet 'half'; give 'largest', 'smallest', a width"
    )
    refused(run("sample", "--subnet", tiny_path), "is a model and no subnet; name it with --model")
    refused(run("sample", "--class", "brid"), "no class 'brid'; did you mean 'bird'?")
    refused(run("sample", model="mbv3-cifar10"), "is a model for classification and no generator")
    refused(run("sample", model="mbv3-cifar1"), "did you mean 'mbv3-cifar10'?")
    refused(run("sample", "--output", "sample.jpg"), "must end in .png")
    assert run("sample", "--truncation", "3").exit_code == 2
    assert not [*tmp_path.iterdir()]


def test_an_existing_output_is_kept(run: Run, tmp_path: Path) -> None:
    for name, arguments in {
        "sample.png": ("sample",),
        "samples": ("sample", "--single"),
        "preview": ("preview",),
        "interpolate.gif": ("interpolate",),
        "edit.png": ("edit", "--direction", "dark"),
        "face-projected.png": ("project", "face.png"),
    }.items():
        (tmp_path / name).write_text("mine")
        refused(run(*arguments), f"{name} already exists")
        assert (tmp_path / name).read_text() == "mine"
    assert len([*tmp_path.iterdir()]) == 6


# --- preview ----------------------------------------------------------------------------------------------------------


def test_preview_and_final_are_one_seed(run: Run) -> None:
    value = answer(run("preview", "--seed", 4, "--subnet", "0.25@8", "--threads", 1, "--json"))
    assert read("preview/preview.png").shape == (8, 8, 3)
    answer(run("sample", "--seed", 4, "--count", 1, "--json"))
    assert np.array_equal(read("preview/final.png"), read("sample.png"))
    assert value["preview"]["macs"] < value["final"]["macs"]
    assert value["preview"]["latency"]["median_ms"] > 0 < value["final"]["latency"]["median_ms"]
    assert value["distance"] > 0 < value["pixel_error"] and value["features"] == "mbv3-cifar10"


def test_a_preview_of_the_full_generator_differs_in_nothing(run: Run) -> None:
    result = run("preview", "--subnet", "largest", "--no-measure")
    assert result.exit_code == 0
    assert "feature distance 0.0000 (mbv3-cifar10 features), pixel error 0.0000" in result.stdout
    assert "latency" not in result.stdout


# --- interpolate ------------------------------------------------------------------------------------------------------


def test_interpolation_starts_and_ends_at_its_seeds(run: Run) -> None:
    value = answer(
        run(
            "interpolate",
            "--seed",
            1,
            "--seed",
            4,
            "--class",
            "dog",
            "--frames",
            3,
            "--output",
            "a.png",
            "--json",
        )
    )
    assert value["frames"] == 4 and value["classes"] == ["dog", "dog"]
    answer(run("sample", "--seed", 4, "--class", "dog", "--count", 1, "--json"))
    strip = read("a.png")
    assert strip.shape == (16, 4 * 18 - 2, 3)
    assert np.array_equal(strip[:, -16:], read("sample.png"))


def test_classes_change_at_one_seed_and_move(run: Run) -> None:
    value = answer(run("interpolate", "--class", "cat", "--class", "2", "--loop", "--frames", 4, "--json"))
    assert value["seeds"] == [0, 0] and value["classes"] == ["cat", "bird"]
    with Image.open("interpolate.gif") as image:
        assert image.n_frames == value["frames"] == 8  # pyright: ignore[reportAttributeAccessIssue]


def test_seeds_and_classes_that_do_not_go_together(run: Run) -> None:
    refused(run("interpolate", "--seed", 1), "1 seeds and 0 classes were given")
    refused(
        run(
            "interpolate", *["--seed", "1", "--seed", "2", "--seed", "3", "--class", "cat", "--class", "dog"]
        ),
        "3 seeds and 2 classes",
    )
    refused(run("interpolate", "--output", "film.mp4"), "must end in .gif, .apng or .png")


# --- directions, project, edit ----------------------------------------------------------------------------------------


def test_from_labels_to_an_edited_picture(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_path, tmp_path / "model")
    data = write_shades(tmp_path / "data")
    refused(run("edit", "--direction", "dark", model=model), "has no directions.safetensors")
    value = answer(run("directions", "--data", data, "--samples", 60, "--json", model=model))
    assert [row["label"] for row in value["directions"]] == ["bright", "dark"]
    assert (model / "directions.safetensors").is_file()
    refused(run("directions", "--data", data, model=model), "already exists")
    assert answer(run("directions", "--json", model=model))["directions"] == value["directions"]

    refused(run("edit", "--direction", "drak", model=model), "no direction 'drak'; did you mean 'dark'?")
    edited = answer(
        run("edit", "--direction", "dark", "--subnet", "largest", "--subnet", "0.25@8", "--json", model=model)
    )
    assert edited["amounts"] == [-2, -1, 0, 1, 2]
    assert read("edit.png").shape == (2 * 18 - 2, 5 * 18 - 2, 3)
    answer(run("sample", "--count", 1, "--json", model=model))
    assert np.array_equal(read("edit.png")[:16, 36:52], read("sample.png"))

    Image.fromarray(np.full((30, 50, 3), 90, np.uint8)).save("face.png")
    options = ("--steps", 2, "--polish", 2, "--subnet", "0.25@8")
    projected = answer(run("project", "face.png", *options, "--json", model=model))
    assert [fit["network"] for fit in projected["fits"]] == ["full", "0.25@8"]
    assert read("face-projected.png").shape == (16, 3 * 18 - 2, 3)
    assert (read("face-projected.png")[:, :16] == 90).all()
    file = "face-projected.safetensors"
    arguments = ("edit", file, "--direction", "dark", "--amount", "0", "--output", "one.png")
    assert "dark by +0 standard deviations" in run(*arguments, model=model).stdout
    assert np.array_equal(read("one.png"), read("face-projected.png")[:, 18:34])
    refused(
        run("edit", file, "--direction", "dark", "--seed", "1", "--output", "b.png", model=model),
        "--seed was given",
    )


def test_data_with_one_label_give_no_directions(run: Run, tmp_path: Path) -> None:
    data = write_shades(tmp_path / "data", ("dark",))
    output = tmp_path / "mine.safetensors"
    refused(
        run("directions", "--data", data, "--output", output),
        "two labels or more, but the only label is dark",
    )
    refused(run("directions", "--output", output), "was given without data")
    assert not output.exists()


def test_what_is_no_picture_is_not_projected(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    refused(run("project", "text.png"), "text.png is no readable picture")
    refused(run("project", "none.png"), "none.png does not exist")
    refused(run("project", tmp_path), "is a folder")
    refused(run("edit", "text.png", "--direction", "dark"), "tiny has no directions.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["text.png"]
