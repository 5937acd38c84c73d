"""Training an image-to-image generator: two stages, stopped and resumed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_compress.pix2pix.discriminator import PatchDiscriminator, discriminator_loss, generator_loss
from gan_compress.pix2pix.family import gan_compression
from gan_compress.pix2pix.pairs import blur, to_bytes
from gan_compress.pix2pix.training import TranslationRecipe, load_recipe, recipe_names, train
from gan_compress.pix2pix.training.state import build_state
from gan_compress.pix2pix.training.steps import TranslationSteps
from gan_compress.pix2pix.training.student import Student, running, without_adaptors
from nas.data.dataset import Data, open_data
from nas.data.images import real_images
from nas.elastic import Supernet
from nas.errors import UsageError
from nas.models import load_model
from nas.train.checkpoint import read_checkpoint
from tests.conformance.families import some_subnets

SMALL = {
    "resolution": 16, "ngf": 8, "blocks": 3, "discriminator_channels": 4, "discriminator_layers": 1, "batch_size": 4,
    "norm": "batch", "distil_steps": 2, "checkpoint_steps": 1, "sample_every": 2, "log_every": 1,
}  # fmt: skip
TEACHER = TranslationRecipe(stage="teacher", pairs="blur", steps=2, **SMALL)
COMPRESS = TranslationRecipe(stage="compress", steps=4, **SMALL)


@pytest.fixture(scope="module")
def data() -> Data:
    return open_data("digits")


@pytest.fixture(scope="module")
def teacher(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    train(TEACHER, data, folder, threads=1)
    return folder


@pytest.fixture(scope="module")
def compressed(data: Data, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "compressed"
    train(COMPRESS, data, folder, start=teacher, threads=1)
    return folder


def rows(folder: Path) -> list[dict]:
    return [*csv.DictReader((folder / "log.csv").read_text().splitlines())]


# --- stages -----------------------------------------------------------------------------------------------------------


def test_a_teacher_leaves_a_model_log_and_samples(teacher: Path) -> None:
    model = load_model(teacher / "model")
    assert model.family.options["separable"] is False and model.info["pairs"] == "blur"
    assert [row["step"] for row in rows(teacher)] == ["1", "2"] and float(rows(teacher)[1]["pixel"]) > 0
    with Image.open(teacher / "samples" / "0000002.png") as contact_sheet:
        assert contact_sheet.size == (3 * 16, 12 * 16)  # input, output, truth
    x = model.family.example_input(model.space.largest())
    assert model.extract(model.space.largest())(x).shape == x.shape


def test_compression_leaves_a_supernet_of_the_separable_layout(compressed: Path, teacher: Path) -> None:
    model, before = load_model(compressed / "model"), load_model(teacher / "model")
    assert model.family.options["separable"] is True and model.info["pairs"] == "blur"
    assert [*model.info["val_psnr_db"]] == ["given", "teacher", "largest", "smallest"]
    assert model.calibration is not None and model.calibration.images.dtype == torch.uint8
    names = model.supernet.network.state_dict().keys()
    assert "model.10.conv_block.1.conv.0.weight" in names and not any("adaptor" in name for name in names)
    with Image.open(compressed / "samples" / "0000004.png") as contact_sheet:
        assert contact_sheet.size == (5 * 16, 12 * 16)  # input, teacher, largest, smallest, truth
    assert {"generator", "discriminator", "pixel", "feature"} <= {
        n for n, v in rows(compressed)[-1].items() if v
    }
    checkpoint = read_checkpoint(compressed / "checkpoint.pt")
    kept = checkpoint.state["teacher"]
    assert all(torch.equal(kept[n], t) for n, t in before.supernet.network.state_dict().items())


def test_a_model_holds_none_of_its_training_pictures(compressed: Path, teacher: Path, data: Data) -> None:
    for folder in (compressed, teacher):
        calibration = load_model(folder / "model").calibration
        assert calibration is not None and calibration.real.keys() == calibration.synthetic.keys() != set()
        given = to_bytes(blur(real_images(data, 16).pixels.float() / 127.5 - 1))
        known = {picture.numpy().tobytes() for picture in given}
        assert not any(picture.numpy().tobytes() in known for picture in calibration.images)


def test_the_largest_generator_has_the_statistics_of_real_inputs(compressed: Path) -> None:
    model = load_model(compressed / "model")
    assert model.calibration is not None
    network = dict(model.extract(model.space.largest()).named_buffers())
    for name, wanted in model.calibration.real.items():
        assert torch.allclose(network[name], wanted, rtol=0.02, atol=0.02 * float(wanted.abs().max()))


def test_settings_of_the_teacher_are_taken_over(compressed: Path) -> None:
    recipe = json.loads((compressed / "recipe.json").read_text())
    assert recipe["pairs"] == "blur" and recipe["resolution"] == 16 and recipe["discriminator_channels"] == 4


def test_a_teachers_model_can_be_the_start(teacher: Path, data: Data, tmp_path: Path) -> None:
    recipe = COMPRESS.replaced(steps=1, wanted="truth", warm=False, gan_mode="hinge", random_subnets=0)
    folder = train(recipe, data, tmp_path / "run", start=teacher / "model", threads=1)
    assert load_model(folder).info["pairs"] == "blur"


def test_a_generator_of_any_task_is_compressed_beside_itself(
    teacher: Path, data: Data, tmp_path: Path
) -> None:
    """An imported model says nothing of its inputs: the pictures are inputs, its own output is the truth."""
    import shutil

    imported = tmp_path / "imported"
    shutil.copytree(teacher / "model", imported)
    config = json.loads((imported / "supernet.json").read_text())
    (imported / "supernet.json").write_text(json.dumps({**config, "info": {"data": "imported"}}))
    recipe = COMPRESS.replaced(steps=1, pairs="same", wanted="truth")
    folder = train(recipe, data, tmp_path / "run", start=imported, threads=1)
    info = load_model(folder).info
    assert info["pairs"] == "same" and [*info["val_psnr_db"]] == ["given", "largest", "smallest"]
    with Image.open(tmp_path / "run" / "samples" / "0000001.png") as contact_sheet:
        assert contact_sheet.size == (4 * 16, 12 * 16)  # input, largest, smallest, the teacher's


def test_the_student_starts_with_the_teachers_most_important_channels(teacher: Path) -> None:
    from gan_compress.pix2pix.training.start import read_start, take_over

    begin = read_start(teacher)
    recipe = begin.adopt(COMPRESS)
    state = build_state(recipe, begin.options, torch.device("cpu"))
    take_over(state, begin, recipe)
    sorted_teacher = load_model(teacher / "model").supernet
    sorted_teacher.sort_channels()
    for name, tensor in sorted_teacher.network.state_dict().items():
        own = state.supernet.network.state_dict().get(f"generator.{name}")
        assert "conv_block" in name or (own is not None and torch.equal(own, tensor)), name
    assert begin.discriminator is not None
    assert all(torch.equal(t, begin.discriminator[n]) for n, t in state.discriminator.state_dict().items())


# --- the student ------------------------------------------------------------------------------------------------------


def test_adaptors_are_cut_with_the_stream_and_left_behind() -> None:
    family = gan_compression(ngf=8, blocks=3, resolution=16)
    supernet = Supernet(Student(family, 24)).eval()
    alone = without_adaptors(supernet)
    for subnet in some_subnets(family):
        x = family.example_input(subnet, 2)
        with torch.no_grad(), running(supernet, subnet) as student:
            images, features = student.with_features(x)
            adaptor = student.adaptors[0]
            assert isinstance(adaptor, torch.nn.Conv2d)
            width = adaptor.weight.shape[1]
        assert [tuple(f.shape) for f in features] == [(2, 24, 4, 4)] * 4
        assert width == 4 * family.channels(subnet)[2]
        assert torch.equal(images, supernet(x, subnet)) and torch.equal(images, alone(x, subnet))


def test_a_step_reaches_every_kind_of_weight(teacher: Path, data: Data) -> None:
    from gan_compress.pix2pix.pairs import blur
    from gan_compress.pix2pix.training.start import read_start, take_over
    from nas.data.images import real_images

    begin = read_start(teacher)
    recipe = begin.adopt(COMPRESS)
    state = build_state(recipe, begin.options, torch.device("cpu"))
    take_over(state, begin, recipe)
    before = {n: p.detach().clone() for n, p in state.supernet.named_parameters()}
    fixed = {n: t.clone() for n, t in state.teacher.state_dict().items()}  # pyright: ignore[reportOptionalMemberAccess]
    for group in (*state.optimizer.param_groups, *state.discriminator_optimizer.param_groups):
        group["lr"] = 1e-3
    losses = TranslationSteps(recipe, state, real_images(data, 16), blur).step()
    assert set(losses) == {"discriminator", "real", "fake", "pixel", "feature", "generator"}
    moved = {n for n, p in state.supernet.named_parameters() if not torch.equal(p, before[n])}
    assert {n for n in before if n.endswith("weight")} <= moved
    assert all(torch.equal(t, fixed[n]) for n, t in state.teacher.state_dict().items())  # pyright: ignore[reportOptionalMemberAccess]


# --- stopping ---------------------------------------------------------------------------------------------------------


# --- what a user may get wrong ----------------------------------------------------------------------------------------


def test_wrong_starts_and_folders_cost_one_sentence(
    data: Data, teacher: Path, compressed: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="needs a teacher"):
        train(COMPRESS, data, tmp_path / "a", threads=1)
    with pytest.raises(UsageError, match="starts from nothing"):
        train(TEACHER, data, tmp_path / "b", start=teacher, threads=1)
    with pytest.raises(UsageError, match="is a run of stage 'compress'"):
        train(COMPRESS, data, tmp_path / "c", start=compressed, threads=1)
    with pytest.raises(UsageError, match="was trained for 'blur'"):
        train(COMPRESS.replaced(pairs="grey"), data, tmp_path / "d", start=teacher, threads=1)
    with pytest.raises(UsageError, match="expected gan-compression"):
        train(COMPRESS, data, tmp_path / "e", start="mbv3-cifar10", threads=1)
    with pytest.raises(UsageError, match="pairs is not set"):
        train(TEACHER.replaced(pairs=""), data, tmp_path / "f", threads=1)
    with pytest.raises(UsageError, match="trained to its end"):
        train(TEACHER, data, teacher, threads=1)
    with pytest.raises(UsageError, match="there is no checkpoint"):
        train(TEACHER, data, tmp_path / "g", resume=True, threads=1)
    assert not any((tmp_path / name).exists() for name in "abcdefg")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"beta1": 2.0}, "beta1 is 2.0"),
        ({"pairs": "sepia"}, "no pairs 'sepia'"),
        ({"pairs": "same"}, "a teacher learns from pairs that differ"),
        ({"resolution": 20, "discriminator_layers": 3}, "discriminator_layers 3 needs at least 32"),
        ({"resolution": 18, "discriminator_layers": 1}, "multiple of 4"),
        ({"stage": "elastic"}, "teacher, compress"),
        ({"random_subnets": -1}, "random_subnets is -1"),
    ],
)
def test_wrong_settings_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        TranslationRecipe().replaced(**changes)


def test_the_shipped_recipes_fit_together() -> None:
    assert {"deblur-teacher", "deblur-compress"} <= set(recipe_names())
    first, second = load_recipe("deblur-teacher"), load_recipe("deblur-compress")
    assert first.stage == "teacher" and second.stage == "compress" and first.pairs and not second.pairs
    assert (first.norm, first.blocks) == (second.norm, second.blocks)


# --- the discriminator ------------------------------------------------------------------------------------------------


def test_a_score_sees_a_patch_of_the_published_size() -> None:
    for layers, size in ((1, 16), (2, 34), (3, 70)):
        discriminator = PatchDiscriminator(2, channels=2, layers=layers)
        for module in discriminator.model:
            if isinstance(module, torch.nn.InstanceNorm2d):
                module.register_forward_hook(
                    lambda _m, inputs, _o: inputs[0]
                )  # it looks at the whole picture
        x = torch.randn(1, 1, 160, 160, requires_grad=True)
        scores = discriminator(x, x)
        scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
        assert x.grad is not None
        seen = x.grad[0, 0].any(0).nonzero().flatten()
        assert int(seen.max() - seen.min()) + 1 == size


def test_losses_of_the_game() -> None:
    scores = torch.tensor([2.0, -3.0])
    assert float(discriminator_loss("hinge", scores, scores)) == pytest.approx((0 + 4 + 3 + 0) / 4)
    zero = torch.zeros(3)
    assert float(discriminator_loss("bce", zero, zero)) == pytest.approx(np.log(2))
    assert float(generator_loss("hinge", scores)) == pytest.approx(0.5)
    assert float(generator_loss("bce", zero)) == pytest.approx(np.log(2))


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_trains_both_stages(tmp_path: Path, nas_run: Callable) -> None:
    small = [word for name in ("resolution", "ngf", "blocks", "discriminator_channels", "discriminator_layers")
             for word in ("--set", f"{name}={SMALL[name]}")]  # fmt: skip
    common = (
        "--data", "digits", "--steps", "1", "--batch-size", "4", "--set", "distil_steps=2", "--threads", "1", "--json"
    )  # fmt: skip
    first = nas_run(
        "gan", "compress", "--recipe", "deblur-teacher", "--output", tmp_path / "t", *small, *common
    )
    assert first.code == 0, first.stderr
    second = nas_run(
        "gan", "compress", "--recipe", "deblur-compress", "--start", tmp_path / "t", "--output", tmp_path / "c",
        "--set", "ngf=8", "--set", "blocks=3", *common,
    )  # fmt: skip
    assert second.code == 0, second.stderr
    answer = json.loads(second.stdout)
    assert answer["info"]["stage"] == "compress" and load_model(answer["model"]).info["pairs"] == "blur"
    wrong = nas_run("gan", "compress", "--recipe", "deblur", "--data", "digits", "--output", tmp_path / "n")
    assert wrong.code == 2 and "deblur-teacher" in wrong.stderr
