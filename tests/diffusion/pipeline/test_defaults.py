"""A pipeline is sampled as it says, unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from diffusion.pipeline.sampling import defaults
from diffusion.pipeline.sampling.defaults import own_settings, remarks
from nas.errors import NasError, UsageError
from nas.files import write_json


def folder_with(path: Path, notes: object = None) -> Path:
    path.mkdir()
    write_json(path / "model_index.json", {})
    if notes is not None:
        write_json(path / "anyfit.json", notes)
    return path


def test_the_notes_decide_and_what_is_given_comes_first(tmp_path):
    own = folder_with(tmp_path / "own", {"guidance": 5.0, "space": {"steps": [4, 12]}})
    assert (own_settings(own).steps, own_settings(own).guidance) == (12, 5.0)
    found = own_settings(own, steps=3, guidance=None, negative="a cat")
    assert (found.steps, found.guidance, found.negative) == (3, 5.0, "a cat")
    bare = own_settings(folder_with(tmp_path / "bare"))
    assert (bare.steps, bare.guidance) == (25, 7.5)
    assert own_settings("tiny-sd-cifar10").guidance == 5.0


def test_an_artifact_says_it_in_its_subnet(tmp_path, monkeypatch):
    folder = folder_with(tmp_path / "artifact")
    options = {"steps": [4, 25], "guided": [0.0, 0.5, 1.0], "reuse": [2, 1], "scale": 3.0}
    write_json(folder / "manifest.json", {})
    monkeypatch.setattr(defaults, "read_manifest", lambda _: SimpleNamespace(options=options))
    for choices, wanted, remark in (
        ({}, (25, 3.0), ""),
        ({"steps": 4, "guided": 0.0}, (4, 1.0), ""),
        (
            {"guided": 0.5, "reuse": 2},
            (25, 3.0),
            "is guided in a part of its steps only and uses deep features again",
        ),
    ):
        write_json(folder / "subnet.json", {"choices": choices})
        found = own_settings(folder)
        assert (found.steps, found.guidance) == wanted
        assert remark in remarks(folder) and bool(remark) == bool(remarks(folder))
    write_json(folder / "subnet.json", {})
    with pytest.raises(NasError, match="does not say how it samples"):
        own_settings(folder)


@pytest.mark.parametrize("notes", [{"guidance": "much"}, {"space": {"steps": ["few"]}}, {"space": 3}])
def test_senseless_notes_are_told(tmp_path, notes):
    with pytest.raises(NasError, match="does not say how to sample"):
        own_settings(folder_with(tmp_path / "wrong", notes))


def test_a_pipeline_that_is_missing_is_told(tmp_path):
    with pytest.raises(UsageError, match="there is no pipeline"):
        own_settings(str(tmp_path / "nothing"))
