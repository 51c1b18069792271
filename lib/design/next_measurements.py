"""What to measure next: what one more training, test or load test is worth in money.

A measurement is worth what decisions made after it lose less, in expectation, than the one made now
(the expected value of sample information, EVSI). It tells a signal s, such as a size's lift, with
an error: y = s + noise. What is known after an outcome is the joint draws weighed by its
likelihood. Signals are brought to a normal distribution by ranks, z, so that with
rho^2 = var s / (var s + var noise) and a standard normal outcome y

    E[regret | y] = sum_n w_n regret_n,   w_n ~ exp(-(y - rho z_n)^2 / 2 (1 - rho^2))

for any noise, without further draws, and however regret bends at the ROI bound. An outcome never
rests on few draws alone: 1 - rho^2 is at least the square of a kernel's width for so many draws
(Silverman's rule). Of a linear value this is the knowledge gradient of Frazier, Powell and Dayanik
2009; joint draws serve as in Strong, Oakley and Brennan 2014.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from lib.design.decision import Decision

TOGETHER = 16  # measurements in one product of matrices
POINTS = 48  # outcomes of a measurement that are looked at, of equal probability
PERMUTATIONS = 8  # signals that say nothing, from which the resolution follows


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One measurement that could be made.

    Attributes:
      kind: such as "A/B test"; size: index of the size that it is made with.
      signal: what it would show, [draws], in the rows of the decision's draws: a lift, the
        logarithm of a cost, a metric. Draws of inf (a size that cannot be served) are allowed.
      noise: standard deviation of its error, in the signal's unit; inf: it tells nothing.
      price: of making it, currency.

    Raises: ValueError for a signal that is not [draws] or holds NaN, noise or price below 0.
    """

    kind: str
    size: int
    signal: np.ndarray
    noise: float
    price: float = 0.0

    def __post_init__(self):
        signal = np.asarray(self.signal, float)
        if signal.ndim != 1 or np.isnan(signal).any():
            raise ValueError(
                f"Measurement: signal must be numbers [draws]; got shape {signal.shape}"
                + (", some of them NaN" if np.isnan(signal).any() else "")
            )
        for name in ("noise", "price"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"Measurement: {name} must be >= 0; got {getattr(self, name)}")

    @property
    def correlation(self) -> float:
        """rho: of the outcome with the signal, 0 for a signal that does not vary.

        The signal's spread is half of its middle 68 %, which is a normal one's standard deviation
        and does not hang on the tails of few draws.
        """
        low, high = np.quantile(self.signal, [0.1587, 0.8413], method="nearest")
        if not low < high:
            return 0.0
        spread = (high - low) / 2
        return 1.0 if np.isinf(spread) else float(spread / np.hypot(spread, self.noise))


def measure_each(
    kind: str, signals: ArrayLike, sizes: Sequence[int], noise: ArrayLike, price: float = 0.0
) -> list[Measurement]:
    """A measurement of the same kind with each of several sizes.

    Args:
      signals: what it would show of each of them, [draws, measured sizes].
      sizes: their indices.
      noise: of each of these sizes, or of all of them.

    >>> [one.size for one in measure_each("A/B test", np.ones((5, 2)), [2, 0], 0.1)]
    [2, 0]
    """
    noises = np.broadcast_to(np.asarray(noise, float), len(sizes))
    signals = np.asarray(signals, float)
    return [
        Measurement(kind, int(size), signal, float(error), price)
        for size, signal, error in zip(sizes, signals.T, noises, strict=True)
    ]


def scatter_within(values: ArrayLike, groups: ArrayLike) -> float:
    """Standard deviation of repeated measurements about their group's mean, groups pooled.

    NaN where no group holds two: nothing was repeated.

    >>> scatter_within([1.0, 3.0, 10.0], ["a", "a", "b"]) ** 2  # 2, over one degree of freedom
    2.0000000000000004
    """
    values = pd.Series(np.asarray(values, float)).groupby(np.asarray(groups))
    freedom = int((values.size() - 1).sum())
    squares = float((values.var(ddof=0) * values.size()).sum())
    return math.sqrt(squares / freedom) if freedom else math.nan


def rank_measurements(
    decision: Decision, measurements: Sequence[Measurement], *, hours: float, seed: int = 0
) -> pd.DataFrame:
    """Measurements by what they are worth, the most first.

    Args:
      decision: whose value counts; the decision is the size of least expected regret.
      measurements: that could be made, each by itself.
      hours: that the decision stands, over which its value counts.
      seed: of signals that say nothing, see `resolution`.

    Returns: DataFrame, a row for each: kind, size_parameters, correlation (of outcome and signal),
      per_hour (EVSI, currency per hour), of_perfect (as a share of perfect information), worth
      (per_hour x hours), price, net (worth less price), change (probability that it changes the
      decision), then (to which size, the likeliest). `attrs`: "resolution", the per_hour that so
      few draws give to a signal that says nothing: less is not told apart from 0.
    Raises: ValueError for no measurement, a signal of another number of draws, hours <= 0.
    """
    value, economics = -decision.regret_draws, decision.economics
    _check(value, measurements, hours)
    now = decision.least_regret
    signals = np.stack([one.signal for one in measurements])
    correlations = np.array([one.correlation for one in measurements])
    per_hour, best = information_value(value, signals, correlations, now)
    noise = np.random.default_rng(seed).random((PERMUTATIONS, len(value)))
    resolution = information_value(value, noise, np.ones(PERMUTATIONS), now)[0].mean()
    rows = []
    for one, gain, outcomes in zip(measurements, per_hour, best, strict=True):
        others = outcomes[outcomes != now]
        then = int(np.bincount(others).argmax()) if len(others) else now
        rows.append(
            {
                "kind": one.kind,
                "size_parameters": economics.sizes.size_parameters[one.size].tolist(),
                "correlation": one.correlation,
                "per_hour": gain,
                "of_perfect": gain / decision.perfect_information if gain else 0.0,
                "worth": gain * hours,
                "price": one.price,
                "net": gain * hours - one.price,
                "change": len(others) / POINTS,
                "then": economics.sizes.size_parameters[then].tolist(),
            }
        )
    table = pd.DataFrame(rows).sort_values("net", ascending=False, kind="stable")
    table = table.reset_index(drop=True)
    table.attrs["resolution"] = float(resolution)
    return table


def information_value(
    value: ArrayLike, signals: ArrayLike, correlations: ArrayLike, now: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """EVSI of signals observed with noise.

    Args:
      value: of each choice in each draw, [draws, choices].
      signals: [measurements, draws]; correlations: rho of each outcome with its signal,
        [measurements], in 0 .. 1.
      now: the choice without a measurement; by default that of the highest mean.

    Returns: per measurement what it is worth in the value's unit, [measurements], >= 0, and the
      best choice after each of `POINTS` outcomes of equal probability, [measurements, POINTS].

    >>> rng = np.random.default_rng(0)
    >>> lift = rng.normal(size=4000)
    >>> value = np.stack([np.zeros(4000), lift], axis=1)  # do nothing, or earn what it brings
    >>> gain, _ = information_value(value, [lift, lift], [1.0, 0.5], now=0)
    >>> gain.round(1).tolist()  # E max(0, N(0, 1)) = 0.40, and half of it
    [0.4, 0.2]
    """
    value, signals = np.asarray(value, np.float32), np.asarray(signals, float)
    now = int(value.mean(axis=0).argmax()) if now is None else now
    draws = len(value)
    # By ranks all signals are the same normal scores, in another order.
    scores = special.ndtri((np.arange(draws) + 0.5) / draws)
    outcomes = special.ndtri((np.arange(POINTS) + 0.5) / POINTS)
    width = 1.06 * draws**-0.2
    rhos = np.clip(np.asarray(correlations, float), 0, math.sqrt(max(1 - width**2, 0)))
    order = np.argsort(signals, axis=1, kind="stable")
    gains, best = np.zeros(len(signals)), np.full((len(signals), POINTS), now)
    for start in range(0, len(signals), TOGETHER):
        rows = slice(start, start + TOGETHER)
        rho = rhos[rows, None, None]
        apart = np.square(outcomes[:, None] - rho * scores) / (1 - rho**2)
        ranked = np.exp(-0.5 * apart)
        weights = np.empty(ranked.shape, np.float32)
        np.put_along_axis(weights, order[rows, None, :], ranked, axis=2)
        weights /= weights.sum(axis=2, keepdims=True)
        known = (weights.reshape(-1, draws) @ value).reshape(len(weights), POINTS, -1)
        best[rows] = known.argmax(axis=2)
        gains[rows] = (known.max(axis=2) - known[..., now]).mean(axis=1)
    best[rhos == 0] = now
    gains[rhos == 0] = 0.0
    return gains, best


def _check(value, measurements, hours):
    if not measurements:
        raise ValueError("rank_measurements: measurements must hold one or more; got none")
    if not 0 < hours < np.inf:
        raise ValueError(f"rank_measurements: hours must be > 0; got {hours}")
    for one in measurements:
        if len(one.signal) != len(value):
            raise ValueError(
                f"rank_measurements: a signal must hold the decision's {len(value)} draws; got "
                f"{len(one.signal)} ({one.kind})"
            )
