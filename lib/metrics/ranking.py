"""Offline metrics of a retrieval model, on whole arrays at once (Eq 5, section 4.1).

Ads lie on the last axis, impressions before it. `mask` is False where a ragged
list is padded. Whatever a tie leaves open is decided against the model: among
equal scores the ad of lower value comes first, among equal `v` the choice of
true best ads is the one that the model meets worst.

Every metric returns one value an impression, NaN where it is undefined; `mean`
averages the defined ones and says how many were not. `evaluate` takes them all,
comparing each pair of ads once. Impressions are worked off in blocks: beyond
arguments and results, memory does not grow with their number.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from lib.metrics.pairwise_order import Compared, counted, over_blocks, placed

# Powers of 1/2 down to 0. Ranks are mostly whole, and np.exp2 is several times slower.
_HALVES = np.exp2(-np.arange(1080.0))


def r_over_r_star(
    scores: ArrayLike, v: ArrayLike, ecpm: ArrayLike, m: int, mask: ArrayLike | None = None
) -> np.ndarray:
    """eCPM of the model's top m over eCPM of the true top m (Eq 5).

    Args:
      scores, v, ecpm: [..., n]; what the model says, the rank index in the system's
        own order (higher is better), the expected revenue (0: never ranked).
      m: ads kept, 1 .. n. A list of m ads or fewer has R/R* = 1.
      mask: [..., n] bool, False where padded.

    Returns: [...], NaN where the true top m hold no eCPM.

    Raises ValueError for arrays of different shapes, NaN, a list without a real ad, eCPM that
    is negative or infinite, and m out of range; so do the other metrics.

    >>> r_over_r_star([3, 2, 1], [3, 1, 2], [10, 0, 20], m=2).round(3)
    np.float64(0.333)
    """
    return _ratio(*captured_ecpm(scores, v, ecpm, m, mask))[()]


def captured_ecpm(
    scores: ArrayLike, v: ArrayLike, ecpm: ArrayLike, m: int, mask: ArrayLike | None = None
) -> np.ndarray:
    """Numerator and denominator of Eq 5: eCPM of the model's and of the true top m.

    Their sums over impressions give R/R* weighted by money instead of by impression.

    >>> [float(total) for total in captured_ecpm([3, 2, 1], [3, 1, 2], [10, 0, 20], m=2)]
    [10.0, 30.0]
    """
    return over_blocks(
        "r_over_r_star",
        lambda block: _captured(block, m),
        mask,
        {"m": m},
        scores=scores,
        v=v,
        ecpm=ecpm,
    )


def ndcg(
    scores: ArrayLike, v: ArrayLike, mask: ArrayLike | None = None, *, gain: str = "exponential"
) -> np.ndarray:
    """Normalised discounted cumulative gain of the whole list.

    Args:
      scores, v, mask: as in `r_over_r_star`; v >= 0.
      gain: "exponential", 2^v - 1, or "linear", v.

    Returns: [...], NaN where no ad has a gain.

    >>> ndcg([2, 1, 3], [2, 0, 1]).round(5)
    np.float64(0.79671)
    """
    if gain not in ("exponential", "linear"):
        raise ValueError(f"ndcg: gain must be 'exponential' or 'linear'; got {gain!r}")
    return over_blocks("ndcg", lambda block: _ndcg(block, gain), mask, scores=scores, v=v)[()]


def revenue_ndcg(
    scores: ArrayLike, v: ArrayLike, ecpm: ArrayLike, mask: ArrayLike | None = None
) -> np.ndarray:
    """NDCG whose gain is money: discounted eCPM in the model's order over that in v's order.

    R/R* with its step, 1 for the first m and 0 after, replaced by the discount
    1 / log2(1 + place): no m to choose, and the order within the top counts. The gain
    is any value of an ad (Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation
    of IR techniques"); revenue is one of the signals that Karmaker Santu et al. 2017 rank
    a shop's products by ("On application of learning to rank for e-commerce search").
    The ideal order is the system's own, as in Eq 5, so that a model may exceed 1; ordered
    by the gain itself, as NDCG has it, this is `ndcg(scores, ecpm, gain="linear")`. Equal
    v: the higher eCPM first.

    Returns: [...], NaN where no ad has eCPM.

    >>> revenue_ndcg([3, 2, 1], [3, 1, 2], [10, 0, 20]).round(3)
    np.float64(0.884)
    """
    return over_blocks("revenue_ndcg", _revenue_ndcg, mask, scores=scores, v=v, ecpm=ecpm)[()]


def recall(
    scores: ArrayLike, v: ArrayLike, m: int, k: int, mask: ArrayLike | None = None
) -> np.ndarray:
    """Share of the true top k that the model keeps among its top m (Recall@m@k of ARF).

    Returns: [...]; a list of fewer than k ads has all of them as its true top.

    >>> recall([3, 2, 1], [3, 1, 2], m=2, k=2)
    np.float64(0.5)
    """
    return over_blocks(
        "recall", lambda block: _recall(block, m, k), mask, {"m": m, "k": k}, scores=scores, v=v
    )[()]


def joint_recall(
    scores: ArrayLike,
    v: ArrayLike,
    ecpm: ArrayLike,
    m: int,
    q: int,
    k: int,
    mask: ArrayLike | None = None,
) -> np.ndarray:
    """Share of the true top k that leave a cascade: the model keeps m, Ranking q of those.

    After the joint recall of LCRON (Wang et al. 2025, arXiv:2503.09492), the share of the
    ground truth among what all stages together let through. Kept of it: an ad has to
    survive both stages, and the second sees only what the first lets through, so that a
    worthless ad costs the model a place but can no longer displace a true one. Not
    kept: the second stage is the logged Ranking, by `ecpm`, rather than a model trained
    along; an ad that it never saw has eCPM 0 and comes last; the candidates are the
    logged ones; and no sort is relaxed, as LCRON's losses relax it.

    Args:
      scores, v, ecpm, mask: as in `r_over_r_star`.
      m, q, k: 1 .. n. From q = m on it is `recall(scores, v, m, k)`, where defined.

    Returns: [...], NaN where no ad has eCPM, so that nothing was ranked; a list of fewer than k
      ads has all of them as its true top.

    >>> joint_recall([4, 3, 2, 1], [4, 1, 2, 3], [30, 10, 40, 20], m=3, q=1, k=1)
    np.float64(0.0)
    """
    return over_blocks(
        "joint_recall",
        lambda block: _joint_recall(block, m, q, k),
        mask,
        {"m": m, "q": q, "k": k},
        scores=scores,
        v=v,
        ecpm=ecpm,
    )[()]


def opa(scores: ArrayLike, v: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray:
    """Ordered pair accuracy: pairs of different v that the scores order likewise.

    Returns: [...], NaN where all v are equal.

    >>> opa([3, 2, 1], [3, 1, 2]).round(3)
    np.float64(0.667)
    """
    return over_blocks("opa", _opa, mask, scores=scores, v=v)[()]


def ranks(scores: ArrayLike, v: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray:
    """Place of every ad when sorted by score, 0 for the best, [..., n] int.

    Equal scores: the lower `v` comes first, then the earlier ad. Padded ads come last.

    >>> ranks([0.5, 0.5, 0.9], [2, 1, 1]).tolist()
    [2, 1, 0]
    """
    places = over_blocks("ranks", lambda block: block.place_by_scores_v, mask, scores=scores, v=v)
    return np.moveaxis(places, 0, -1)


@dataclasses.dataclass(frozen=True)
class Mean:
    """Mean over the impressions where a metric is defined, with its standard error."""

    value: float
    standard_error: float
    impressions: int
    undefined: int


def mean(values: ArrayLike) -> Mean:
    """Average of a metric's values, [impressions]; NaN counts as undefined.

    >>> mean(np.array([0.5, 1.0, np.nan]))
    Mean(value=0.75, standard_error=0.25, impressions=3, undefined=1)
    """
    values = np.ravel(values)
    defined = values[~np.isnan(values)]
    if defined.size == 0:
        return Mean(np.nan, np.nan, values.size, values.size)
    spread = defined.std(ddof=1) / np.sqrt(defined.size) if defined.size > 1 else np.nan
    return Mean(float(defined.mean()), float(spread), values.size, values.size - defined.size)


def per_impression(
    scores: ArrayLike, v: ArrayLike, ecpm: ArrayLike, m: int, k: int, mask: ArrayLike | None = None
) -> dict[str, np.ndarray]:
    """All metrics of every impression, name -> [impressions], NaN where undefined.

    The cascade of `joint_recall` ends with m ads, of twice as many that the model passes on.
    The mean of `revenue_weighted_r_over_r_star` is the ratio of the sums of Eq 5's two parts
    (`ratio_influence_values`). `money` is Eq 5's numerator.
    """

    def all_metrics(block):
        passed_on = min(2 * m, len(block.real))
        return np.stack(
            [
                *_captured(block, m),
                _ndcg(block),
                _revenue_ndcg(block),
                _recall(block, m, k),
                _joint_recall(block, passed_on, m, k),
                _opa(block),
            ]
        )

    r, r_star, *rest = over_blocks(
        "per_impression", all_metrics, mask, {"m": m, "k": k}, scores=scores, v=v, ecpm=ecpm
    )
    names = "ndcg", "revenue_ndcg", "recall", "joint_recall", "opa"
    return {
        "r_over_r_star": _ratio(r, r_star),
        **dict(zip(names, rest)),
        "revenue_weighted_r_over_r_star": ratio_influence_values(r, r_star),
        "money": r,
    }


def ratio_influence_values(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Values whose mean is sum(part) / sum(whole), and its standard error that ratio's.

    Args:
      part, whole: [impressions]; NaN for all where `whole` is 0 everywhere.

    >>> ratio_influence_values(np.array([1.0, 3.0]), np.array([2.0, 2.0])).tolist()
    [0.5, 1.5]
    """
    mean = whole.mean() if whole.size else 0.0
    share = part.mean() / mean if mean > 0 else np.nan
    return share + (part - share * whole) / (mean or np.nan)


def evaluate(
    scores: ArrayLike, v: ArrayLike, ecpm: ArrayLike, m: int, k: int, mask: ArrayLike | None = None
) -> dict[str, Mean]:
    """All metrics of one model on one set of impressions, name -> Mean; see `per_impression`."""
    values = per_impression(scores, v, ecpm, m, k, mask)
    return {name: mean(value) for name, value in values.items() if name != "money"}


# ---- the metrics of a block, one value an impression ----------------------


def _captured(block, m):
    return np.stack(
        [
            _dot(block.ecpm.values, place < m)
            for place in (block.place_by_scores_ecpm, block.place_by_v)
        ]
    )


def _ndcg(block, gain="exponential"):
    v = block.v.values
    if v.min(initial=0.0) < 0:
        raise ValueError(f"ndcg: v must be >= 0; got {v.min()}")
    if gain == "exponential":
        # Divided by 2^max, which cancels: no overflow however large the ranks.
        highest = v.max(axis=0)
        gains = _half_to_the(highest - v) - np.exp2(-highest)
    else:
        gains = v
    return _ratio(_discounted(gains, block.place_by_scores_v), _discounted(gains, block.place_by_v))


def _revenue_ndcg(block):
    ecpm = block.ecpm.values
    return _ratio(
        _discounted(ecpm, block.place_by_scores_ecpm), _discounted(ecpm, block.place_by_v)
    )


def _recall(block, m, k):
    return _share_of_best(block, (block.place_by_scores_v < m) & block.real, k)


def _joint_recall(block, m, q, k):
    passed = (block.place_by_scores_v < m) & block.real
    share = _share_of_best(block, (placed(block.ecpm, block.v, passed) < q) & passed, k)
    return np.where((block.real & (block.ecpm.values > 0)).any(axis=0), share, np.nan)


def _opa(block):
    pairs, wrong = np.zeros((2, block.real.shape[1]), np.int32)
    for i, ((above, tied), (truly, equal)) in enumerate(zip(block.scores.pairs, block.v.pairs)):
        differ = block.real[i] & block.real[:i] & ~equal
        pairs += counted(differ)
        wrong += counted(differ & (tied | (above ^ truly)))
    return _ratio(pairs - wrong, pairs)


def _share_of_best(block, kept, k):
    """Share of the true top k that are kept; of equal v, those not kept are the truer."""
    best = (placed(block.v, Compared(kept), block.real) < k) & block.real
    return counted(best & kept) / counted(best)


def _discounted(gains, place):
    discount = 1 / np.log2(np.arange(2, len(place) + 2))
    return _dot(gains, discount.take(place))


def _dot(a, b):
    """Sum of a * b over ads, always in their order: no digit depends on the block's size."""
    return sum(x * y for x, y in zip(a, b))


def _half_to_the(steps):
    """2^-steps for steps >= 0."""
    if steps.max(initial=0.0) < len(_HALVES):
        whole = steps.astype(np.intp)
        if not np.count_nonzero(whole != steps):
            return _HALVES.take(whole)
    return np.exp2(-steps)


def _ratio(part, whole):
    """part / whole, NaN where there is no whole."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
