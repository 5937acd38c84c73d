"""The search space: its size, its canonical form, and every way to make a subnet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.space import INACTIVE, Dimension, SearchSpace, SpaceError
from tests.space.spaces import NESTED, enumerate_space, search_spaces

SEEDS = st.integers(0, 2**32 - 1)
SOME = settings(max_examples=60)


@SOME
@given(space=search_spaces())
def test_size_is_the_number_of_different_subnets(space: SearchSpace) -> None:
    assert space.size == len(enumerate_space(space))


def test_size_of_conditions_that_hang_on_conditions() -> None:
    # depth 1: 2 kernels; 2: 2 × 2; 3: 2 × 2 × (kernel 3, or kernel 5 with two taps); two resolutions.
    assert NESTED.size == 2 * (2 + 4 + 4 * 3)


def test_size_is_exact_where_floats_are_not() -> None:
    space = SearchSpace("wide", [Dimension(f"d{i}", tuple(range(7))) for i in range(40)])
    assert space.size == 7**40


def test_dimensions_of_one_stage_with_equal_choices_are_one_kind() -> None:
    names = ("stage1.block1.kernel", "stage1.block2.kernel", "stage2.block1.kernel", "depth")
    space = SearchSpace(
        "s", [*(Dimension(name, (3, 5)) for name in names), Dimension("stage1.block3.kernel", (3,))]
    )
    found = [(name, [each.name for each in members]) for name, members in space.grouped()]
    assert found == [
        ("stage1.*.kernel", [*names[:2]]),
        (names[2], [names[2]]),
        ("depth", ["depth"]),
        ("stage1.block3.kernel", ["stage1.block3.kernel"]),
    ]


def test_choices_of_inactive_dimensions_are_dropped() -> None:
    full = {name: NESTED[name].choices[-1] for name in NESTED.names}
    shallow = NESTED.subnet(full | {"depth": 1})
    assert list(shallow) == ["resolution", "depth", "block1.kernel"]
    assert shallow == NESTED.subnet({"resolution": 32, "depth": 1, "block1.kernel": 5})
    assert "block3.taps" not in NESTED.subnet(full | {"block3.kernel": 3})
    assert NESTED.subnet(full)["block3.taps"] == "many"


def test_order_of_the_given_choices_does_not_matter() -> None:
    choices = dict(NESTED.largest())
    assert list(NESTED.subnet(dict(reversed(choices.items())))) == list(choices)


def test_largest_and_smallest_take_the_last_and_first_choices() -> None:
    assert dict(NESTED.smallest()) == {"resolution": 24, "depth": 1, "block1.kernel": 3}
    assert dict(NESTED.largest()) == {n: NESTED[n].choices[-1] for n in NESTED.names}


@SOME
@given(space=search_spaces(), seed=SEEDS)
def test_samples_are_canonical_members(space: SearchSpace, seed: int) -> None:
    members = enumerate_space(space)
    codes = space.sample_codes(np.random.default_rng(seed), 20)
    assert codes.dtype == np.int16
    assert codes.shape == (20, len(space.dimensions))
    assert np.array_equal(space.canonical_codes(codes), codes)
    assert {space.from_codes(row) for row in codes} <= members


def test_every_active_choice_is_drawn_uniformly() -> None:
    codes = NESTED.sample_codes(np.random.default_rng(0), 6000)
    for column, dimension in enumerate(NESTED.dimensions):
        drawn = codes[codes[:, column] != INACTIVE, column]
        shares = np.bincount(drawn, minlength=len(dimension.choices)) / len(drawn)
        assert np.abs(shares - 1 / len(dimension.choices)).max() < 0.05


@SOME
@given(space=search_spaces(), seed=SEEDS, rate=st.floats(0, 1))
def test_mutation_stays_inside_and_always_changes_something(
    space: SearchSpace, seed: int, rate: float
) -> None:
    rng = np.random.default_rng(seed)
    codes = space.sample_codes(rng, 20)
    before = codes.copy()
    mutants = space.mutate_codes(codes, rng, rate)
    assert np.array_equal(codes, before)
    assert np.array_equal(space.canonical_codes(mutants), mutants)
    for parent, mutant in zip(codes, mutants, strict=True):
        movable = any(p >= 0 and len(d.choices) > 1 for p, d in zip(parent, space.dimensions, strict=True))
        assert (not np.array_equal(parent, mutant)) == movable


def test_mutation_without_a_rate_changes_one_choice_and_reaches_every_neighbour() -> None:
    rng, largest = np.random.default_rng(0), NESTED.largest()
    mutants = {NESTED.mutate(largest, rng, rate=0.0) for _ in range(300)}
    for mutant in mutants:
        assert sum(mutant[name] != largest[name] for name in mutant) == 1
    assert {name for mutant in mutants for name in mutant if mutant[name] != largest[name]} == set(
        NESTED.names
    )


def test_mutation_with_full_rate_can_reach_the_whole_space() -> None:
    rng, found = np.random.default_rng(0), {NESTED.smallest()}
    rows = np.repeat(NESTED.codes([NESTED.smallest()]), 3000, axis=0)
    found |= {NESTED.from_codes(row) for row in NESTED.mutate_codes(rows, rng, rate=1.0)}
    assert found == enumerate_space(NESTED)


@SOME
@given(space=search_spaces(), seed=SEEDS)
def test_crossover_takes_each_choice_from_a_parent(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = space.sample_codes(rng, 20), space.sample_codes(rng, 20)
    child = space.crossover_codes(first, second, rng)
    assert np.array_equal(space.canonical_codes(child), child)
    inherited = (child == first) | (child == second)
    neither = (first == INACTIVE) & (second == INACTIVE)
    assert (inherited | neither | (child == INACTIVE)).all()


def test_crossover_mixes_both_parents() -> None:
    rng, small, large = np.random.default_rng(0), NESTED.smallest(), NESTED.largest()
    children = [NESTED.crossover(small, large, rng) for _ in range(100)]
    assert {child["resolution"] for child in children} == {24, 32}
    assert {child["depth"] for child in children} == {1, 3}
    assert NESTED.crossover(large, large, rng) == large


def test_the_same_seed_draws_the_same() -> None:
    first, second = (NESTED.sample_codes(np.random.default_rng(5), 50) for _ in range(2))
    assert np.array_equal(first, second)
    mutants = [NESTED.mutate_codes(first, np.random.default_rng(5), 0.3) for _ in range(2)]
    assert np.array_equal(mutants[0], mutants[1])


@pytest.mark.parametrize("name", ["resolution", "block3.taps"])
def test_membership_and_lookup_by_name(name: str) -> None:
    assert name in NESTED
    assert NESTED[name].name == name
    assert "block4.kernel" not in NESTED


def test_repr_names_the_space_and_its_size() -> None:
    assert repr(NESTED) == "SearchSpace('nested', 6 dimensions, 36 subnets)"


def test_digest_tells_definitions_apart() -> None:
    dimensions = list(NESTED.dimensions)
    others = [
        SearchSpace("other", dimensions),
        SearchSpace("nested", dimensions, version=2),
        SearchSpace("nested", dimensions[:-1]),
        SearchSpace("nested", [Dimension("resolution", (24, 28)), *dimensions[1:]]),
        SearchSpace("nested", [Dimension("resolution", (32, 24)), *dimensions[1:]]),
        SearchSpace("nested", [*dimensions[:-1], Dimension("block3.taps", ("few", "many"))]),
    ]
    assert len({NESTED.digest, *(space.digest for space in others)}) == 7
    assert SearchSpace("nested", dimensions).digest == NESTED.digest


def test_digest_is_stable() -> None:
    """Files on users' disks carry it: another value refuses every profile, table, run and model written before."""
    assert NESTED.digest == "ff5dd4f828b8619f"


@pytest.mark.parametrize(
    ("dimensions", "sentence"),
    [
        ([("a", (1,)), ("a", (2,))], "two dimensions of one name"),
        (
            [("a", (1, 2), ("b", (1,))), ("b", (1, 2))],
            "a depends on 'b', which must be a dimension before it",
        ),
        ([("a", (1, 2), ("a", (1,)))], "a depends on 'a', which must be a dimension before it"),
        ([("a", (1, 2), ("nowhere", (1,)))], "a depends on 'nowhere'"),
        ([("a", (1, 2)), ("b", (1, 2), ("a", (3,)))], "a is 3, but must be one of 1, 2"),
    ],
)
def test_a_wrong_definition_is_refused(dimensions: list[tuple], sentence: str) -> None:
    with pytest.raises(SpaceError, match=sentence):
        SearchSpace("wrong", [Dimension(*dimension) for dimension in dimensions])


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ((), "give at least one, all different"),
        ((1, 1), "give at least one, all different"),
        ((1, 2.0), "give choices of one type"),
        ((1, True), "give at least one, all different"),
        ((0.5, "half"), "give choices of one type"),
    ],
)
def test_wrong_choices_of_a_dimension_are_refused(choices: tuple, sentence: str) -> None:
    with pytest.raises(SpaceError, match=f"^dimension 'd' .*{sentence}"):
        Dimension("d", choices)


def test_a_dimension_is_frozen() -> None:
    with pytest.raises(AttributeError):
        NESTED["depth"].choices = (1,)  # pyright: ignore[reportAttributeAccessIssue]
