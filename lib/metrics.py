"""Offline metrics of a retrieval model, on whole arrays at once (Eq 5, section 4.1).

Ads lie on the last axis, impressions before it. `mask` is False where a ragged
list is padded. Whatever a tie leaves open is decided against the model: among
equal scores the ad of lower value comes first, among equal `v` the choice of
true best ads is the one that the model meets worst.

Every metric returns one value an impression, NaN where it is undefined; `mean`
averages the defined ones and says how many were not.
"""
import dataclasses

import numpy as np

# Pairwise comparison of columns beats a sort for lists about ten long, and
# loses to it for long ones.
_LONGEST_PAIRWISE = 40
_BLOCK = 1 << 14  # impressions compared at a time, so that the columns stay in cache


def r_over_r_star(scores, v, ecpm, m, mask=None):
    """eCPM of the model's top m over eCPM of the true top m (Eq 5).

    Args:
      scores, v, ecpm: [..., n]; what the model says, the rank index in the system's
        own order (higher is better), the expected revenue (0: never ranked).
      m: ads kept, 1 .. n. A list of m ads or fewer has R/R* = 1.
      mask: [..., n] bool, False where padded.

    Returns: [...], NaN where the true top m hold no eCPM.

    >>> r_over_r_star([3, 2, 1], [3, 1, 2], [10, 0, 20], m=2).round(3)
    np.float64(0.333)
    """
    r, r_star = captured(scores, v, ecpm, m, mask)
    return np.divide(r, r_star, out=np.full_like(r, np.nan), where=r_star > 0)[()]


def captured(scores, v, ecpm, m, mask=None):
    """Numerator and denominator of Eq 5: eCPM of the model's and of the true top m.

    Their sums over impressions give R/R* weighted by money instead of by impression.

    >>> [float(total) for total in captured([3, 2, 1], [3, 1, 2], [10, 0, 20], m=2)]
    [10.0, 30.0]
    """
    scores, v, ecpm, mask = _check("r_over_r_star", mask, scores=scores, v=v, ecpm=ecpm)
    _check_cut("r_over_r_star", "m", m, ecpm.shape[-1])
    ecpm = np.where(mask, ecpm, 0.0)
    r = np.where(places(scores, ecpm, mask) < m, ecpm, 0.0).sum(axis=-1)
    r_star = np.where(places(v, -ecpm, mask) < m, ecpm, 0.0).sum(axis=-1)
    return r, r_star


def ndcg(scores, v, mask=None, *, gain="exponential"):
    """Normalised discounted cumulative gain of the whole list.

    Args:
      scores, v, mask: as in `r_over_r_star`; v >= 0.
      gain: "exponential", 2^v - 1, or "linear", v.

    Returns: [...], NaN where no ad has a gain.

    >>> ndcg([2, 1, 3], [2, 0, 1]).round(5)
    np.float64(0.79671)
    """
    scores, v, mask = _check("ndcg", mask, scores=scores, v=v)
    if np.any(v[mask] < 0):
        raise ValueError(f"ndcg: v must be >= 0; got {v[mask].min()}")
    v = np.where(mask, v, 0.0)
    if gain == "exponential":
        # Divided by 2^max, which cancels: no overflow however large the ranks.
        highest = v.max(axis=-1, keepdims=True)
        gains = np.exp2(v - highest) - np.exp2(-highest)
    elif gain == "linear":
        gains = v
    else:
        raise ValueError(f"ndcg: gain must be 'exponential' or 'linear'; got {gain!r}")
    discount = 1 / np.log2(np.arange(2, scores.shape[-1] + 2))
    ideal = np.sort(gains, axis=-1)[..., ::-1] @ discount
    found = (gains * discount[places(scores, v, mask)]).sum(axis=-1)
    return np.divide(found, ideal, out=np.full_like(ideal, np.nan), where=ideal > 0)[()]


def recall(scores, v, m, k, mask=None):
    """Share of the true top k that the model keeps among its top m (Recall@m@k of ARF).

    Returns: [...]; a list of fewer than k ads has all of them as its true top.

    >>> recall([3, 2, 1], [3, 1, 2], m=2, k=2)
    np.float64(0.5)
    """
    scores, v, mask = _check("recall", mask, scores=scores, v=v)
    _check_cut("recall", "m", m, scores.shape[-1])
    _check_cut("recall", "k", k, scores.shape[-1])
    place = places(scores, v, mask)
    true = (places(v, -place, mask) < k) & mask
    return ((place < m) & true).sum(axis=-1) / true.sum(axis=-1)


def opa(scores, v, mask=None):
    """Ordered pair accuracy: pairs of different v that the scores order likewise.

    Returns: [...], NaN where all v are equal.

    >>> opa([3, 2, 1], [3, 1, 2]).round(3)
    np.float64(0.667)
    """
    scores, v, mask = _check("opa", mask, scores=scores, v=v)
    shape, n = scores.shape[:-1], scores.shape[-1]
    right, pairs = (np.zeros(int(np.prod(shape)), np.int32) for _ in range(2))
    for block, (s, t, real) in _blocks(scores, v, mask):
        for i in range(n):
            for j in range(i):
                both = real[i] & real[j]
                above, below = both & (t[i] > t[j]), both & (t[i] < t[j])
                right[block] += above & (s[i] > s[j]) | below & (s[i] < s[j])
                pairs[block] += above | below
    return np.divide(right, pairs, out=np.full(len(pairs), np.nan),
                     where=pairs > 0).reshape(shape)[()]


def places(scores, value, mask=None):
    """Place of every ad when sorted by score, 0 for the best, [..., n] int.

    Equal scores: the lower `value` comes first, then the earlier ad. Padded ads
    come last.

    >>> places([0.5, 0.5, 0.9], [2, 1, 1]).tolist()
    [2, 1, 0]
    """
    scores, value, mask = _check("places", mask, scores=scores, value=value)
    scores, value = np.where(mask, scores, -np.inf), np.where(mask, value, np.inf)
    n = scores.shape[-1]
    if n > _LONGEST_PAIRWISE:
        order = np.lexsort((value, -scores, ~mask), axis=-1)
        out = np.empty(scores.shape, np.int32)
        np.put_along_axis(out, order, np.arange(n, dtype=np.int32), axis=-1)
        return out
    out = np.zeros((n, int(np.prod(scores.shape[:-1]))), np.int16)
    for block, (s, t) in _blocks(scores, value):
        for i in range(n):
            for j in range(i):
                # The earlier ad j stays ahead unless i is strictly better.
                ahead = (s[i] > s[j]) | (s[i] == s[j]) & (t[i] < t[j])
                out[j, block] += ahead
                out[i, block] += ~ahead
    return out.T.reshape(scores.shape)


@dataclasses.dataclass(frozen=True)
class Mean:
    """Mean over the impressions where a metric is defined, with its standard error."""

    value: float
    standard_error: float
    impressions: int
    undefined: int


def mean(values):
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


def evaluate(scores, v, ecpm, m, k, mask=None):
    """All metrics of one model on one set of impressions, name -> Mean.

    `r_over_r_star_by_money` is the ratio of the sums of Eq 5's two parts, its
    error by linearisation; the others are means over impressions.
    """
    r, r_star = captured(scores, v, ecpm, m, mask)
    ratio = np.divide(r, r_star, out=np.full_like(r, np.nan), where=r_star > 0)
    out = {"r_over_r_star": mean(ratio), "ndcg": mean(ndcg(scores, v, mask)),
           "recall": mean(recall(scores, v, m, k, mask)), "opa": mean(opa(scores, v, mask))}
    money = r_star.sum()
    if money > 0:
        share = r.sum() / money
        error = np.sqrt(np.square(r - share * r_star).sum()) / money
    else:
        share = error = np.nan
    undefined = int(np.count_nonzero(r_star <= 0))
    out["r_over_r_star_by_money"] = Mean(float(share), float(error), r.size, undefined)
    return out


# ---- helpers --------------------------------------------------------------


def _check(name, mask, **arrays):
    """The arrays as float64 of one shape, the mask filled in; refuses NaN and bad shapes."""
    arrays = {key: np.asarray(value, dtype=float) for key, value in arrays.items()}
    shapes = {key: value.shape for key, value in arrays.items()}
    first = next(iter(arrays.values()))
    if len(set(shapes.values())) > 1 or first.ndim == 0 or first.shape[-1] == 0:
        raise ValueError(f"{name}: arrays must share one shape [..., n], n >= 1; got {shapes}")
    mask = np.ones(first.shape, bool) if mask is None else np.asarray(mask, bool)
    if mask.shape != first.shape:
        raise ValueError(f"{name}: mask must have shape {first.shape}; got {mask.shape}")
    if not mask.any(axis=-1).all():
        raise ValueError(f"{name}: every impression needs a real ad; "
                         f"impression {int(np.argmin(mask.any(axis=-1)))} has none")
    for key, value in arrays.items():
        bad = np.isnan(value) & mask
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"{name}: {key} is NaN at {at}")
    return *arrays.values(), mask


def _check_cut(name, parameter, cut, n):
    if not 1 <= cut <= n or cut % 1:
        raise ValueError(f"{name}: {parameter} must be a whole number in 1..{n}; "
                         f"got {parameter} = {cut}")


def _blocks(*arrays):
    """Slices over impressions and, for each, the arrays as columns [n, block]."""
    flat = [array.reshape(-1, array.shape[-1]) for array in arrays]
    for low in range(0, len(flat[0]), _BLOCK):
        block = slice(low, low + _BLOCK)
        yield block, [np.ascontiguousarray(array[block].T) for array in flat]
