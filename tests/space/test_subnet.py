"""A subnet: immutable, hashable, written as versioned JSON; every wrong one costs one sentence."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from nas.errors import NasError, UsageError
from nas.space import Dimension, SearchSpace, SpaceError, Subnet
from tests.space.spaces import NESTED, enumerate_space

OTHER = SearchSpace("other", NESTED.dimensions)


def test_a_subnet_is_a_mapping_in_the_order_of_the_space() -> None:
    subnet = NESTED.largest()
    assert isinstance(subnet, Subnet)
    assert list(subnet) == list(NESTED.names)
    assert subnet["depth"] == 3
    assert subnet.get("nowhere", 7) == 7
    assert "depth" in subnet
    assert "nowhere" not in subnet
    assert len(subnet) == 6
    assert subnet.space == "nested"
    assert repr(NESTED.smallest()) == "Subnet(nested: resolution=24, depth=1, block1.kernel=3)"


def test_equal_choices_are_one_subnet() -> None:
    subnet = NESTED.largest()
    twin = NESTED.subnet(dict(subnet))
    assert subnet == twin
    assert hash(subnet) == hash(twin)
    assert len({subnet, twin, NESTED.smallest()}) == 2
    assert subnet != NESTED.smallest()
    assert subnet != dict(subnet)
    assert subnet != OTHER.largest()


def test_a_subnet_cannot_be_changed() -> None:
    subnet = NESTED.largest()
    for name in ("space", "digest", "_choices", "new"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(subnet, name, "x")
        with pytest.raises(AttributeError, match="cannot be changed"):
            delattr(subnet, name)
    with pytest.raises(TypeError):
        subnet["depth"] = 1  # pyright: ignore[reportIndexIssue]
    assert subnet == NESTED.largest()


def test_a_subnet_does_not_follow_the_mapping_it_was_made_from() -> None:
    choices = dict(NESTED.largest())
    subnet = NESTED.subnet(choices)
    choices["depth"] = 1
    subnet.to_dict()["choices"]["depth"] = 1
    NESTED.params(subnet)["depth"] = 1
    assert subnet["depth"] == 3


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_are_equal(clone: Any) -> None:
    """Workers get subnets through pipes, which pickle them; files never hold pickles."""
    subnet = NESTED.largest()
    assert clone(subnet) == subnet
    assert hash(clone(subnet)) == hash(subnet)


def test_json_gives_every_subnet_back_with_its_types() -> None:
    space = SearchSpace(
        "types",
        [
            Dimension("flag", (False, True)),
            Dimension("count", (0, 1)),
            Dimension("ratio", (0.0, 1.0)),
            Dimension("word", ("0", "ß")),
        ],
    )
    for subnet in enumerate_space(space):
        back = space.from_json(subnet.to_json())
        assert back == subnet
        assert [type(choice) for choice in back.values()] == [bool, int, float, str]


def test_json_names_format_space_and_digest() -> None:
    assert json.loads(NESTED.smallest().to_json()) == {
        "format": "anyfit-subnet",
        "version": 1,
        "space": "nested",
        "digest": NESTED.digest,
        "choices": {"resolution": 24, "depth": 1, "block1.kernel": 3},
    }


def test_a_file_is_read_and_errors_name_it(tmp_path: Path) -> None:
    path = tmp_path / "subnet.json"
    path.write_text(NESTED.largest().to_json(), encoding="utf-8")
    assert NESTED.read(path) == NESTED.largest()
    with pytest.raises(SpaceError, match=r"subnet\.json: the subnet belongs to search space 'nested'"):
        OTHER.read(path)
    path.write_text(NESTED.largest().to_json()[:-20], encoding="utf-8")
    with pytest.raises(NasError, match=r"subnet\.json is not complete JSON"):
        NESTED.read(path)
    with pytest.raises(NasError, match=r"nowhere\.json does not exist"):
        NESTED.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": "else"}, 'the value is no subnet: an object with "format": "anyfit-subnet"'),
        ({"choices": [1]}, "the value is no subnet"),
        ({"version": 2}, "format version 2, but 1 is expected"),
        ({"digest": "0"}, r"belongs to search space 'nested' \(0\), but 'nested' \(\w+\) is expected"),
        ({"choices": {"resolution": 24}}, r"depth is missing; it must be one of \[1, 2, 3\]"),
        ({"choices": {"resolution": 24, "depth": 9}}, "depth is 9, but must be one of 1, 2, 3"),
    ],
)
def test_a_wrong_object_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpaceError, match=sentence):
        NESTED.from_dict(NESTED.smallest().to_dict() | changes)


@pytest.mark.parametrize("value", [None, [], "subnet", 3, {}])
def test_something_else_than_an_object_is_refused(value: object) -> None:
    with pytest.raises(SpaceError, match="the value is no subnet"):
        NESTED.from_dict(value)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(SpaceError, match="the subnet is not complete JSON"):
        NESTED.from_json("{")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"depht": 1}, "'depht' is no dimension of nested; did you mean 'depth'"),
        ({"colour": 1}, "'colour' is no dimension of nested; its dimensions are resolution, depth"),
        ({"depth": 9}, "depth is 9, but must be one of 1, 2, 3; choose one of these"),
        ({"depth": True}, "depth is True, but must be one of 1, 2, 3"),
        ({"depth": 1.0}, r"depth is 1\.0, but must be one of 1, 2, 3"),
        ({"depth": "1"}, "depth is '1', but must be one of 1, 2, 3"),
        ({"depth": None}, "depth is None, but must be one of 1, 2, 3"),
        ({"depth": [1]}, r"depth is \[1\], but must be one of 1, 2, 3"),
        # Illegal even where it would be dropped: a typo must not pass silently.
        ({"depth": 1, "block3.kernel": 4}, r"block3\.kernel is 4, but must be one of 3, 5"),
    ],
)
def test_an_illegal_choice_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpaceError, match=sentence) as error:
        NESTED.subnet({**NESTED.largest(), **changes})
    assert "\n" not in str(error.value)
    assert error.value.exit_code == UsageError.exit_code == 2


def test_a_missing_choice_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"block2\.kernel is missing; it must be one of \[3, 5\]"):
        NESTED.subnet({"resolution": 24, "depth": 2, "block1.kernel": 3})


def test_a_subnet_of_another_space_is_refused() -> None:
    with pytest.raises(
        SpaceError, match=r"the subnet belongs to search space 'other' .* but 'nested' .* is expected"
    ):
        NESTED.validate(OTHER.largest())
    with pytest.raises(SpaceError, match="use the model it was made for"):
        NESTED.codes([OTHER.largest()])
    NESTED.validate(NESTED.largest())
