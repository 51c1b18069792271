"""A learner whose learning curve is known exactly: the ground that fits of laws are tested on.

The stream has one id field. Id i = 1, 2, ... is drawn with p_i = i^-a - (i + 1)^-a, without an end,
and clicked at its own rate, drawn once from Beta(alpha, beta). The learner knows all this but the
rates. It counts, and predicts an id's posterior mean; no learner has a lower expected log loss.

Its excess over the loss of the true rates goes as

  n^-(a / (1 + a))   in samples n: an id needs about one look, the looks reach i ~ n^(1 / (1 + a)),
                     and the ids beyond make up i^-a of the impressions;
  (R + 1)^-a         in rows R, where all beyond the R most popular ids share one row, n infinite.

Proof for the data. Let F(m) be an id's excess after m looks, falling from F(0) to 1 / (2 m). The
excess is the sum of p_i E F(m_i), m_i binomial with mean n p_i. The ids with p_i < p make up
(p / a)^g of the impressions, g = a / (1 + a), so that the sum is, up to what is said below,

  (a n)^-g * integral over x from 0 to infinity of F~(x) d(x^g),   F~(x) = E F(Poisson(x)).

It converges, since F~ ~ 1 / (2 x) and g < 1. Above the most popular id the integrand is missing:
some 1 / n in all, n^-(1 - g) relative to the sum. Thus the law holds the sooner the smaller a is:
with alpha, beta = 0.5, 4.5 the local exponent is within 2 % of a / (1 + a) from 5,600 samples on
for a = 0.2 to 0.7, from 10,000 for a = 1 and 56,000 for a = 2 (`local_exponent`).

In rows the exponent is clean only where the rates are known. After n samples the curve leaves the
law long before its own floor, the loss of unlimited rows after n samples: at a = 0.5 and 10^7
samples the local exponent over the Bayes loss is within 3 % of a for R = 30 to 1,000, that over the
floor falls short of or exceeds a everywhere.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.special import betaln, digamma, expit, gammaln, xlog1py, xlogy
from scipy.stats import binom

_EXACT_LOOKS = 256  # up to here an id's excess is summed for each number of looks
_MOST_LOOKS = 2**15  # up to here for some; between them a spline
_KNOTS = 30
_MANY = 100.0  # expected looks from which on a binomial mixture is a quadrature
_FIRST_IDS = 1000  # ids summed one by one; beyond, an integral
_COUNTED = 2**17  # ids with a place of their own in a simulation's arrays


class SampledCurve(NamedTuple):
    """Losses of a learner in one simulated stream, nats a row; each array has one value a size."""

    sizes: np.ndarray  # samples seen, or rows of the table
    log_loss: np.ndarray  # against the labels of the validation rows
    expected_log_loss: np.ndarray  # against their true rates: less noise
    true_log_loss: np.ndarray  # of the true rates, against the same labels
    true_expected_log_loss: np.ndarray  # mean entropy of the true rates

    @property
    def excess(self) -> np.ndarray:
        """Expected log loss less that of the truth, on the same rows: the least noise."""
        return self.expected_log_loss - self.true_expected_log_loss


class IdealLearner:
    """Counting in a stream of one field; losses in nats.

    Args:
      popularity_exponent: a > 0; the ids beyond the first R make up (R + 1)^-a.
      alpha, beta: > 0, of the ids' click rates; the mean rate is alpha / (alpha + beta).

    Attributes:
      data_exponent, rows_exponent: a / (1 + a) and a.
      base_log_loss: of the mean rate, the entropy of the base rate.
      bayes_log_loss: of the true rates: the constant of both laws, exactly.

    Raises: ValueError for a number that is not positive.

    >>> learner = IdealLearner(0.5)
    >>> round(learner.base_log_loss, 4), round(learner.bayes_log_loss, 4)
    (0.3251, 0.2525)
    >>> learner.expected_log_loss([10**3, 10**5]).round(4).tolist()
    [0.2726, 0.2569]
    """

    def __init__(self, popularity_exponent: float = 0.5, alpha: float = 0.5, beta: float = 4.5):
        values = {"popularity_exponent": popularity_exponent, "alpha": alpha, "beta": beta}
        for name, value in values.items():
            if not 0 < value < np.inf:
                raise ValueError(f"IdealLearner: {name} must be positive and finite; got {value}")
        self.popularity_exponent = float(popularity_exponent)
        self.alpha, self.beta = float(alpha), float(beta)
        self.data_exponent = self.popularity_exponent / (1 + self.popularity_exponent)
        self.rows_exponent = self.popularity_exponent
        self.base_log_loss = float(_entropy(self.alpha / (self.alpha + self.beta)))
        self.bayes_log_loss = float(_mean_entropy(self.alpha, self.beta))

    def expected_log_loss(self, samples: ArrayLike, rows: int | None = None) -> np.ndarray:
        """Mean log loss of the next row, over streams, rates and labels.

        Args:
          samples: whole numbers of rows of the stream seen before, of any shape; np.inf: the rates
            are known.
          rows: ids known one by one, the most popular ones; all others share one more row.
            None: no limit.

        Returns: float64 of samples' shape; accurate to 1e-5 of the excess. A shared row's rate is
          taken as a Beta of the same mean and variance: for a <= 1 off by
          at most 0.4 % of the excess from 3 rows on, by 4 % without any.

        Raises: ValueError for negative samples or rows.
        """
        samples = np.asarray(samples, np.float64)
        if not np.all((samples >= 0) & (samples == np.rint(samples))):
            raise ValueError(
                f"expected_log_loss: samples must be whole numbers >= 0; got {samples}"
            )
        if rows is not None and rows < 0:
            raise ValueError(f"expected_log_loss: rows must be at least 0; got {rows}")
        excess = [self._excess(float(n), rows) for n in samples.ravel()]
        return self.bayes_log_loss + np.reshape(excess, samples.shape)

    def local_exponent(self, samples: ArrayLike) -> np.ndarray:
        """-d log(excess) / d log(samples): the exponent that the curve has at that place."""
        samples = np.asarray(samples, np.float64)
        below, above = np.floor(samples * 0.95), np.ceil(samples * 1.05)
        first, second = (self.expected_log_loss(n) - self.bayes_log_loss for n in (below, above))
        return np.log(first / second) / np.log(above / below)

    def sample_curve(
        self, seed: int, marks: ArrayLike, validation_rows: int = 2**16
    ) -> SampledCurve:
        """A measured learning curve: rates, rows and labels drawn anew for each seed.

        Progressive validation: at each mark the learner, which has seen so many rows, is scored on
        the next `validation_rows` rows, which it learns from afterwards.

        Args:
          seed: int >= 0. marks: increasing integers >= 0. validation_rows: >= 1.

        Returns: SampledCurve with `sizes` = marks. Its losses differ from `expected_log_loss` by
          a level that hangs on the rates of the few most popular ids, and by the noise of each
          mark's rows; `excess` has next to nothing of either.
        """
        marks = _sizes(marks, "sample_curve: marks")
        index, rates, labels = self._stream(seed, int(marks[-1]) + validation_rows)
        seen, clicks = np.zeros((2, len(rates)))
        losses, start = [], 0
        for mark in marks:
            seen += np.bincount(index[start:mark], minlength=len(rates))
            clicks += np.bincount(index[start:mark][labels[start:mark]], minlength=len(rates))
            start = mark
            rows = slice(mark, mark + validation_rows)
            own = index[rows]
            prediction = (self.alpha + clicks[own]) / (self.alpha + self.beta + seen[own])
            losses.append(_losses(prediction, labels[rows], rates[own]))
        return SampledCurve(marks, *np.transpose(losses))

    def sample_rows_sweep(
        self, seed: int, rows: ArrayLike, samples: float, validation_rows: int = 2**16
    ) -> SampledCurve:
        """Measured losses of tables of several sizes, all trained on one stream.

        Args:
          seed: int >= 0. rows: increasing integers, 0..2^17.
          samples: seen by each, int; np.inf: rates are known, and the mean rate of the shared row.
          validation_rows: the next rows of the stream, the same for all.

        Returns: SampledCurve with `sizes` = rows.
        """
        rows = _sizes(rows, "sample_rows_sweep: rows", _COUNTED)
        known_rates = np.isinf(samples)
        samples = 0 if known_rates else int(samples)
        index, rates, labels = self._stream(seed, samples + validation_rows)
        seen = np.bincount(index[:samples], minlength=len(rates))
        clicks = np.bincount(index[:samples][labels[:samples]], minlength=len(rates))
        shares = _popularity(np.arange(1.0, _COUNTED + 1), self.popularity_exponent)
        own, clicked = index[samples:], labels[samples:]
        losses = []
        for known in rows:
            if known_rates:
                # Of ids without a place their mean will do: they are so many.
                mean = self.alpha / (self.alpha + self.beta)
                beyond = shares[known:] @ (rates[known:_COUNTED] - mean)
                prediction = rates.copy()
                prediction[known:] = mean + beyond * (known + 1.0) ** self.popularity_exponent
            else:
                alpha, beta = self._shared(int(known))
                prediction = (self.alpha + clicks) / (self.alpha + self.beta + seen)
                prediction[known:] = (alpha + clicks[known:].sum()) / (
                    alpha + beta + seen[known:].sum()
                )
            losses.append(_losses(prediction[own], clicked, rates[own]))
        return SampledCurve(rows, *np.transpose(losses))

    def _stream(self, seed, count):
        """Place of each row's id in the arrays, rate of each place, and labels (bool)."""
        generator = np.random.default_rng(seed)
        ranks = 1 - generator.random(count)
        ranks **= -1 / self.popularity_exponent
        index = np.minimum(ranks, 2.0**62).astype(np.int64) - 1
        rare = np.flatnonzero(index >= _COUNTED)
        distinct, places = np.unique(index[rare], return_inverse=True)
        index[rare] = _COUNTED + places
        rates = generator.beta(self.alpha, self.beta, _COUNTED + len(distinct))
        return index, rates, generator.random(count) < rates[index]

    def _shared(self, known):
        """alpha, beta of the rate of a row that all ids beyond the first `known` share.

        Their mean rate, weighted by popularity, varies the less the more ids make it up.
        """
        first = np.arange(known + 1, known + _FIRST_IDS + 1)
        last, a = known + _FIRST_IDS + 1.0, self.popularity_exponent
        squares = np.sum(_popularity(first, a) ** 2) + a**2 * (last - 0.5) ** (-1 - 2 * a) / (
            1 + 2 * a
        )
        # The variance of Beta(alpha, beta) is mean (1 - mean) / (alpha + beta + 1).
        total = (self.alpha + self.beta + 1) * (known + 1.0) ** (-2 * a) / squares - 1
        return np.array([self.alpha, self.beta]) * total / (self.alpha + self.beta)

    def _excess(self, samples, rows):
        a = self.popularity_exponent
        p, weight = self._nodes
        if rows is None:
            return float(weight @ self._id_excess.mixed(samples, p))
        ids = np.arange(1, rows + 1) if rows <= _FIRST_IDS else None
        if ids is not None:
            known = _popularity(ids, a)
            excess = known @ self._id_excess.mixed(samples, known) if rows else 0.0
        else:
            p, weight = _nodes(a, float(rows))
            excess = weight @ self._id_excess.mixed(samples, p)
        left = (rows + 1.0) ** -a
        alpha, beta = self._shared(rows)
        shared = _IdExcess(alpha, beta).mixed(samples, np.array([left]))[0]
        return float(excess + left * (shared + _mean_entropy(alpha, beta) - self.bayes_log_loss))

    @cached_property
    def _nodes(self):
        return _nodes(self.popularity_exponent, np.inf)

    @cached_property
    def _id_excess(self):
        return _IdExcess(self.alpha, self.beta)


def interaction_excess(
    left: ArrayLike, *, bias: float, logit_sd: float, interaction_share: float
) -> np.ndarray:
    """Expected excess log loss, nats, of who knows all of a click logit but some of its factors.

    The logit is normal; what is not known of it is normal and independent of the rest, with
    variance logit_sd^2 * interaction_share * left. To first order the excess is half the mean of
    p (1 - p) times that variance: the exponent in width is the spectrum's, b, the more exactly the
    less is left. With the scales below the local exponent is 3 % below b between left = 1 and 1/2,
    1.4 % to 1/5, 0.7 % to 1/10.

    Args:
      left: share of the interactions' variance beyond the model's width, in 0..1, of any shape:
        (D + 1)^-b, or `ClickStream.factors_left(D)`.
      bias, logit_sd: mean and standard deviation of the logit. interaction_share: of its variance.

    >>> scales = {"bias": -3, "logit_sd": 1.5, "interaction_share": 0.3}
    >>> interaction_excess([0.5, 0.25], **scales).round(4).tolist()
    [0.0117, 0.0059]
    """
    left = np.asarray(left, np.float64)
    if not np.all((left >= 0) & (left <= 1)):
        raise ValueError(
            f"interaction_excess: left must lie in 0..1; got {left.min()}..{left.max()}"
        )
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    unknown = logit_sd * np.sqrt(interaction_share * left)[..., None, None]
    known = np.sqrt(logit_sd**2 - unknown**2) * nodes[:, None]
    p = expit(bias + known + unknown * nodes)
    return (_entropy(p @ weights) - _entropy(p) @ weights) @ weights


class _IdExcess:
    """F(m): expected log loss after m looks at an id with rate Beta(alpha, beta), less the truth's.

    After k clicks the posterior is Beta(A, B), A = alpha + k, B = beta + m - k. The excess is
    q G(A) + (1 - q) G(B) - G(A + B) with q = A / (A + B) and G(x) = digamma(x + 1) - log(x): no
    difference of large numbers. F is its mean over the beta-binomial k.
    """

    def __init__(self, alpha, beta):
        self.alpha, self.beta = alpha, beta
        self.table = np.array([self._exact(m) for m in range(_EXACT_LOOKS + 1)])
        # At whole numbers of looks; what 2 total F lacks of 1 falls as a power in the end.
        looks = np.geomspace(_EXACT_LOOKS / 4, _MOST_LOOKS, _KNOTS).round().astype(int)
        self._log_total = np.log(alpha + beta + looks)
        scaled = 2 * (alpha + beta + looks) * np.array([self._exact(m) for m in looks])
        self._scaled = CubicSpline(self._log_total, scaled)
        self._lack = 1 - scaled[-1]
        self._slope = np.log((1 - scaled[-1]) / (1 - scaled[-5])) / (
            self._log_total[-1] - self._log_total[-5]
        )

    @staticmethod
    def _given(a, b):
        total = a + b
        return (a * _g(a) + b * _g(b)) / total - _g(total)

    def _exact(self, m):
        k = np.arange(m + 1)
        log_choose = gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1)
        a, b = self.alpha + k, self.beta + m - k
        weights = np.exp(log_choose + betaln(a, b) - betaln(self.alpha, self.beta))
        return weights @ self._given(a, b) / weights.sum()

    def __call__(self, looks):
        """F at whole or broken numbers of looks above a quarter of _EXACT_LOOKS."""
        total = self.alpha + self.beta + looks
        beyond = np.maximum(np.log(total) - self._log_total[-1], 0)
        scaled = np.where(
            beyond > 0,
            1 - self._lack * np.exp(self._slope * beyond),
            self._scaled(np.minimum(np.log(total), self._log_total[-1])),
        )
        return scaled / (2 * total)

    def mixed(self, samples, p):
        """E F(m) for m ~ Binomial(samples, p), float64 of p's shape."""
        if np.isinf(samples):
            return np.zeros(len(p))
        mean = samples * p
        result = np.empty(len(p))
        few = np.flatnonzero(mean <= _MANY)
        # In groups of similar means, so that each sum is about as long as it must be.
        groups = np.ceil(np.log2(np.maximum(mean[few], 1)))
        for group in np.unique(groups):
            own = few[groups == group]
            most = mean[own].max()
            m = np.arange(min(int(most + 10 * np.sqrt(most) + 30), _EXACT_LOOKS, int(samples)) + 1)
            result[own] = binom.pmf(m, samples, p[own, None]) @ self.table[m]
        many = mean > _MANY
        if many.any():
            # Normal, corrected for the skewness (Cornish and Fisher 1937): what is left out is of
            # the order of mean^-3.
            z, weights = np.polynomial.hermite_e.hermegauss(9)
            own = mean[many, None]
            spread = np.sqrt(own * (1 - p[many, None]))
            skewness = (1 - 2 * p[many, None]) / np.where(spread > 0, spread, 1)
            looks = own + spread * (z + (z**2 - 1) * skewness / 6)
            result[many] = self(looks) @ (weights / weights.sum())
        return result


def _g(x):
    """digamma(x + 1) - log(x)."""
    # digamma(x) - log(x) + 1 / x; by its series where the difference would cancel.
    x = np.asarray(x, np.float64)
    series = 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6)
    return np.where(x > 50, series, digamma(x + 1) - np.log(x))


def _entropy(p):
    """Entropy of a coin, nats."""
    return -(xlogy(p, p) + xlog1py(1 - p, -p))


def _mean_entropy(alpha, beta):
    """Mean entropy of a coin whose rate is Beta(alpha, beta), nats."""
    total = alpha + beta
    return digamma(total + 1) - (alpha * digamma(alpha + 1) + beta * digamma(beta + 1)) / total


def _popularity(ids, exponent):
    """p_i of ids 1, 2, ..., or of a place between them."""
    return ids**-exponent * -np.expm1(-exponent * np.log1p(1 / ids))


def _nodes(exponent, last):
    """p and weights so that weights @ f(p) is the sum of p_i f(p_i) over ids 1..last (> 1000).

    The first ids one by one; then the tail's law from id to id, f at the middle: off by 1 / i^2.
    """
    ids = np.arange(1.0, _FIRST_IDS + 1)
    first = _popularity(ids, exponent)
    # Up to where all that is left weighs 1e-12 at most.
    end = min(np.log(last + 1), max(12 * np.log(10) / exponent, np.log(2 * _FIRST_IDS)))
    edges = np.linspace(np.log(_FIRST_IDS + 1.0), end, 41)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    x = np.exp(edges[:-1, None] + np.diff(edges)[:, None] * (nodes + 1) / 2).ravel()
    weights = (np.diff(edges)[:, None] * weights / 2).ravel() * exponent * x**-exponent
    return (
        np.concatenate([first, _popularity(x - 0.5, exponent)]),
        np.concatenate([first, weights]),
    )


def _losses(prediction, labels, rates):
    """Of a prediction and of the truth, against labels and rates; in SampledCurve's order."""
    return [
        -np.mean(xlogy(truth, p) + xlog1py(1 - truth, -p))
        for p in (prediction, rates)
        for truth in (labels.astype(np.float64), rates)
    ]


def _sizes(sizes, name, limit=2**40):
    sizes = np.asarray(sizes)
    if (
        sizes.ndim != 1
        or sizes.size == 0
        or not np.issubdtype(sizes.dtype, np.integer)
        or sizes[0] < 0
        or sizes[-1] > limit
        or np.any(np.diff(sizes) <= 0)
    ):
        raise ValueError(f"{name} must be increasing integers in 0..{limit}; got {sizes}")
    return sizes
