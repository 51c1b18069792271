"""G: from an offline metric to revenue lift (section 4.1), with what is not known of it."""

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from lib.infra.arrays import real_array, single_column
from lib.infra.intervals import check_interval, interval_bounds
from lib.validation.errors_in_variables import posterior


class LinearRevenueModel(RegressorMixin, BaseEstimator):
    """Revenue lift as a linear function of an offline metric.

    lift = slope x metric + intercept, least squares over models that were tested
    against the base; the paper's G. Lines are drawn from Student's t of least squares,
    whose scatter holds that of the models and the noise of their tests: of its 90 %
    intervals 89 to 91 % held the truth with 5 to 40 simulated models, where refits on
    resampled models held it 80 to 88 % of the time. R² has no such distribution; its
    interval is the bootstrap's, too narrow for few models.

    Where the standard errors of metrics and lifts are given, the lines come from a model of
    both (`lib.validation.errors_in_variables`): it does not flatten the slope by the metric's
    sampling error, and weighs a test by its noise. `r_squared_true_` then holds draws of what R²
    would be without errors of either.

    A regressor of scikit-learn: `cross_val_score`, `GridSearchCV` and `Pipeline` take it.

    Args:
      draws: number of lines drawn, and of bootstrap refits; seed: of both.

    Attributes, after `fit` (before it, `predict` and the others raise
    `sklearn.exceptions.NotFittedError`):
      slope_, intercept_: of the line, lift (fraction) per unit of the metric.
      lines_: [draws, 2], slopes and intercepts.
      r_squared_, mean_deviation_, max_deviation_, spearman_: of the models about the line.
      r_squared_draws_: of bootstrap refits.
      scatter_: [draws], standard deviation of single models about their line; without standard
        errors the noise of their tests is in it.
      r_squared_true_: [draws], with standard errors only.

    >>> g = LinearRevenueModel().fit([0.80, 0.82, 0.84, 0.86], [0.0, 0.01, 0.02, 0.03])
    >>> round(float(g.predict(0.85)), 4), round(g.r_squared_, 3)
    (0.025, 1.0)
    """

    def __init__(self, draws: int = 1000, seed: int = 0):
        self.draws, self.seed = draws, seed

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        return tags

    def fit(self, metric, lift, metric_error=None, lift_error=None):
        """Fit to [models] metrics and revenue lifts (fractions); needs 3 or more.

        Args:
          metric: [models] or [models, 1]; lift: [models].
          metric_error, lift_error: their standard errors, [models], both or none; with them 4
            or more models. Of metrics measured on the same impressions only what differs
            between models counts: give the errors of the differences to the base.

        Returns: self.
        Raises: ValueError for shapes that differ, too few models, numbers that are not finite,
          or models that are all alike.
        """
        metric, lift = check_models(metric, lift, "LinearRevenueModel")
        rng, self.n_features_in_ = np.random.default_rng(self.seed), 1
        vars(self).pop("r_squared_true_", None)  # of an earlier fit
        if metric_error is None and lift_error is None:
            self.slope_, self.intercept_ = _line(metric, lift)
            inputs = np.stack([metric, np.ones_like(metric)], axis=1)
            self.lines_, self.scatter_ = draw_coefficients(
                inputs, lift - self.predict(metric), [self.slope_, self.intercept_], self.draws, rng
            )
        else:
            errors = _checked_errors(metric, metric_error=metric_error, lift_error=lift_error)
            self.lines_, self.scatter_, self.r_squared_true_ = posterior(
                metric, lift, *errors, self.draws, rng
            )
            self.slope_, height = np.median(self.lines_ @ [[1, metric.mean()], [0, 1]], axis=0)
            self.intercept_ = height - self.slope_ * metric.mean()
        self._describe(metric, lift)
        self.r_squared_draws_ = self._bootstrapped_r_squared(metric, lift, rng)
        return self

    def _describe(self, metric, lift):
        residual = lift - self.predict(metric)
        self.r_squared_ = float(1 - residual @ residual / np.square(lift - lift.mean()).sum())
        self.mean_deviation_ = float(np.abs(residual).mean())
        self.max_deviation_ = float(np.abs(residual).max())
        self.spearman_ = float(stats.spearmanr(metric, lift).statistic)

    def _bootstrapped_r_squared(self, metric, lift, rng):
        rows = rng.integers(len(metric), size=(self.draws, len(metric)))
        # A resample of one repeated model has no slope.
        rows = rows[np.ptp(metric[rows], axis=1) > 0]
        slope, intercept = _line(metric[rows], lift[rows])
        residual = lift[rows] - slope[:, None] * metric[rows] - intercept[:, None]
        total = np.square(lift[rows] - lift[rows].mean(axis=1, keepdims=True)).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return 1 - np.square(residual).sum(axis=1) / total

    def predict(self, metric, interval: float | None = None):
        """Lift (fraction) at a metric of any shape; with `interval` a tuple (mean, low, high).

        A single column [n, 1] counts as [n]. Raises: ValueError for a metric that is not finite,
        or an interval outside (0, 1).
        """
        check_is_fitted(self, "slope_")
        name = f"{type(self).__name__}.predict"
        metric = single_column(metric, f"{name}: metric")
        if not np.isfinite(metric).all():
            bad = metric[~np.isfinite(metric)][0]
            raise ValueError(f"{name}: metric must be finite, not NaN or infinity; got {bad}")
        mean = self._lift(metric, self.slope_, self.intercept_)
        if interval is None:
            return mean
        check_interval(interval, f"{name}: interval")
        low, high = interval_bounds(self.sample(np.ravel(metric)), interval)
        return mean, low.reshape(mean.shape), high.reshape(mean.shape)

    def sample(self, metric):
        """Lift by every line drawn: a metric [...] of at most one axis -> [draws, ...].

        A metric [n, ...] of more axes holds n draws of an uncertain metric: each goes
        through a line of its own, -> [n, ...].
        """
        check_is_fitted(self, "lines_")
        metric, lines, axes = np.asarray(metric, float), self.lines_, np.ndim(metric)
        if axes > 1:
            lines, axes = lines[np.arange(len(metric)) % len(lines)], axes - 1
        return self._lift(metric, *(x.reshape(-1, *[1] * axes) for x in lines.T))

    def _lift(self, metric, slope, intercept):
        return slope * metric + intercept

    def lifts_over_base(self, law, x, base):
        """Lifts [sizes] of `over_base` alone, without draws."""
        lift = self.predict(law.predict(np.append(np.asarray(x, float), base)))
        return lift[:-1] - lift[-1]

    def over_base(self, law, x, base, draws, seed=0):
        """Lifts of sizes over the base: this line of a law's metric at x less that at base.

        Every draw takes one law and one line and asks both for the size and for the base, so
        that what they have in common cancels. Single models lie off the line by `scatter_`; so
        does every size, and the base. Neighbouring sizes lie off it alike: the deviations of two
        sizes correlate as the smaller one's FLOPs over the larger one's.

        Args:
          law: fitted (`lib.laws.BNSL`) to the metric over the same unit as x.
          x: FLOPs of the sizes, [sizes]; base: of the base.

        Returns: lifts [sizes] and draws of them [draws, sizes].
        """
        check_is_fitted(self, "lines_")
        all_x = np.append(np.asarray(x, float), base)
        drawn = self.sample(law.sample(all_x, draws, seed))
        scatter = np.resize(self.scatter_, draws)[:, None]
        drawn += scatter * neighbouring_deviations(all_x, draws, np.random.default_rng([seed, 1]))
        return self.lifts_over_base(law, x, base), drawn[:, :-1] - drawn[:, -1:]

    def slope_interval(self, interval: float = 0.9):
        """(low, high) of the slope over the lines drawn."""
        check_is_fitted(self, "lines_")
        check_interval(interval, f"{type(self).__name__}.slope_interval: interval")
        return interval_bounds(self.lines_[:, 0], interval)

    def r_squared_interval(self, interval: float = 0.9):
        """(low, high) of R² over bootstrap refits."""
        check_is_fitted(self, "r_squared_draws_")
        check_interval(interval, f"{type(self).__name__}.r_squared_interval: interval")
        return interval_bounds(self.r_squared_draws_, interval)


def draw_coefficients(inputs, residual, mean, draws, rng):
    """Draws from the posterior of least squares under flat priors (Student's t).

    Args:
      inputs: [models, coefficients]; residual: [models]; mean: coefficients of least squares.

    Returns: (coefficients [draws, coefficients], standard deviation of the residual [draws]).
    """
    freedom = len(residual) - inputs.shape[1]
    scatter = np.sqrt(residual @ residual / rng.chisquare(freedom, draws))
    _, triangle = np.linalg.qr(inputs)  # inputs' inputs = triangle' triangle
    normal = rng.normal(size=(inputs.shape[1], draws))
    return mean + scatter[:, None] * np.linalg.solve(triangle, normal).T, scatter


def neighbouring_deviations(x, draws, rng):
    """Standard normal deviations of sizes that correlate as min(x) / max(x), [draws, sizes].

    An Ornstein-Uhlenbeck process in log x; equal sizes deviate alike.
    """
    sizes, place = np.unique(x, return_inverse=True)
    deviation = rng.normal(size=(len(sizes), draws))
    correlation = sizes[:-1] / sizes[1:]
    for i, shared in enumerate(correlation, 1):
        deviation[i] = shared * deviation[i - 1] + np.sqrt(1 - shared**2) * deviation[i]
    return deviation[place].T


def fit_to_models(models, metric, lift="revenue_lift", *, draws=1000, seed=0):
    """G of one system's models, with the errors of metric and lift where both are known.

    Args:
      models: DataFrame, one row a model, with `metric`, `lift`, and optionally both with `_se`.
      draws, seed: as for `LinearRevenueModel`.

    Returns: a fitted `LinearRevenueModel`.
    """
    names = [f"{metric}_se", f"{lift}_se"]
    known = all(name in models and models[name].notna().all() for name in names)
    errors = [models[name] for name in names] if known else []
    return LinearRevenueModel(draws, seed).fit(models[metric], models[lift], *errors)


def lifts_by_reference(law, tests, base, reference, *, interval=0.9, draws=2000, seed=0):
    """Revenue lifts of sizes by G(law(FLOPs)), where one test identifies G.

    Of a linear G only the slope matters for lifts against the base, and one measured lift
    gives it: lift = lift of the reference x (law at the size - law at the base) /
    (law at the reference - law at the base). The test's own error is not in the interval.

    Args:
      law: a fitted law of the metric over FLOPs (`lib.laws.BNSL`).
      tests: DataFrame with columns model, flops, revenue_lift (fraction, measured).
      base, reference: models of `tests`: the one lifts count from, and the one that
        identifies G.
      interval: probability of the intervals; draws, seed: of the laws that give them.

    Returns: DataFrame, `tests` with metric_gain (over the base, by the law), by_law, low, high.
    Raises: ValueError for a missing column, a model that is not in `tests` or is there twice,
      a reference without a lift, or an interval outside (0, 1).

    >>> import pandas as pd
    >>> from lib.laws import PowerLaw
    >>> flops = np.geomspace(1.0, 64.0, 7)
    >>> law = PowerLaw().fit(flops, 0.9 - 0.1 / flops)
    >>> tests = pd.DataFrame({"model": ["base", "new", "reference"], "flops": [1.0, 2.0, 4.0],
    ...                       "revenue_lift": [0.0, np.nan, 0.03]})
    >>> lifts_by_reference(law, tests, "base", "reference").by_law.round(3).tolist()
    [0.0, 0.02, 0.03]
    """
    check_interval(interval, "lifts_by_reference: interval")
    missing = [name for name in ("model", "flops", "revenue_lift") if name not in tests]
    if missing:
        raise ValueError(
            f"lifts_by_reference: column {missing[0]} is missing; "
            f"got {', '.join(map(str, tests.columns))}"
        )
    row_of = {}
    for role, model in (("base", base), ("reference", reference)):
        rows = np.flatnonzero(tests.model == model)
        if len(rows) != 1:
            raise ValueError(
                f"lifts_by_reference: {role} {model!r} must be one of the models "
                f"{', '.join(map(str, tests.model))}; found {len(rows)}"
            )
        row_of[role] = rows[0]
    lift = float(tests.revenue_lift.iloc[row_of["reference"]])
    if not np.isfinite(lift) or lift == 0:
        raise ValueError(
            f"lifts_by_reference: the reference {reference!r} needs a measured "
            f"revenue_lift other than 0; got {lift}"
        )

    def lifts(metric):
        gain = metric - metric[..., row_of["base"], None]
        return lift * gain / gain[..., row_of["reference"], None]

    flops = tests.flops.to_numpy(float)
    metric = law.predict(flops)
    low, high = interval_bounds(lifts(law.sample(flops, draws, seed)), interval)
    return tests.assign(
        metric_gain=metric - metric[row_of["base"]], by_law=lifts(metric), low=low, high=high
    )


def check_models(metric, lift, name: str, least: int = 3):
    """Metrics and lifts as arrays [models]; refuses, by `name`, what no G can be fitted to."""
    metric, lift = single_column(metric, f"{name}: metric"), real_array(lift, f"{name}: lift")
    if metric.shape != lift.shape or metric.ndim != 1 or len(metric) < least:
        raise ValueError(
            f"{name}: needs metric and lift of {least} or more models; got shapes "
            f"{metric.shape} and {lift.shape}"
        )
    for what, values in {"metric": metric, "lift": lift}.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(
                f"{name}: {what} must be finite, not NaN or infinity; "
                f"got {what}[{bad[0]}] = {values[bad[0]]}"
            )
        if np.ptp(values) == 0:
            raise ValueError(f"{name}: all models have the same {what}, {values[0]}")
    return metric, lift


def _checked_errors(metric, **errors):
    """Both errors as arrays; refuses one without the other, and what is no error."""
    if len(metric) < 4:
        raise ValueError(
            f"LinearRevenueModel: with errors it needs 4 or more models; got {len(metric)}"
        )
    for name, error in errors.items():
        if error is None:
            raise ValueError(f"LinearRevenueModel: {name} is missing; give both errors or none")
        error = real_array(error, f"LinearRevenueModel: {name}")
        if error.shape != metric.shape or not (np.isfinite(error) & (error >= 0)).all():
            raise ValueError(
                f"LinearRevenueModel: {name} must be {len(metric)} finite numbers >= 0; got "
                f"{error.tolist()}"
            )
        yield error


def _line(x, y):
    """Slope and intercept of least squares along the last axis."""
    mean_x, mean_y = x.mean(axis=-1, keepdims=True), y.mean(axis=-1, keepdims=True)
    slope = ((x - mean_x) * (y - mean_y)).sum(axis=-1) / np.square(x - mean_x).sum(axis=-1)
    return slope, mean_y[..., 0] - slope * mean_x[..., 0]
