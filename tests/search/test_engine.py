"""The inner loop: feasible, new, repeatable, and better than what it is compared with."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from nas.search.engine.engine import Engine
from nas.search.engine.once_for_all import OnceForAllEvolution
from nas.search.engine.problem import Problem, keys
from nas.space import SearchSpace
from tests.search.fakes import FakeTestbed, make_space
from tests.space.spaces import enumerate_space


def make_problem(
    space: SearchSpace, share: float = 0.4, *, predicted: bool = False, hint: bool = False
) -> Problem:
    """Return a problem whose limit lies at `share` of the way from the smallest to the largest subnet."""
    bed = FakeTestbed(space)

    def costs(codes: np.ndarray) -> np.ndarray:
        return bed.latency_ms(codes)[:, None]

    low, high = costs(space.codes([space.smallest(), space.largest()]))[:, 0]
    limits = np.array([low + share * (high - low)])
    truth = bed.scorer.score
    return Problem(
        space,
        ("latency_ms",),
        costs,
        limits,
        truth if predicted else None,
        (lambda codes: 0.7 * truth(codes)) if hint else None,
    )


def search(
    problem: Problem, count: int, proposer: Engine | OnceForAllEvolution, batch: int = 10
) -> np.ndarray:
    """Return the qualities of `count` evaluated subnets, minus infinity over the limit."""
    truth = FakeTestbed(problem.space).scorer.score
    codes, quality = np.empty((0, len(problem.space.dimensions)), dtype=np.int16), np.empty(0)
    while len(codes) < count:
        new = proposer.ask(batch, codes, quality)
        assert len(set(keys(new)) | set(keys(codes))) == len(new) + len(codes)
        codes, quality = np.concatenate([codes, new]), np.concatenate([quality, truth(new)])
    return np.where(problem.feasible(problem.costs(codes)), quality, -np.inf)


def optimum(problem: Problem) -> float:
    codes = problem.space.codes(list(enumerate_space(problem.space)))
    quality = FakeTestbed(problem.space).scorer.score(codes)
    return float(quality[problem.feasible(problem.costs(codes))].max())


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_prediction_leads_to_the_optimum_at_once(share: float) -> None:
    problem = make_problem(make_space(2, 2), share, predicted=True)
    quality = search(problem, 100, Engine(problem), batch=100)
    assert quality.max() == pytest.approx(optimum(problem))


@pytest.mark.parametrize("hint", [False, True])
def test_evaluations_lead_near_the_optimum(hint: bool) -> None:
    problem = make_problem(make_space(2, 2), hint=hint)
    quality = search(problem, 60, Engine(problem, front=0.0))
    assert quality.max() >= optimum(problem) - 0.05


def test_every_proposal_for_one_objective_keeps_the_limit() -> None:
    problem = make_problem(make_space(3, 3), 0.15)
    assert np.isfinite(search(problem, 40, Engine(problem, front=0.0))).all()


def test_the_front_is_laid_out_from_smallest_to_largest() -> None:
    problem = make_problem(make_space(3, 3), 0.3, predicted=True)
    costs = problem.costs(Engine(problem).ask(200, problem.smallest()[:0], np.empty(0)))[:, 0]
    ends = problem.costs(np.concatenate([problem.smallest(), problem.largest()]))[:, 0]
    assert costs.min() < ends[0] * 1.2
    assert costs.max() > ends[1] * 0.9
    assert (costs <= problem.limits[0]).mean() > 0.4


def test_same_evaluations_and_seed_give_the_same_proposals() -> None:
    problem = make_problem(make_space(3, 3))
    first = Engine(problem, seed=3)
    known = first.ask(20, problem.smallest()[:0], np.empty(0))
    quality = FakeTestbed(problem.space).scorer.score(known)
    again = Engine(problem, seed=3).ask(10, known, quality)
    np.testing.assert_array_equal(first.ask(10, known, quality), again)
    assert keys(Engine(problem, seed=4).ask(10, known, quality)) != keys(again)


def test_a_small_space_is_exhausted_without_doubles() -> None:
    space = make_space(1, 1)
    problem = make_problem(space, 1.0)
    codes = Engine(problem).ask(50, problem.smallest()[:0], np.empty(0))
    assert len(set(keys(codes))) == len(codes) == space.size


def test_several_limits_hold_together() -> None:
    bed = FakeTestbed(make_space(3, 3))

    def costs(codes: np.ndarray) -> np.ndarray:
        deep = (codes >= 0).sum(axis=1).astype(float)
        return np.column_stack([bed.latency_ms(codes), deep])

    limits = np.array([25.0, 15.0])
    problem = Problem(bed.space, ("latency_ms", "macs"), costs, limits, bed.scorer.score)
    codes = Engine(problem, front=0.0).ask(60, problem.smallest()[:0], np.empty(0))
    kept = problem.feasible(costs(codes))
    assert kept.mean() > 0.7  # the rest is drawn at random for the picture
    random = bed.space.sample_codes(np.random.default_rng(0), 5000)
    assert (
        bed.scorer.score(codes[kept]).max() >= bed.scorer.score(random[problem.feasible(costs(random))]).max()
    )


def test_ours_beats_once_for_all_evolution_with_few_evaluations() -> None:
    problem = make_problem(make_space(3, 3), 0.3)
    ours = [search(problem, 60, Engine(problem, seed=seed, front=0.0), 20).max() for seed in range(3)]
    theirs = [search(problem, 60, OnceForAllEvolution(problem, seed=seed), 20).max() for seed in range(3)]
    assert np.mean(ours) > np.mean(theirs)


def test_the_largest_plain_codes_within_the_limits_come_first_and_once() -> None:
    problem = make_problem(make_space(2, 2), 0.5)
    largest = problem.largest()[0]
    plain = np.array([[*pair, *largest[2:]] for pair in product(range(2), range(3))], dtype=np.int16)
    price = {tuple(row[:2]): cost for row, cost in zip(plain, problem.costs(plain)[:, 0], strict=True)}
    problem = replace(problem, plain=plain, limits=np.array([price[1, 1]]))
    wanted = {pair for pair in price if price[pair] <= price[1, 1]}
    wanted = {a for a in wanted if not any(b != a and b[0] >= a[0] and b[1] >= a[1] for b in wanted)}
    engine, codes, told = Engine(problem), plain[:0], np.empty(0)
    for _ in range(4):
        new = engine.ask(5, codes, told)
        codes = np.concatenate([codes, new])
        told = np.concatenate([told, FakeTestbed(problem.space).scorer.score(new)])
    assert len({*keys(codes)}) == 20
    first = codes[: len(wanted)]
    assert (
        (1, 1) in wanted
        and {tuple(row[:2]) for row in first} == wanted
        and (first[:, 2:] == largest[2:]).all()
    )


@pytest.mark.parametrize("link", [None, lambda quality: -(10.0 ** (-quality / 20))])
def test_a_link_changes_what_is_learned_and_not_what_is_better(link) -> None:
    problem = replace(make_problem(make_space(2, 2), 0.4), link=link)
    assert search(problem, 60, Engine(problem)).max() >= 0.97 * optimum(problem)


def test_what_is_known_to_be_good_is_proposed_though_no_model_would() -> None:
    """A measured subnet that is much better than its neighbours is one that nothing else leads to."""
    problem = make_problem(make_space(4, 3), 0.5, predicted=True)
    within = problem.space.sample_codes(np.random.default_rng(0), 300)
    within = within[problem.feasible(problem.costs(within))]
    true, spike = problem.quality, keys(within[:1])[0]
    assert true is not None

    def quality(codes: np.ndarray) -> np.ndarray:
        return true(codes) + 1000.0 * np.array([key == spike for key in keys(codes)])

    problem = replace(problem, quality=quality)
    nothing = within[:0], np.empty(0)
    assert spike not in keys(Engine(problem).ask(50, *nothing))
    assert spike in keys(Engine(replace(problem, known=within)).ask(50, *nothing))
