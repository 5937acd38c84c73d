"""Families by name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import nas.families.registry as _registry
from nas.errors import NasError, UsageError
from nas.families import families, get_family


def test_the_families_of_the_package_are_registered() -> None:
    assert {"mbv3-small-image", "ofa-mbv3", "ofa-proxyless", "ofa-resnet50"} <= set(families())
    assert families() == sorted(families())


@pytest.mark.parametrize("name", ["mbv3-small-image", "ofa-mbv3", "ofa-proxyless", "ofa-resnet50"])
def test_a_family_is_made_again_from_its_options(name: str) -> None:
    family = get_family(name, classes=3)
    twin = get_family(family.name, **family.options)
    assert family.name == name
    assert twin.space.digest == family.space.digest
    assert twin.options == family.options


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="there is no model family 'ofa-mbv2'; did you mean 'ofa-mbv3'"):
        get_family("ofa-mbv2")
    with pytest.raises(
        UsageError, match=r"there is no model family 'zzz'; the installed ones are .*mbv3-small-image"
    ):
        get_family("zzz")


@pytest.mark.parametrize("name", ["mbv3-small-image", "ofa-mbv3", "ofa-proxyless", "ofa-resnet50"])
@pytest.mark.parametrize("classes", ["many", 0, 2.5, None])
def test_classes_must_be_a_positive_number(name: str, classes: object) -> None:
    with pytest.raises(UsageError, match=f"classes is {classes!r}, but must be a whole number of at least 1"):
        get_family(name, classes=classes)


@pytest.mark.parametrize("options", [{"colour": "red"}, {"width": None}, {"width": "wide"}])
def test_wrong_options_cost_one_sentence(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="family 'mbv3-small-image' cannot be made with options") as error:
        get_family("mbv3-small-image", **options)
    assert "\n" not in str(error.value)


def test_a_family_whose_package_is_incomplete_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("broken", "nas_of_nowhere:family", _registry.GROUP)
    monkeypatch.setattr(_registry, "_found", lambda: {"broken": entry})
    with pytest.raises(
        NasError, match=r"family 'broken' cannot be imported \(No module named 'nas_of_nowhere'\)"
    ):
        get_family("broken")


def test_listing_models_and_families_imports_no_torch() -> None:
    code = (
        "import sys, nas; from nas import families, models; families.families(); models.available_models(); "
        "sys.exit(bool({'torch', 'optuna', 'timm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
