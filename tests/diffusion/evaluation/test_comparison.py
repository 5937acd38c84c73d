"""Pipelines side by side: figures of the same prompts and seeds, failures shown, one picture."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from diffusion.evaluation.candidates import read_candidates
from diffusion.evaluation.comparison import Row
from diffusion.evaluation.comparison_figure import draw_contact_sheet, label, scaled, wrapped
from diffusion.evaluation.quality import Difference, Match
from nas.errors import NasError, UsageError
from nas.export import Export, parse_formats
from nas.files import write_json
from nas.latency.measuring.measure import Measurement
from nas.models import load_model
from nas.search import RunFolder
from nas.search.trials.folder import FINISHED
from tests.diffusion.cli.test_diffusion_commands import refused
from tests.diffusion.tiny import VAE, make_pipeline


@pytest.fixture
def run(nas_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*args):
        asked = () if "--prompt" in args else ("--prompt", "a cat")
        return nas_run("diffusion", "compare", *args, *asked, "--threads", "1")

    return run


@pytest.fixture(scope="module")
def exported(pipeline: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "small"
    model = load_model(pipeline)
    subnet = model.space.subnet({**model.space.largest(), "steps": 2, "guided": 0.5})
    Export(model=model, subnet=subnet, formats=parse_formats("onnx")).write(folder)
    return folder


def test_pipelines_stand_side_by_side(run, pipeline, exported, tmp_path):
    done = run(pipeline, f"{pipeline}@steps=2", exported, "--images", "3", "--prompt", "cat", "--json")
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    first, fewer, small = answer["pipelines"]
    assert (
        first["difference"] is None
        and fewer["difference"]["psnr_db"] < 60
        and fewer["difference"]["images"] == 3
    )
    assert (first["sampling"]["steps"], fewer["sampling"]["steps"], small["sampling"]["steps"]) == (4, 2, 2)
    assert small["sampling"]["guided"] == 0.5 and small["sampling"]["guidance"] == 2.0
    assert first["seconds_an_image"] > fewer["seconds_an_image"] > 0
    assert first["memory_bytes"] > 2**20
    shipped = ("text_encoder.onnx", "unet.onnx", "vae_decoder.onnx")
    assert small["size_bytes"] == sum((exported / name).stat().st_size for name in shipped)
    assert 0 <= first["match"]["low"] <= first["match"]["percent"] <= first["match"]["high"]
    assert answer["prompts"] == ["cat"] and answer["seeds"] == [0, 1, 2]
    with Image.open(tmp_path / "compare.png") as picture:
        assert picture.width > 3 * 128


def test_the_same_comparison_gives_the_same_images(run, pipeline, tmp_path):
    args = (pipeline, f"{pipeline}@guidance=1", "--images", "2", "--no-measure")
    conditioning = [run(*args, "--output", f"{name}.png") for name in "ab"]
    assert [each.code for each in conditioning] == [0, 0], conditioning[0].stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert "prompt match" in conditioning[0].stdout and "an image" not in conditioning[0].stdout
    assert (
        "PSNR" in conditioning[0].stdout and "none" in conditioning[0].stdout
    )  # guidance of 1 guides nothing


def test_one_that_fails_is_shown(run, pipeline, tmp_path):
    broken = shutil.copytree(pipeline, tmp_path / "broken")
    weights = broken / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    state["decoder.conv_out.bias"].fill_(math.nan)
    save_file(state, weights, {"format": "pt"})
    done = run(pipeline, broken, "--images", "2", "--no-measure")
    assert done.code == 1 and "1 of 2 pipelines failed: broken: a picture is not finite" in done.stderr
    assert "broken failed: a picture is not finite" in done.stdout and "Traceback" not in done.stderr
    assert (tmp_path / "compare.png").is_file()
    first = run(broken, pipeline, "--images", "2", "--no-measure", "--output", "first.png")
    assert (
        first.code == 1 and "to which the others are compared, fails: a picture is not finite" in first.stderr
    )
    assert not first.stdout and not (tmp_path / "first.png").exists()


def test_wrong_input_costs_a_sentence(run, pipeline, exported, tmp_path):
    def wrong(words, *args):
        done = run(*args, "--no-measure")
        remarks = [line for line in done.stderr.splitlines(keepends=True) if line.startswith("making ")]
        refused(done._replace(stderr="".join(done.stderr.removeprefix("".join(remarks)))), words)
        assert not [*tmp_path.glob("*.png")]

    wrong("two or more pipelines are needed", pipeline)
    wrong("'nothing'", pipeline, "nothing")
    wrong("0 is not in the range", pipeline, exported, "--images", "0")
    wrong("at most 8 are taken", pipeline, exported, "--prompt", "a very long prompt of many words")
    wrong("mbv3-cifar10 is of the family", pipeline, "mbv3-cifar10")
    wrong("samples as it was exported", pipeline, f"{exported}@steps=2")
    wrong("steps=N and guidance=G are understood", pipeline, f"{pipeline}@steps=few")
    wrong("at least 1 is needed", pipeline, f"{pipeline}@steps=0")
    wrong("must end in .png", pipeline, exported, "--output", "compare.jpg")
    larger = make_pipeline()
    config = {**VAE, "block_out_channels": [8], "down_block_types": VAE["down_block_types"][:1]}
    larger.vae = type(larger.vae).from_config({**config, "up_block_types": VAE["up_block_types"][:1]})
    larger.save_pretrained(tmp_path / "other", safe_serialization=True)
    write_json(tmp_path / "other" / "anyfit.json", {"space": {"steps": [1]}})
    wrong("16 × 16 pixels and other of 8 × 8; compare pipelines of one size", pipeline, tmp_path / "other")


def test_a_run_shows_its_answers(pipeline, tmp_path):
    model = load_model(pipeline)
    answer, other = (model.space.subnet({**model.space.largest(), "steps": steps}) for steps in (2, 1))
    folder = RunFolder.create(tmp_path / "fast", {"model": str(pipeline)})

    def found(subnet, ms):
        return {"subnet": subnet.to_dict(), "latency_ms": {"predicted": ms, "measured": None, "p90": None}}

    result = {"answer": found(answer, 50), "ladder": [found(other, 25), found(answer, 50)]}
    folder.set_state(FINISHED, result=result)
    with pytest.raises(NasError, match="has no answer"):
        read_candidates(str(tmp_path / "fast"), None, None, False)
    write_json(tmp_path / "fast" / "subnet.json", answer.to_dict())
    (alone,) = read_candidates(str(tmp_path / "fast"), 4, None, False)
    assert alone.name == "fast" and alone.sampling["steps"] == 2
    names = [
        (each.name, each.sampling["steps"])
        for each in read_candidates(str(tmp_path / "fast"), None, None, True)
    ]
    assert names == [("fast", 2), ("fast at 25 ms", 1)]
    with pytest.raises(UsageError, match="samples as it was searched"):
        read_candidates(f"{tmp_path / 'fast'}@steps=4", None, None, False)


def some_row(name: str, ms: float, **more) -> Row:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    latency = Measurement(ms, ms, (ms, ms), 9, 3, 0)
    sampling = {"steps": 8, "guided": 0.5, "reuse": 2, "guidance": 3.0}
    return Row(name, sampling, images, latency, 10**8, 10**7, **more)


def test_labels_say_what_was_found():
    first, second = (
        some_row("first@steps=8", 300),
        some_row(
            "second", 100, difference=Difference(3, 20.0, None, 0.5), match=Match("c", 3, 50, 20.4, 80.4, {})
        ),
    )
    lines = label(second, first)
    assert " ".join(line.words for line in lines) == (
        "second 100 ms an image, 3.0× faster 8 steps, guidance 3 in 50%, deep features every 2 10 MB, 100 MB in memory "
        "PSNR 20.0 dB prompt match 50% (20–80%)"
    )
    assert len(lines) == 7  # how it samples takes two
    assert label(first, first)[0].words == "first"
    assert any("3.0× slower" in line.words for line in label(first, second))


def test_tiny_images_are_enlarged_pixel_by_pixel():
    assert scaled((16, 16)) == (128, 128) and scaled((32, 32)) == (128, 128)
    assert scaled((200, 100)) == (200, 100) and scaled((512, 1024)) == (128, 256)
    row = some_row("one", 10)
    assert row.images is not None
    contact_sheet = draw_contact_sheet(
        [row, Row("two", {"steps": 1}, failure="it broke")], ["a"] * 3, ["below"], 2
    )
    left, height = 24 + 376, contact_sheet.shape[0]
    column = contact_sheet[:, left : left + 128]
    rows = [y for y in range(height - 8) if np.array_equal(column[y, ::8], row.images[0][0])]
    assert len(rows) >= 8 and np.array_equal(column[rows[0] + 8, ::8], row.images[0][1])
    assert (contact_sheet == (241, 243, 246)).all(-1).any()  # where images are missing


def test_text_is_wrapped_and_cut():
    assert wrapped("a photo of a ship", 1000, 15, lines=2) == ["a photo of a ship"]
    assert len(wrapped("a photo of a ship", 60, 15, lines=3)) == 3
    (line,) = wrapped("anticonstitutionally", 60, 15, lines=1)
    assert line.endswith("…") and len(line) < 12
