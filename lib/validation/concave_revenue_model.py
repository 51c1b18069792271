"""G with diminishing returns: the better the metric, the less a further point of it is worth."""

import numpy as np

from lib.validation.revenue_model import LinearRevenueModel, check_models, draw_coefficients

OVERSAMPLING = 20  # draws of the parabola for each one kept


class ConcaveRevenueModel(LinearRevenueModel):
    """Revenue lift as a parabola of an offline metric that opens downwards, flat beyond its top.

    Largest models have the highest metric, and a line through all models promises them more than
    they earn. Of the forms that were held against the line in nine simulated systems (a parabola;
    powers 2, 3 and 5 and the logarithm of the distance of R/R* to 1) this one had the lowest error
    both for models left out one by one and for sizes held out, which was settled on beforehand.

    A draw that opens upwards is refused, a flat prior on curvatures <= 0; where the models leave
    nearly none, the parabola is the line.

    Attributes, after `fit`: as `LinearRevenueModel`, with slope_ and intercept_ those at `centre_`,
    curvature_ (<= 0, lift per square of the metric), lines_ [draws, 3] (slope and height at the
    centre, curvature), and without r_squared_draws_.

    >>> g = ConcaveRevenueModel().fit([0.80, 0.82, 0.84, 0.86, 0.88], [0.0, 0.4, 0.6, 0.65, 0.6])
    >>> bool(g.curvature_ < 0), bool(g.predict(0.95) == g.predict(0.9))
    (True, True)
    """

    def fit(self, metric, lift, metric_error=None, lift_error=None):
        """Fit to [models] metrics and revenue lifts (fractions); needs 4 or more.

        Args:
          metric_error: takes no part (sampling errors of metrics are small beside what models
            differ by); lift_error: standard errors of lifts, [models], that are no scatter.

        Returns: self.
        Raises: ValueError as `LinearRevenueModel.fit`, and for fewer than 4 models.
        """
        metric, lift = check_models(metric, lift, "ConcaveRevenueModel", 4)
        rng, self.n_features_in_ = np.random.default_rng(self.seed), 1
        self.centre_ = float(metric.mean())
        x = metric - self.centre_
        inputs = np.stack([x, np.ones_like(x), x**2], axis=1)
        fitted, curves, scatter = _posterior(inputs, lift, OVERSAMPLING * self.draws, rng)
        kept = np.flatnonzero(curves[:, 2] <= 0)[: self.draws]
        if fitted[2] > 0 or len(kept) < self.draws:
            line, curves, scatter = _posterior(inputs[:, :2], lift, self.draws, rng)
            fitted, curves = np.append(line, 0), np.pad(curves, ((0, 0), (0, 1)))
            kept = slice(None)
        self.slope_, self.intercept_, self.curvature_ = map(float, fitted)
        self.lines_ = curves[kept]
        noise = 0.0 if lift_error is None else np.mean(np.square(lift_error))
        self.scatter_ = np.sqrt(np.maximum(scatter[kept] ** 2 - noise, 0))
        self._describe(metric, lift)
        return self

    def _lift(self, metric, slope, intercept, curvature=None):
        curvature = np.asarray(self.curvature_ if curvature is None else curvature)
        with np.errstate(divide="ignore"):
            top = np.where(curvature < 0, -slope / (2 * curvature), np.inf)
        x = np.minimum(metric - self.centre_, top)
        return intercept + slope * x + curvature * x**2


def _posterior(inputs, lift, draws, rng):
    """Least squares, and draws of its coefficients and scatter."""
    fitted = np.linalg.lstsq(inputs, lift)[0]
    return fitted, *draw_coefficients(inputs, lift - inputs @ fitted, fitted, draws, rng)


def leave_one_out_error(model, metric, lift) -> float:
    """Mean absolute error of each model's lift, predicted from the others.

    Args:
      model: unfitted; metric, lift: [models], 5 or more.
    """
    metric, lift = np.asarray(metric, float), np.asarray(lift, float)
    errors = [
        model.fit(np.delete(metric, i), np.delete(lift, i)).predict(metric[i]) - lift[i]
        for i in range(len(metric))
    ]
    return float(np.mean(np.abs(errors)))


def fit_better(metric, lift, metric_error=None, lift_error=None, *, draws=1000, seed=0):
    """The line, or the parabola where that predicts left-out models better; needs 6 models for it.

    Args:
      metric, lift, metric_error, lift_error: as for `LinearRevenueModel.fit`; draws, seed: of it.

    Returns: a fitted `LinearRevenueModel` or `ConcaveRevenueModel`.
    """
    model = LinearRevenueModel(draws, seed)
    if len(metric) >= 6:
        errors = [
            leave_one_out_error(form(draws=1), metric, lift)
            for form in (LinearRevenueModel, ConcaveRevenueModel)
        ]
        model = ConcaveRevenueModel(draws, seed) if errors[1] < errors[0] else model
    return model.fit(metric, lift, metric_error, lift_error)
