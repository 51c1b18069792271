"""G: from an offline metric to revenue lift (section 4.1), with what is not known of it."""
import numpy as np
from scipy import stats


class LinearLift:
    """Revenue lift as a linear function of an offline metric.

    lift = slope x metric + intercept, least squares over models that were tested
    against the base; the paper's G. Intervals come from refits on resampled models
    ("bootstrap"), so they hold the scatter of models and the noise of their tests.

    Args:
      draws: bootstrap refits; seed: of the resampling.

    >>> g = LinearLift().fit([0.80, 0.82, 0.84, 0.86], [0.0, 0.01, 0.02, 0.03])
    >>> round(float(g.predict(0.85)), 4), round(g.r_squared_, 3)
    (0.025, 1.0)
    """

    def __init__(self, draws=1000, seed=0):
        self.draws, self.seed = draws, seed

    def fit(self, metric, lift):
        """Fit to [models] metrics and revenue lifts (fractions); needs 3 or more."""
        metric, lift = np.asarray(metric, float), np.asarray(lift, float)
        if metric.shape != lift.shape or metric.ndim != 1 or len(metric) < 3:
            raise ValueError("LinearLift: needs metric and lift of 3 or more models; got shapes "
                             f"{metric.shape} and {lift.shape}")
        if not (np.isfinite(metric).all() and np.isfinite(lift).all()):
            raise ValueError("LinearLift: metric and lift must be finite")
        if np.ptp(metric) == 0:
            raise ValueError(f"LinearLift: all models have the same metric, {metric[0]}")
        self.slope_, self.intercept_ = _line(metric, lift)
        residual = lift - self.predict(metric)
        self.r_squared_ = float(1 - residual @ residual / np.square(lift - lift.mean()).sum())
        self.mean_deviation_ = float(np.abs(residual).mean())
        self.max_deviation_ = float(np.abs(residual).max())
        self.spearman_ = float(stats.spearmanr(metric, lift).statistic)
        self.lines_ = self._refits(metric, lift)
        return self

    def _refits(self, metric, lift):
        rng = np.random.default_rng(self.seed)
        rows = rng.integers(len(metric), size=(self.draws, len(metric)))
        # A resample of one repeated model has no slope.
        rows = rows[np.ptp(metric[rows], axis=1) > 0]
        slope, intercept = _line(metric[rows], lift[rows])
        residual = lift[rows] - slope[:, None] * metric[rows] - intercept[:, None]
        total = np.square(lift[rows] - lift[rows].mean(axis=1, keepdims=True)).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            self._r_squared_draws = 1 - np.square(residual).sum(axis=1) / total
        return np.stack([slope, intercept], axis=1)

    def predict(self, metric, interval=None):
        """Lift at a metric; with `interval` (such as 0.9) a tuple (mean, low, high)."""
        mean = self.slope_ * np.asarray(metric, float) + self.intercept_
        if interval is None:
            return mean
        tail = (1 - interval) / 2
        return mean, *np.quantile(self.sample(metric), [tail, 1 - tail], axis=0)

    def sample(self, metric):
        """Lift by every refit, [draws, ...]; for a metric [draws, ...] each by its own."""
        metric = np.asarray(metric, float)
        slope, intercept = (x.reshape(-1, *[1] * max(metric.ndim, 1)) for x in self.lines_.T)
        if metric.ndim > 1:
            slope, intercept = slope[:, 0], intercept[:, 0]
            rows = np.arange(len(metric)) % len(slope)
            slope, intercept = slope[rows], intercept[rows]
        out = slope * metric + intercept
        return out[:, 0] if metric.ndim == 0 else out

    def slope_interval(self, interval=0.9):
        """(low, high) of the slope over the refits."""
        tail = (1 - interval) / 2
        return tuple(np.quantile(self.lines_[:, 0], [tail, 1 - tail]))

    def r_squared_interval(self, interval=0.9):
        """(low, high) of R² over the refits."""
        tail = (1 - interval) / 2
        return tuple(np.nanquantile(self._r_squared_draws, [tail, 1 - tail]))


def _line(x, y):
    """Slope and intercept of least squares along the last axis."""
    mean_x, mean_y = x.mean(axis=-1, keepdims=True), y.mean(axis=-1, keepdims=True)
    slope = ((x - mean_x) * (y - mean_y)).sum(axis=-1) / np.square(x - mean_x).sum(axis=-1)
    return slope, mean_y[..., 0] - slope * mean_x[..., 0]
