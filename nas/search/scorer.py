"""What a search maximises: a quality predicted from the model's measured table, or measured as the search goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from nas._errors import UsageError

if TYPE_CHECKING:
    from nas.families import Judge, Model, Quality
    from nas.train.data import Data

VALIDATION_IMAGES, CALIBRATION_IMAGES = 5000, 512


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

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Return the scores (n,) of codes (n, dimensions); higher is better."""
        ...


class Predictor:
    """A quality from a predictor fitted to the rows marked "fit" of the model's measured table."""

    source = "predicted"
    data = None

    def __init__(self, model: Model, quality: Quality, check: Scorer | None = None) -> None:
        from nas.search._engine import one_blas_thread
        from nas.space.surrogate import Surrogate

        table = model.table()
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
        with one_blas_thread():
            values = quality.to_additive(fit.values[quality.name])
            # Surrogates want positive values; distances may be zero, and unbiased ones negative.
            self._shift = max(0.0, 0.1 * float(np.ptp(values)) - float(values.min()))
            shifted = values + self._shift
            self._surrogate = Surrogate.fit(model.space, fit.codes, shifted, base=self._base(fit.codes))

    def _base(self, codes: np.ndarray) -> np.ndarray:
        counts = self._model.supernet.counts(codes)
        return np.log(np.column_stack([counts["macs"], counts["params"]]))

    @property
    def doubt(self) -> float:
        """The mean error on the table's rows that the predictor was not fitted to; 0 where there are none."""
        held = self._held
        return (
            float(np.abs(self.values(held.codes) - held.values[self.quality.name]).mean())
            if len(held)
            else 0.0
        )

    def values(self, codes: np.ndarray) -> np.ndarray:
        """Return the predicted values (n,) of codes (n, dimensions)."""
        additive = self._surrogate.predict(codes, base=self._base(codes)) - self._shift
        return self.quality.from_additive(additive)

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Return the predicted scores (n,) of codes (n, dimensions)."""
        return self.quality.sign * self.values(codes)


def judge_predictor(model: Model, quality: Quality) -> dict[str, float]:
    """Return the errors of the quality's predictor on the rows of the model's table that it was not fitted to."""
    from nas.space.surrogate import errors

    table = model.table()
    if table is None:
        raise UsageError(
            f"the model {model.name!r} has no table of measured subnets; make one with `nas measure`"
        )
    held = table.rows("held-out")
    return errors(Predictor(model, quality).values(held.codes), held.values[quality.name])


class Measurer:
    """A quality of extracted subnets, found by a judge."""

    source = "measured"
    check = None
    doubt = 0.0

    def __init__(self, model: Model, judge: Judge) -> None:
        self.quality = judge.quality
        self.data = judge.data
        self._model = model
        self._judge = judge
        images = judge.calibration
        # Every subnet is recalibrated: a spread of them does, and takes a quarter of the time.
        self._calibration = None if images is None else images[:: max(1, len(images) // CALIBRATION_IMAGES)]

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Return the measured scores (n,) of codes (n, dimensions)."""
        from nas.train.evaluate import fold_batch_norm

        scores = []
        for row in codes:
            subnet = self._model.space.from_codes(row)
            module = self._model.extract(subnet, self._calibration)
            fold_batch_norm(module)
            scores.append(self.quality.sign * self._judge(self._model, module, subnet))
        return np.array(scores)


def load_scorer(model: Model, data: Data | None = None, quality: str | None = None) -> Scorer:
    """Return what scores by a quality of the model's task (by default its first): measured on `data`, or predicted.

    Without data the model's table says, checked by a measurement where that needs no data; where the table lacks the
    quality, it is measured. Raises `UsageError` when neither is possible.
    """
    kind, table = model.task.quality(quality), model.table()
    if data is None and model.task.needs_data(kind):
        return Predictor(model, kind)
    measurer = Measurer(model, model.task.judge(model, kind, data, limit=VALIDATION_IMAGES))
    is_known = table is not None and kind.name in table.values
    return Predictor(model, kind, measurer) if data is None and is_known else measurer
