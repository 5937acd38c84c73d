"""What a search maximises: a quality predicted from the model's measured table, or measured as the search goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch

from nas.compress import extracted
from nas.data.dataset import Data
from nas.errors import UsageError
from nas.metrics.accuracy import fold_batch_norm
from nas.models import Evaluator, MeasuredTable, Model, Quality, chosen_quality
from nas.predict.surrogate import KINDS, Surrogate, errors
from nas.search.engine.engine import one_blas_thread
from nas.search.engine.problem import keys
from nas.space import plain_codes

VALIDATION_IMAGES, CALIBRATION_IMAGES = 5000, 512
_MOST_DB = 50.0  # nobody sees a difference above; equal images have 100


class Scorer(Protocol):
    """Scores subnets by a quality: the value where higher is better, its negative where lower is.

    `source` is "predicted" or "measured". A measured quality takes seconds a subnet and is asked one subnet at a time,
    a predicted one thousands at a time. `check` measures what is predicted, where that needs no data. `data` says on
    what a measured quality is judged, for readers; None where it is predicted.
    """

    quality: Quality

    @property
    def source(self) -> str: ...

    @property
    def data(self) -> str | None: ...

    @property
    def check(self) -> Scorer | None: ...

    @property
    def doubt(self) -> float:
        """How far a predicted score errs, about; 0 where it is measured."""
        ...

    @property
    def known(self) -> np.ndarray | None:
        """Codes (n, dimensions) of which a predicted score is a measured one, as a table has it; None for none."""
        ...

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Return the scores (n,) of codes (n, dimensions); higher is better."""
        ...


class Predictor:
    """A quality from a predictor fitted to the rows marked "fit" of a measured table, by default the model's."""

    source = "predicted"
    data = None

    def __init__(
        self, model: Model, quality: Quality, check: Scorer | None = None, table: MeasuredTable | None = None
    ) -> None:
        table = table or model.table()
        if table is None:
            raise UsageError(
                f"the model {model.name!r} has no table of measured subnets; give images with --data"
            )
        if quality.name not in table.values:
            raise UsageError(
                f"the table of {model.name!r} has no {quality.name}, only {', '.join(table.values)}; "
                "choose one of those, or measure the table again"
            )
        self.quality = quality
        self.check = check
        fit, self._held = table.rows("fit"), table.rows("held-out")
        self._model = model
        self.measured = len(fit)
        # What is measured on inputs of its own comes out the same again; on images of a user's it does not.
        is_kept = check is not None
        self.known = table.codes if is_kept else None
        self._known = measured_values(table, quality) if is_kept else {}
        with one_blas_thread():
            self._settings = _Settings.of(model, table, quality)
            values = self._linear(fit.values[quality.name])
            # Surrogates want positive values; distances may be zero, and unbiased ones negative.
            self._shift = max(0.0, 0.1 * float(np.ptp(values)) - float(values.min()))
            shifted = values + self._shift
            # Decibels add up as errors: on a table of them trees erred twice as much, after a second of fitting.
            kinds = ("ridge", "pairs") if quality.unit == "dB" else KINDS
            base = self._base(fit.codes)
            self._surrogate = Surrogate.fit(model.space, fit.codes, shifted, base=base, kinds=kinds)

    def _linear(self, values: np.ndarray) -> np.ndarray:
        """Return what is fitted of values (n,): what effects add up in; decibels as they are beside their settings'."""
        if self._settings is None or self.quality.unit != "dB":
            return self.quality.to_additive(values)
        return np.minimum(values, _MOST_DB)

    def _base(self, codes: np.ndarray) -> np.ndarray:
        counts = self._model.supernet.counts(codes)
        base = np.log(np.column_stack([counts["macs"], counts["params"]]))
        return base if self._settings is None else np.column_stack([base, self._settings.features(codes)])

    @property
    def doubt(self) -> float:
        """The mean error on the table's rows that the predictor was not fitted to; 0 where there are none."""
        held = self._held
        return (
            float(np.abs(self.predicted(held.codes) - held.values[self.quality.name]).mean())
            if len(held)
            else 0.0
        )

    def predicted(self, codes: np.ndarray) -> np.ndarray:
        """Return the predicted values (n,) of codes (n, dimensions), whatever the table knows of them."""
        linear = self._surrogate.predict(codes, base=self._base(codes)) - self._shift
        is_plain = self._settings is None or self.quality.unit != "dB"
        return self.quality.from_additive(linear) if is_plain else linear

    def values(self, codes: np.ndarray) -> np.ndarray:
        """Return the values (n,) of codes (n, dimensions): those in the table, and predicted ones."""
        known = np.array([self._known.get(key, np.nan) for key in keys(codes)])
        return np.where(np.isnan(known), self.predicted(codes), known)

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Return the predicted scores (n,) of codes (n, dimensions)."""
        return self.quality.sign * self.values(codes)


def measured_values(table: MeasuredTable, quality: Quality) -> dict[bytes, float]:
    """Return the values of a quality in a table by the key of the codes."""
    return dict(zip(keys(table.codes), table.values[quality.name].tolist(), strict=True))


class _Settings:
    """What the largest network is worth with each setting of what touches no weight, such as the number of steps.

    A smaller network's error comes to that, so it says much of what the smaller network is worth.
    """

    def __init__(self, columns: list[int], values: dict[bytes, float], quality: Quality) -> None:
        self._columns, self._values, self._quality = columns, values, quality

    @classmethod
    def of(cls, model: Model, table: MeasuredTable, quality: Quality) -> _Settings | None:
        """Read it from a table; None where a setting is missing, and for models that have none."""
        space, names = model.space, model.family.pass_dimensions
        plain = plain_codes(space, names)
        if plain is None:
            return None
        measured = measured_values(table, quality)
        if any(key not in measured for key in keys(plain)):
            return None
        columns = [space.names.index(name) for name in names]
        values = zip(keys(plain[:, columns]), (measured[key] for key in keys(plain)), strict=True)
        return cls(columns, dict(values), quality)

    def features(self, codes: np.ndarray) -> np.ndarray:
        """Return what a predictor is told of the settings of codes (n, dimensions): (n, 1 or 2)."""
        values = np.array([self._values[key] for key in keys(codes[:, self._columns])])
        if self._quality.unit != "dB":
            return values[:, None]
        return np.column_stack([np.minimum(values, _MOST_DB), self._quality.to_additive(values)])


def predictor_errors(model: Model, quality: Quality) -> dict[str, float]:
    """Return the errors of the quality's predictor on the rows of the model's table that it was not fitted to."""
    table = model.table()
    if table is None:
        raise UsageError(
            f"the model {model.name!r} has no table of measured subnets; make one with `nas measure`"
        )
    held = table.rows("held-out")
    return errors(Predictor(model, quality).predicted(held.codes), held.values[quality.name])


class Measurer:
    """A quality of extracted subnets, by an evaluator; what was `measured` before, by codes' keys, is not again."""

    source = "measured"
    check = None
    doubt = 0.0
    known = None

    def __init__(
        self, model: Model, evaluator: Evaluator, measured: Mapping[bytes, float] | None = None
    ) -> None:
        self._measured = measured or {}
        self.quality = evaluator.quality
        self.data = evaluator.data
        self._model = model
        self._evaluator = evaluator
        self._prepared = False
        images = evaluator.calibration
        # Every subnet is recalibrated: a spread of them does, and takes a quarter of the time.
        self._calibration = None if images is None else images[:: max(1, len(images) // CALIBRATION_IMAGES)]

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Do what every measurement needs in another thread, for the time of a block; once."""
        if self._prepared:
            yield
            return
        self._prepared, threads = True, torch.get_num_threads()
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
            rest = pool.submit(self._evaluator.prepare(self._model))
            yield
            rest.result()

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Return the measured scores (n,) of codes (n, dimensions)."""
        scores = []
        for row, key in zip(codes, keys(codes), strict=True):
            if key in self._measured:
                scores.append(self.quality.sign * self._measured[key])
                continue
            subnet = self._model.space.from_codes(row)
            module = extracted(self._model, subnet, self._calibration)
            fold_batch_norm(module)
            scores.append(self.quality.sign * self._evaluator(self._model, module, subnet))
        return np.array(scores)


def load_scorer(model: Model, data: Data | None = None, quality: str | None = None) -> Scorer:
    """Return what scores by a quality of the model's task (by default its first): measured on `data`, or predicted.

    Without data the model's table says, checked by a measurement where that needs no data; where the table lacks the
    quality, it is measured, or another that needs no data. Raises `UsageError` when none of these is possible.
    """
    kind, table = chosen_quality(model, quality, data is not None), model.table()
    if data is None and model.task.needs_data(kind):
        return Predictor(model, kind)
    evaluator = model.task.evaluator(model, kind, data, limit=VALIDATION_IMAGES)
    if data is None and table is not None and kind.name in table.values:
        return Predictor(model, kind, Measurer(model, evaluator, measured_values(table, kind)))
    return Measurer(model, evaluator)
