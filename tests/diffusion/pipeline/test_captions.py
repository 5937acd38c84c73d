from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from diffusion.pipeline.inputs.captions import (
    class_captions,
    class_prompt,
    has_metadata,
    open_captioned,
    plain_name,
)
from nas.errors import NasError, UsageError


def write_folder(folder, rows):
    folder.mkdir(exist_ok=True)
    for row in rows:
        path = folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), row.get("shade", 90), np.uint8)).save(path)
    lines = [json.dumps({key: value for key, value in row.items() if key != "shade"}) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return folder


def test_class_names_become_sentences():
    assert class_prompt("airplane") == "a photo of an airplane"
    assert class_prompt("aquarium_fish") == "a photo of an aquarium fish"
    captions = class_captions("ship")
    assert captions[0] == "a photo of a ship"
    assert len(set(captions)) == len(captions) > 4
    assert all("a ship" in caption for caption in captions)


def test_a_folder_with_captions_is_read(tmp_path):
    rows = [
        {"file_name": f"in/{i}.png", "text": ["a red bus", "a dog"][i % 2], "shade": i} for i in range(20)
    ]
    folder = write_folder(tmp_path / "pictures", rows)
    assert has_metadata(str(folder))
    data = open_captioned(folder)
    assert data.classes == ("a red bus", "a dog")
    assert data.count("train") + data.count("val") + data.count("test") == 20
    for split in ("train", "val", "test"):
        images = data.images(split)
        # Shade i has caption i % 2: every picture kept its own.
        assert [int(image[0, 0, 0]) % 2 for image in images.images] == images.labels.tolist()


def test_another_column_may_hold_the_captions(tmp_path):
    rows = [{"file_name": f"{i}.png", "prompt": "a tree"} for i in range(4)]
    assert open_captioned(write_folder(tmp_path / "p", rows), "prompt").classes == ("a tree",)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("{broken", NasError, "line 2 is no JSON object"),
        ('["a"]', UsageError, "line 2 has no text 'file_name'"),
        ('{"file_name": "0.png"}', UsageError, "line 2 has no text 'text'"),
        ('{"file_name": "../0.png", "text": "a"}', UsageError, "outside its folder"),
        ('{"file_name": "/0.png", "text": "a"}', UsageError, "outside its folder"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, kind, words):
    folder = write_folder(tmp_path / "p", [{"file_name": "0.png", "text": "a"}] * 3)
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    (folder / "metadata.jsonl").write_text("\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(kind, match=words):
        open_captioned(folder)


def test_too_few_lines_and_missing_pictures_are_refused(tmp_path):
    folder = write_folder(tmp_path / "p", [{"file_name": f"{i}.png", "text": "a"} for i in range(5)])
    (folder / "1.png").unlink()
    data = open_captioned(folder)
    with pytest.raises(NasError, match=r"1\.png cannot be read"):
        [data.images(split) for split in ("train", "val", "test")]
    write_folder(tmp_path / "q", [{"file_name": "0.png", "text": "a"}])
    with pytest.raises(NasError, match="at least 3"):
        open_captioned(tmp_path / "q")


def test_what_is_saved_names_data_without_their_place(tmp_path):
    assert plain_name(str(tmp_path / "cifar10")) == "cifar10"
    assert plain_name("torchvision:CIFAR10") == "torchvision:CIFAR10"
