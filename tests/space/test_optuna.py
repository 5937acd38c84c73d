"""The bridge to Optuna: the same parameters, active dimensions only."""

from __future__ import annotations

import optuna
import pytest

from nas.space import Subnet
from tests.space.spaces import NESTED, enumerate_space


@pytest.fixture
def study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def test_suggest_gives_canonical_subnets_and_asks_for_active_dimensions_only(study: optuna.Study) -> None:
    found: set[Subnet] = set()
    for _ in range(600):
        trial = study.ask()
        subnet = NESTED.suggest(trial)
        assert subnet == NESTED.subnet(subnet)
        assert trial.params == NESTED.params(subnet) == dict(subnet)
        assert list(trial.params) == list(subnet)
        assert hash(subnet) == hash(NESTED.subnet(subnet))
        found.add(subnet)
    assert found == enumerate_space(NESTED)


def test_a_subnet_can_be_enqueued(study: optuna.Study) -> None:
    for subnet in (NESTED.smallest(), NESTED.largest()):
        study.enqueue_trial(NESTED.params(subnet))
        assert NESTED.suggest(study.ask()) == subnet


def test_a_finished_trial_can_be_added_without_asking(study: optuna.Study) -> None:
    distributions = NESTED.distributions()
    assert list(distributions) == list(NESTED.names)
    subnet = NESTED.subnet({"resolution": 32, "depth": 1, "block1.kernel": 5})
    params = NESTED.params(subnet)
    own: dict[str, optuna.distributions.BaseDistribution] = {name: distributions[name] for name in params}
    study.add_trial(optuna.trial.create_trial(params=params, distributions=own, value=1.0))
    assert NESTED.subnet(study.trials[0].params) == subnet
    trial = study.ask()
    NESTED.suggest(trial)  # the distributions must be compatible with those that suggest makes
    study.tell(trial, 2.0)
    assert study.best_value == 1.0
