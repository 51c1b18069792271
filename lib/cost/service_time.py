"""A request's time from a few measured sizes, for a whole grid of sizes.

The analytic model (`lib.cost.roofline`) fitted to the measured sizes, times what a Gaussian
process makes of its errors: a smooth function of the sizes' logarithms.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import spatial, special

from lib.cost.device import CPU_CORE
from lib.cost.gaussian_process import Residual, features_of, winsorised
from lib.cost.roofline import Roofline
from lib.infra.intervals import check_interval
from lib.serving.queueing import load_at_limit

LEAST_ROWS = 3


class ServiceTimeModel:
    """Time of a request from a few measured sizes, for a whole grid of sizes.

    service_ms = roofline(sizes) x exp(g(log sizes)),   g a Gaussian process

    The roofline's factors are fitted to *relative* errors, so that small sizes count as
    much as large ones; few rows leave them near the device's own figures. FLOPs of a user-ad
    pair alone do not tell the time: with a cached first layer, the widest part of the model
    is computed once a request and not once a candidate (appendix A).

    Args:
      device: whose roofline is the prior; its scale is fitted, so that what counts is how
        its figures compare with each other.

    Attributes, after `fit`:
      roofline_: the fitted `Roofline`; its `explain` tells where a request's time goes.
      coefficients_: dict of its factors: how many times the device's nominal time each kind
        of work takes.
      leave_one_out_: [rows] relative error of each row's time, predicted from the others.
      load_ratio_: measured QPS over `load_at_limit` of the measured service time, the
        median of the rows; 1 where the rows hold no QPS.
    """

    def __init__(self, device=CPU_CORE):
        self.device = device

    def fit(self, rows):
        """Fit to measured sizes of one engine on one machine.

        Args:
          rows: list of dicts or DataFrame with columns form, size_parameters, candidates,
            service_ms, optional user_width (half by default); and, for `qps`, columns qps,
            latency_limit_ms, workers. At least 3 rows; 6 or more are wise.

        Raises: ValueError where a column or a row is missing, or a time is not positive.
        """
        table = pd.DataFrame(rows).reset_index(drop=True)
        _check_rows(table)
        measured = _Rows(
            Roofline(self.device).nominal_of(table),
            table["service_ms"].to_numpy(float),
            _row_features(table),
        )
        self.roofline_, errors = measured.fitted(self.device)
        self.coefficients_ = dict(self.roofline_.factors)
        self._residual = self._leave_one_out(measured).fit(measured.features, errors)
        ratios = _load_ratios(table)
        self.load_ratio_ = float(np.median(ratios)) if len(ratios) else 1.0
        self._load_scatter = float(np.log(ratios).std()) if len(ratios) else 0.0
        return self

    def predict(self, size_parameters, form, candidates, *, user_width=None, interval=None):
        """Service time in ms of sizes [..., layers + 1].

        Args:
          interval: probability, such as 0.9; then (time, low, high) are returned. The interval
            is Student's t (rows - 1 degrees of freedom) on the logarithm with the Gaussian
            process's deviation, which grows away from the measured sizes, times what the
            leave-one-out errors were of theirs. It holds for a further *measurement*.

        Returns: [...] or three of them.
        """
        return self._spread(size_parameters, form, candidates, user_width, interval)

    def qps(
        self,
        size_parameters,
        form,
        candidates,
        latency_limit_ms,
        *,
        workers=1,
        user_width=None,
        interval=None,
    ):
        """QPS of one machine at the latency limit; 0 for a size that cannot meet it.

        `load_at_limit` of the predicted time, scaled by load_ratio_. With `interval`,
        (qps, low, high), where the scatter of the measured loads about the formula counts
        as a further error of the time.
        """
        times = self._spread(
            size_parameters, form, candidates, user_width, interval, self._load_scatter
        )
        loads = self.load_ratio_ * load_at_limit(times, latency_limit_ms, workers=workers)
        return loads if interval is None else (loads[0], loads[2], loads[1])

    def sample(self, size_parameters, form, candidates, *, draws, seed, user_width=None):
        """Joint draws of the service times of sizes [sizes, layers + 1] -> [draws, sizes].

        All sizes of one draw are wrong together, as `lib.design.share_best` needs; so ask
        for the base and the others at once.
        """
        log_time, covariance = self._posterior(size_parameters, form, candidates, user_width)
        rng = np.random.default_rng(seed)
        factor = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(covariance)))
        noise = rng.standard_normal((draws, len(covariance))) @ factor.T
        # Student's t, as in `predict`: one width for all sizes of a draw. Truncated at the 1 %
        # quantile of chi squared: with few rows the t tail implies impossible machines.
        spread = np.maximum(
            rng.chisquare(self._freedom, (draws, 1)), special.chdtri(self._freedom, 0.99)
        )
        width = self._calibration * np.sqrt(self._freedom / spread)
        return np.exp(log_time + width * noise)

    def sample_qps(
        self,
        size_parameters,
        form,
        candidates,
        latency_limit_ms,
        *,
        draws,
        seed,
        workers=1,
        user_width=None,
    ):
        """Joint draws of `qps`, [draws, sizes], that scatter at least as rows left out did.

        Beside the uncertainty of the time, every size errs by what leave-one-out errors exceed
        that by, and by the scatter of measured loads about the formula. These errors fade with
        the distance of sizes: a doubling of one width leaves 1/e of them in common.
        """
        times = self.sample(
            size_parameters, form, candidates, draws=draws, seed=seed, user_width=user_width
        )
        _, covariance = self._posterior(size_parameters, form, candidates, user_width)
        known = self._calibration**2 * np.diag(covariance)
        missing = np.maximum(self._scatter_left_out**2 - known, 0) + self._load_scatter**2
        features = features_of(size_parameters, form, candidates)
        near = np.exp(-spatial.distance.cdist(features, features))
        factor = np.linalg.cholesky(near + 1e-9 * np.eye(len(near)))
        noise = np.random.default_rng([seed, 1]).standard_normal((draws, len(near))) @ factor.T
        times = times * np.exp(np.sqrt(missing) * noise)
        return self.load_ratio_ * load_at_limit(times, latency_limit_ms, workers=workers)

    def _posterior(self, size_parameters, form, candidates, user_width):
        """Logarithm of the time, [sizes], and its covariance without a measurement's noise."""
        time = self.roofline_.predict(size_parameters, form, candidates, user_width=user_width)
        features = features_of(size_parameters, form, candidates)
        error, covariance = self._residual.posterior(features)
        return np.log(time) + error, covariance

    def _spread(self, size_parameters, form, candidates, user_width, interval, scatter=0.0):
        """time, or [time, low, high] of new measurements."""
        time = self.roofline_.predict(size_parameters, form, candidates, user_width=user_width)
        features = features_of(size_parameters, form, candidates)
        error, deviation = self._residual.predict(features.reshape(-1, features.shape[-1]))
        time = time * np.exp(error).reshape(np.shape(time))
        if interval is None:
            return time
        check_interval(interval)
        deviation = np.hypot(self._calibration * deviation, scatter).reshape(np.shape(time))
        factor = np.exp(special.stdtrit(self._freedom, (1 + interval) / 2) * deviation)
        return np.stack([time, time / factor, time * factor])

    def _leave_one_out(self, measured):
        """Predict each row from the others: its error, and how wide intervals must be.

        Returns: the residual's process, its sizes chosen by the errors that rooflines fitted
        to the other rows make; those of the rows it was fitted to are too small.
        """
        index = np.arange(len(measured.service_ms))
        training_rows = [measured.select(index != i) for i in index]
        left_out_rows = [measured.select(index == i) for i in index]
        fits = [rows.fitted(self.device) for rows in training_rows]
        unseen = np.concatenate(
            [row.errors(roofline) for row, (roofline, _) in zip(left_out_rows, fits, strict=True)]
        )
        residual = Residual.chosen(measured.features, unseen)
        predicted = [
            residual.fit(rows.features, errors).predict(row.features)
            for rows, row, (_, errors) in zip(training_rows, left_out_rows, fits, strict=True)
        ]
        mean, deviation = np.concatenate(predicted, axis=1)
        self.leave_one_out_ = np.expm1(mean - unseen)
        self._scatter_left_out = float(np.sqrt(np.mean(winsorised(mean - unseen) ** 2)))
        # Three rows' worth of trust in the process, and never more than it claims itself: few
        # scores say little.
        scores = np.square((mean - unseen) / deviation)
        self._calibration = float(np.sqrt(max(1.0, (scores.sum() + 3) / (len(index) + 3))))
        self._freedom = len(index) - 1
        return residual


def timed_rows(table, form="first_layer_optimised"):
    """The rows of a costs table in that form whose service_ms is known; none without the column.

    >>> table = pd.DataFrame({"form": ["naive", "first_layer_optimised"], "service_ms": [3.0, 1.0]})
    >>> timed_rows(table).service_ms.tolist(), len(timed_rows(table[["form"]]))
    ([1.0], 0)
    """
    if "service_ms" not in table:
        return table.iloc[:0]
    return table[(table["form"] == form) & (table["service_ms"] > 0)]


class _Rows(NamedTuple):
    """Measured rows: nominal times, measured ones, features."""

    nominal: NamedTuple
    service_ms: np.ndarray  # [rows]
    features: np.ndarray  # [rows, features]

    def select(self, rows):
        return _Rows(
            type(self.nominal)(*(times[rows] for times in self.nominal)),
            self.service_ms[rows],
            self.features[rows],
        )

    def fitted(self, device):
        """The roofline fitted to the rows, and what it leaves of them."""
        roofline = Roofline(device).fit_to(self.nominal, self.service_ms)
        return roofline, self.errors(roofline)

    def errors(self, roofline):
        """[rows] logarithm of the measured over the analytic time."""
        return np.log(self.service_ms / roofline.predict_nominal(self.nominal))


def _row_features(table):
    return np.stack(
        [
            features_of(row["size_parameters"], row["form"], row["candidates"])
            for row in table.to_dict("records")
        ]
    )


def _load_ratios(table):
    """Measured QPS over the formula's, for the rows that met their limit."""
    if not {"qps", "latency_limit_ms", "workers"} <= set(table.columns):
        return np.empty(0)
    served = table[(table["qps"] > 0) & (table["service_ms"] < table["latency_limit_ms"])]
    formula = [
        load_at_limit(row["service_ms"], row["latency_limit_ms"], workers=row["workers"])
        for row in served.to_dict("records")
    ]
    return served["qps"].to_numpy(float) / np.array(formula)


def _check_rows(table):
    for name in ("form", "size_parameters", "candidates", "service_ms"):
        if name not in table:
            raise ValueError(
                f"ServiceTimeModel: column {name} is missing; "
                f"got {', '.join(map(str, table.columns)) or 'no column'}"
            )
    if len(table) < LEAST_ROWS:
        raise ValueError(
            f"ServiceTimeModel: at least {LEAST_ROWS} measured sizes are needed; got {len(table)}"
        )
    bad = ~(table["service_ms"] > 0)
    if bad.any():
        raise ValueError(
            f"ServiceTimeModel: column service_ms must be > 0; got "
            f"{table['service_ms'][bad].iloc[0]} in row {bad.to_numpy().argmax()}"
        )
