"""Which published models are worth a measurement next."""

from __future__ import annotations

import numpy as np
import psutil

from nas.zoo.forecast import Forecast

_LARGE = 200_000_000  # parameters beyond which a model is tried only where it may well be within the budget
_REACH = 1.5  # times the budget
_WINDOW = 8.0, 3.0  # what is measured takes at least this fraction of the budget, and at most this multiple
_COPIES = 6  # a model is held this often in memory while it is written and opened
_WORTH = 0.05  # points of expected gain that are worth a measurement


def measurable(forecast: Forecast, limit_ms: float) -> np.ndarray:
    """Return whether each model (n,) is sane to measure for a budget: not known to fail, and not too large."""
    params = np.array([model.params for model in forecast.models])
    fits = 4 * _COPIES * params <= psutil.virtual_memory().available
    return forecast.usable & fits & ((params <= _LARGE) | (forecast.ms <= _REACH * limit_ms))


def expected_gain(forecast: Forecast, limit_ms: float) -> np.ndarray:
    """Return by how many points each unmeasured model (n,) is expected to better the best measured one.

    It is the probability that the model is within the budget times what it would gain (Gardner et al. 2014).
    """
    from scipy.special import ndtr

    inside = forecast.measured_ms <= limit_ms
    known = float(forecast.quality[inside].max()) if inside.any() else float(forecast.quality.min()) - 1.0
    margin = np.log(limit_ms / forecast.predicted_ms) / forecast.spread
    gain = ndtr(margin) * np.maximum(forecast.quality - known, 0.0)
    return np.where(np.isnan(forecast.measured_ms), gain, 0.0)


def next_samples(forecast: Forecast, limit_ms: float, count: int) -> list[int]:
    """Return models that teach the predictor most: half by what they may gain, half unlike all that were measured.

    Near the budget models count more, and far from it none is taken, but for the quickest while none is within it.
    """
    open_ = measurable(forecast, limit_ms) & np.isnan(forecast.measured_ms)
    gain = np.where(open_, expected_gain(forecast, limit_ms), 0.0)
    chosen = [int(index) for index in np.argsort(-gain, kind="stable")[: count // 2] if gain[index] > 0]
    low, high = limit_ms / _WINDOW[0], limit_ms * _WINDOW[1]
    window = open_ & (forecast.ms >= low) & (forecast.ms <= high)
    nearness = np.exp(-0.5 * np.abs(np.log(forecast.ms / limit_ms)))
    taken = [*np.flatnonzero(~np.isnan(forecast.measured_ms)).tolist(), *chosen]
    while len(chosen) < count:
        left = window & ~np.isin(np.arange(len(window)), chosen)
        if not left.any():
            break
        distance = np.ones(len(window))
        if taken:
            differences = forecast.features[:, None, :] - forecast.features[None, taken, :]
            distance = np.sqrt((differences**2).sum(2)).min(1)
        index = int(np.where(left, distance * nearness, -1.0).argmax())
        chosen.append(index)
        taken.append(index)
    return chosen


def quickest(forecast: Forecast, limit_ms: float) -> list[int]:
    """Return what is expected to be the quickest model, unmeasured so far, where not much is within the budget."""
    left = measurable(forecast, limit_ms)
    index = int(np.where(left, forecast.ms, np.inf).argmin())
    is_known = not np.isnan(forecast.measured_ms[index])
    return [] if is_known or not left.any() or forecast.ms[index] < 0.3 * limit_ms else [index]


def next_finalists(forecast: Forecast, limit_ms: float, finalists: int, count: int) -> list[int]:
    """Return the models to measure before the answer: those of the best that are not yet, then likely surprises."""
    best = [index for index in forecast.best(limit_ms, finalists) if np.isnan(forecast.measured_ms[index])]
    gain = np.where(measurable(forecast, limit_ms), expected_gain(forecast, limit_ms), 0.0)
    hopeful = [index for index in np.argsort(-gain, kind="stable").tolist() if gain[index] > _WORTH]
    sane = measurable(forecast, limit_ms)
    return [index for index in dict.fromkeys([*best, *hopeful]) if sane[index]][:count]


__all__ = ["expected_gain", "measurable", "next_finalists", "next_samples", "quickest"]
