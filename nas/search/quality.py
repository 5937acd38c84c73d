"""What a search maximises: top-1 predicted from the model's measured table, or measured on the user's own images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from nas._errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from nas.families import Model
    from nas.train.data import Data

CALIBRATION_IMAGES = 512
VALIDATION_IMAGES = 5000


class Quality(Protocol):
    """Scores subnets; higher is better.

    `name` and `unit` label it ("top1", "%"); `source` is "predicted" or "measured". A measured quality takes seconds a
    subnet and is asked one subnet at a time, a predicted one thousands at a time.
    """

    name: str
    unit: str
    source: str

    def predict(self, codes: np.ndarray) -> np.ndarray:
        """Return the quality (n,) of codes (n, dimensions)."""
        ...


class PredictedTop1:
    """Top-1 in percent from a predictor fitted to the rows marked "fit" of the model's measured table."""

    name, unit, source = "top1", "%", "predicted"

    def __init__(self, model: Model) -> None:
        from nas.search._engine import one_blas_thread
        from nas.space.surrogate import Surrogate

        table = model.table()
        if table is None:
            raise UsageError(
                f"the model {model.name!r} has no table of measured subnets; give images with --data"
            )
        fit = table.rows("fit")
        self._model = model
        self.measured = len(fit)
        with one_blas_thread():
            self._surrogate = Surrogate.fit(model.space, fit.codes, fit.top1, base=self._base(fit.codes))

    def _base(self, codes: np.ndarray) -> np.ndarray:
        counts = self._model.supernet.counts(codes)
        return np.log(np.column_stack([counts["macs"], counts["params"]]))

    def predict(self, codes: np.ndarray) -> np.ndarray:
        """Return the predicted top-1 (n,) of codes (n, dimensions)."""
        return self._surrogate.predict(codes, base=self._base(codes))


def judge_predictor(model: Model) -> dict[str, float]:
    """Return the errors of the accuracy predictor on the rows of the model's table that it was not fitted to."""
    from nas.space.surrogate import errors

    table = model.table()
    if table is None:
        raise UsageError(
            f"the model {model.name!r} has no table of measured subnets; make one with `nas measure`"
        )
    held = table.rows("held-out")
    return errors(PredictedTop1(model).predict(held.codes), held.top1)


class MeasuredTop1:
    """Top-1 in percent of extracted, recalibrated subnets on the validation images of a data set."""

    name, unit, source = "top1", "%", "measured"

    def __init__(self, model: Model, data: Data) -> None:
        from nas.train.evaluate import pictures, require_classes

        require_classes(data, model.classes)
        size = model.image_size
        self._model = model
        self._images, self._labels = pictures(data, "val", size, VALIDATION_IMAGES)
        self._calibration, _ = pictures(data, "train", size, CALIBRATION_IMAGES)

    def predict(self, codes: np.ndarray) -> np.ndarray:
        """Return the measured top-1 (n,) of codes (n, dimensions)."""
        from nas.train.evaluate import evaluate_subnet

        model = self._model
        return np.array(
            [
                evaluate_subnet(
                    model.supernet,
                    model.space.from_codes(row),
                    self._images,
                    self._labels,
                    _Normalizer(model),
                    self._calibration,
                )
                for row in codes
            ]
        )


class _Normalizer:
    """The model's normalisation under the name that `nas.train` expects."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __call__(self, images: Tensor) -> Tensor:
        return self._model.normalize(images)


def load_quality(model: Model, data: Data | None = None) -> Quality:
    """Return the quality measured on `data`, or without it the one predicted from the model's table.

    Raises `UsageError` when the model has no table and no data is given.
    """
    return PredictedTop1(model) if data is None else MeasuredTop1(model, data)
