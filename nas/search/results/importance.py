"""How much each dimension decides of the quality among evaluated subnets, by Optuna's PED-ANOVA."""

from __future__ import annotations

import warnings

import numpy as np

from nas.search.results.candidates import Candidates

MOST = 2000
"""Candidates that are looked at; of more an even share is taken."""
_FEWEST = 8


def importances(candidates: Candidates, mask: np.ndarray | None = None) -> dict[str, float]:
    """Return the share of each dimension, largest first, all together 1; nothing for fewer than eight candidates.

    A dimension that is not active in a candidate counts as a choice of its own. PED-ANOVA (Watanabe et al. 2023) asks
    which choices tell the better candidates from the others.
    """
    import optuna
    from optuna.distributions import CategoricalDistribution
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    rows = np.arange(len(candidates)) if mask is None else np.flatnonzero(mask)
    rows = rows[:: max(1, -(-len(rows) // MOST))]
    varied = [
        place
        for place in range(candidates.codes.shape[1])
        if len(np.unique(candidates.codes[rows, place])) > 1
    ]
    if len(rows) < _FEWEST or not varied or np.ptp(candidates.score[rows]) == 0:
        return {}
    names = [*candidates.dimensions]
    kinds = {
        names[place]: CategoricalDistribution(
            [str(code) for code in np.unique(candidates.codes[rows, place])]
        )
        for place in varied
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(direction="maximize")
            study.add_trials(
                [
                    optuna.trial.create_trial(
                        params={names[place]: str(candidates.codes[row, place]) for place in varied},
                        distributions=dict(kinds),
                        value=float(candidates.score[row]),
                    )
                    for row in rows
                ]
            )
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: float(share) for name, share in found.items() if np.isfinite(share)}
