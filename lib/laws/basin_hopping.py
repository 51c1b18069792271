"""The paper's own recipe, for comparison: a fixed number of breaks, fitted by basin-hopping.

Section 4.2 takes t = 6 breaks and `scipy.optimize.basinhopping` [25]; its loss, starts
and bounds are not published. Here: squares of errors of log y, an exact gradient, a
start at the power law with breaks of size 0 spread over the points, and wide boxes.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import basinhopping

from lib.laws.bnsl import PowerLaw
from lib.laws.curve import bnsl
from lib.laws.observations import check_points


class BasinHoppingBNSL:
    """Eq 6 with `breaks` breaks, one curve, no interval.

    Args:
      breaks: the paper's t.
      hops: local minimisations after the first.
      seed: of the hops.
      direction: as in `BNSL`.

    Attributes after `fit`: params_ (Eq 6), r_squared_, residuals_.

    >>> x = np.geomspace(1.0, 1e4, 12)
    >>> law = BasinHoppingBNSL(breaks=0, hops=2).fit(x, 0.5 + x**-0.5)
    >>> float(law.predict(1e6).round(4))
    0.501
    """

    def __init__(self, breaks: int = 6, *, hops: int = 100, seed: int = 0, direction: str = "auto"):
        self.breaks, self.hops, self.seed, self.direction = breaks, hops, seed, direction

    def fit(self, x: ArrayLike, y: ArrayLike) -> "BasinHoppingBNSL":
        """Fits the curve; x and y as in `BNSL.fit`, 3 different x or more whatever `breaks` is."""
        x, y, groups = check_points(x, y, name="BasinHoppingBNSL.fit", least=3)
        power_law = PowerLaw(direction=self.direction).fit(x, y, groups)
        self._sign, self._origin = power_law.points_.sign, np.log(power_law.points_.largest_x)
        self._unit = np.exp(np.log(y).mean())
        u, z = np.log(x) - self._origin, np.log(y / self._unit)
        with np.errstate(over="ignore"):
            bounds = self._bounds(u, z)
            optimum = basinhopping(
                self._loss,
                self._start(power_law, u, z, bounds[0]),
                niter=self.hops,
                stepsize=0.3,
                rng=np.random.default_rng(self.seed),
                minimizer_kwargs={
                    "args": (u, z),
                    "jac": True,
                    "method": "L-BFGS-B",
                    "bounds": bounds,
                },
            )
        self.params_ = self._eq6(optimum.x)
        self.residuals_ = y - self.predict(x)
        self.r_squared_ = 1 - float(np.sum(self.residuals_**2) / np.sum((y - y.mean()) ** 2))
        return self

    def predict(self, x: ArrayLike) -> np.ndarray:
        """y at x."""
        return bnsl(np.asarray(x, dtype=float), **self.params_)

    def _start(self, power_law, u, z, box):
        p, t = power_law.params_, self.breaks
        log_a, c0 = np.log(max(p["c"] / self._unit, 1e-6)), p["b"]
        log_b = np.log(abs(p["a"]) / self._unit) - c0 * self._origin
        if not box[0] <= log_a <= box[1]:
            # A straight line in log x has its asymptote far off: the nearest curve in the box.
            log_a = np.clip(log_a, *box)
            gap = np.maximum(self._sign * (np.exp(z) - np.exp(log_a)), 1e-6)
            slope, log_b = np.polyfit(u, np.log(gap), 1)
            c0 = -slope
        places = np.quantile(u, np.arange(1, t + 1) / (t + 1)) if t else []
        return np.r_[log_a, log_b, c0, np.zeros(t), places, np.full(t, np.log(0.3))]

    def _bounds(self, u, z):
        t, span = self.breaks, np.ptp(u)
        asymptote = (np.log(1e-6), z.min()) if self._sign > 0 else (z.max(), z.max() + 3.0)
        return (
            [asymptote, (-20.0, 20.0), (-5.0, 5.0)]
            + [(-5.0, 5.0)] * t
            + [(u.min() - 0.5 * span, u.max() + 0.5 * span)] * t
            + [(np.log(0.01), np.log(10.0))] * t
        )

    def _loss(self, p, u, z):
        """Mean squared error of log y and its gradient; p = (log a, log b, c0, c, log d, log f)."""
        t = self.breaks
        c, d, f = p[3 : 3 + t, None], p[3 + t : 3 + 2 * t, None], np.exp(p[3 + 2 * t :, None])
        past_break = (u - d) / f
        bend = np.logaddexp(0.0, past_break)
        turned = 1 / (1 + np.exp(-np.clip(past_break, -500, 500)))
        gap = np.exp(np.minimum(p[1] - p[2] * u - (c * f * bend).sum(axis=0), 50.0))
        y = np.maximum(np.exp(p[0]) + self._sign * gap, 1e-9)
        error = np.log(y) - z
        by_gap = self._sign * gap / y
        J = np.vstack(
            [
                np.exp(p[0]) / y,
                by_gap,
                -by_gap * u,
                -by_gap * f * bend,
                by_gap * c * turned,
                -by_gap * c * f * (bend - past_break * turned),
            ]
        )
        return np.mean(error**2), 2 * J @ error / len(u)

    def _eq6(self, p):
        t = self.breaks
        c0, c, d, f = p[2], p[3 : 3 + t], p[3 + t : 3 + 2 * t], np.exp(p[3 + 2 * t :])
        return {
            "a": float(np.exp(p[0]) * self._unit),
            "b": float(self._sign * self._unit * np.exp(p[1] + c0 * self._origin)),
            "c0": float(c0),
            "c": c.tolist(),
            "d": np.exp(d + self._origin).tolist(),
            "f": f.tolist(),
        }
