"""The measured table goes through CSV unchanged, and a damaged one costs a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.errors import NasError
from nas.models import MeasuredTable, Quality
from nas.space import SearchSpace
from tests.space.spaces import NESTED

TOP1 = Quality("top1", "top-1", "%", bounds=(0, 100))


def _table(count: int = 8) -> MeasuredTable:
    rng = np.random.default_rng(0)
    split = tuple("fit" if i % 3 else "held-out" for i in range(count))
    top1 = np.round(rng.uniform(0, 100, count), 2)
    macs, params = (rng.integers(1, 10**12, count) for _ in range(2))
    return MeasuredTable(NESTED, NESTED.sample_codes(rng, count), {"top1": top1}, split, macs, params)


@pytest.mark.parametrize("count", [0, 1, 8])
def test_a_table_goes_through_a_file_unchanged(tmp_path: Path, count: int) -> None:
    table = _table(count)
    table.write(tmp_path / "subnets.csv")
    back = MeasuredTable.read(tmp_path / "subnets.csv", NESTED, [TOP1])
    assert len(back) == count
    assert back.split == table.split
    assert [*back.values] == ["top1"]
    pairs = {name: (getattr(back, name), getattr(table, name)) for name in ("codes", "macs", "params")}
    pairs["top1"] = back.values["top1"], table.values["top1"]
    for name, (given, expected) in pairs.items():
        assert np.array_equal(given, expected), name
        assert given.dtype == expected.dtype
    assert back.to_csv() == table.to_csv()


def test_the_file_is_readable() -> None:
    row = NESTED.codes([NESTED.smallest()])
    table = MeasuredTable(
        NESTED,
        row,
        {"top1": np.array([91.2]), "kid": np.array([0.5])},
        ("fit",),
        np.array([1000]),
        np.array([20]),
    )
    assert table.to_csv() == (
        "resolution,depth,block1.kernel,block2.kernel,block3.kernel,block3.taps,top1,kid,split,macs,params\n"
        "24,1,3,,,,91.2,0.5,fit,1000,20\n"
    )


def test_rows_of_a_split() -> None:
    table = _table()
    fit, held_out = table.rows("fit"), table.rows("held-out")
    assert len(fit) == 5
    assert len(held_out) == 3
    assert set(fit.split) == {"fit"}
    assert np.array_equal(held_out.values["top1"], table.values["top1"][::3])
    assert np.array_equal(held_out.codes, table.codes[::3])
    assert len(table.rows("nothing")) == 0


def _edit(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


GOOD = "32,3,3,3,5,few,91.20,fit,1000,20"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text: "", "the columns are not the dimensions"),
        (_edit("depth", "deep"), "the columns are not the dimensions"),
        (_edit(",params", ""), "the columns are not the dimensions"),
        (_edit(GOOD, GOOD[:-3]), "a row has 9 columns, not 10"),
        (_edit(GOOD, GOOD + ",1"), "a row has 11 columns, not 10"),
        (_edit(GOOD, GOOD[:7]), "a row has 4 columns, not 10"),
        (_edit("32,3", "33,3"), "resolution is '33', not one of 24, 32"),
        (_edit("32,3", ",3"), "resolution is active but has no choice"),
        (_edit("91.20", "good"), "could not convert string to float"),
        (_edit("91.20", ""), "could not convert string to float"),
        (_edit("91.20", "nan"), "a top1 is no number between 0 and 100"),
        (_edit("91.20", "912"), "a top1 is no number between 0 and 100"),
        (_edit("fit", "test"), "a split is 'test', not one of fit, held-out"),
        (_edit("1000", "1e3"), "invalid literal for int"),
        (_edit("1000", "9" * 40), "too large"),
        (_edit("few", "x" * 200_000), "field larger than field limit"),
        (lambda text: text[: len(text) // 2], "columns"),
    ],
)
def test_a_damaged_table_costs_one_sentence(
    tmp_path: Path, damage: Callable[[str], str], sentence: str
) -> None:
    path = tmp_path / "subnets.csv"
    text = ",".join([*NESTED.names, "top1", "split", "macs", "params"]) + f"\n{GOOD}\n"
    path.write_text(text)
    assert len(MeasuredTable.read(path, NESTED, [TOP1])) == 1
    path.write_text(damage(text))
    with pytest.raises(NasError, match=sentence) as error:
        MeasuredTable.read(path, NESTED, [TOP1])
    assert str(error.value).startswith(f"{path} is no complete table of nested: ")
    assert "measure it again" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\x80\xff\x00", b"\x00" * 100])
def test_a_binary_file_is_no_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "subnets.csv"
    path.write_bytes(content)
    with pytest.raises(NasError, match="is no complete table of nested"):
        MeasuredTable.read(path, NESTED, [TOP1])


def test_a_missing_file_and_a_table_of_another_space(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="No such file"):
        MeasuredTable.read(tmp_path / "nowhere.csv", NESTED, [TOP1])
    _table().write(tmp_path / "subnets.csv")
    other = SearchSpace("other", NESTED.dimensions[:3])
    with pytest.raises(NasError, match="is no complete table of other: the columns are not the dimensions"):
        MeasuredTable.read(tmp_path / "subnets.csv", other, [TOP1])
