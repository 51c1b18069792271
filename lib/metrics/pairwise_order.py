"""Orders of the ads of an impression, for very many impressions at once.

Impressions are worked off in blocks that stay in the processor's cache, turned so that ads
lie on the first axis: each step then runs along memory, over the impressions. Every two
ads of an impression are compared once, and all metrics share the result.
"""

import math
from functools import cached_property

import numpy as np

# Comparing all pairs beats a sort for lists about ten long, and loses to it for long ones.
_LONGEST_PAIRWISE = 40
_BLOCK = 1 << 17  # ads in a block: few enough to stay in cache, enough to hide each call's cost


class Compared:
    """Values of the ads of a block, [n, impressions], and how every two of them compare."""

    def __init__(self, values):
        self.values = values

    @property
    def pairs(self):
        """For each ad: is it above, is it tied with, each ad before it; [ads before, B]."""
        return self._few if len(self.values) <= _LONGEST_PAIRWISE else self._compare()

    @cached_property
    def _few(self):
        return list(self._compare())

    def _compare(self):
        return ((x > self.values[:i], x == self.values[:i]) for i, x in enumerate(self.values))


class Block:
    """Impressions with ads on the first axis, so that each step runs along memory."""

    def __init__(self, real, scores, v, ecpm=None):
        self.real, self.scores, self.v = real, Compared(scores), Compared(v)
        self.ecpm = None if ecpm is None else Compared(ecpm)

    @cached_property
    def place_by_scores_v(self):
        return placed(self.scores, self.v, self.real)

    @cached_property
    def place_by_scores_ecpm(self):
        return placed(self.scores, self.ecpm, self.real)

    @cached_property
    def place_by_v(self):
        """The system's own order; of equal v the higher eCPM first, where it is known."""
        among_equals = self.v if self.ecpm is None else Compared(-self.ecpm.values)
        return placed(self.v, among_equals, self.real)


def placed(first, second, real):
    """Place of every ad by falling `first`, then rising `second`, padded ads last; [n, B]."""
    n = len(real)
    if n > _LONGEST_PAIRWISE:
        order = np.lexsort((second.values, -first.values, ~real), axis=0)
        places = np.empty(order.shape, np.int32)
        np.put_along_axis(places, order, np.arange(n, dtype=np.int32)[:, None], axis=0)
        return places
    places, padded = np.zeros(real.shape, np.int8), not real.all()
    for i, (ahead, tied) in enumerate(first.pairs):
        # The earlier ad stays ahead unless this one is strictly better.
        if tied.any():
            ahead = ahead | tied & (second.values[i] < second.values[:i])
        if padded:
            ahead = real[i] & (ahead | ~real[:i])
        places[:i] += ahead
        places[i] = i - counted(ahead)
    return places


def counted(flags):
    """True flags over the first axis; small counts stay in bytes, which add fastest."""
    return flags.view(np.int8).sum(axis=0, dtype=np.int8 if len(flags) < 128 else np.int32)


def over_blocks(name, metric, mask, cuts=(), **arrays):
    """metric(block) of every block of impressions, joined: [..., impressions].

    In place of that last axis come the leading axes of `arrays`, [..., n].
    """
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    shapes = {key: value.shape for key, value in arrays.items()}
    *lead, n = shape = shapes["scores"] or (0,)
    if len(set(shapes.values())) > 1 or n == 0:
        raise ValueError(f"{name}: arrays must share one shape [..., n], n >= 1; got {shapes}")
    mask = np.broadcast_to(True, shape) if mask is None else np.asarray(mask, bool)
    if mask.shape != shape:
        raise ValueError(f"{name}: mask must have shape {shape}; got {mask.shape}")
    for key, cut in dict(cuts).items():
        if not 1 <= cut <= n or cut % 1:
            raise ValueError(f"{name}: {key} must be a whole number in 1..{n}; got {key} = {cut}")
    count, step, results = math.prod(lead), max(1, _BLOCK // n), []
    for first in range(0, max(1, count), step):
        rows = slice(first, first + step)
        real = _columns(mask, rows, bool)
        columns = {key: _columns(value, rows, float) for key, value in arrays.items()}
        _check(
            name,
            columns,
            real,
            lambda row, ad, first=first: tuple(
                int(i) for i in (*np.unravel_index(first + row, lead), ad)
            ),
        )
        results.append(metric(Block(real, **columns)))
    joined = np.concatenate(results, axis=-1)
    return joined.reshape((*joined.shape[:-1], *lead))


def _columns(array, rows, dtype):
    """Some impressions of [..., n] as contiguous [n, impressions]."""
    return array.reshape(-1, array.shape[-1])[rows].T.astype(dtype, order="C")


def _check(name, columns, real, where):
    """Refuses what no metric can take; sets padded ads, which may hold anything, to 0."""
    filled = real.any(axis=0)
    if not filled.all():
        raise ValueError(
            f"{name}: every impression needs a real ad; "
            f"the one at {where(np.argmin(filled), 0)[:-1]} has none"
        )
    for key, values in columns.items():
        undefined = np.isnan(values) & real
        if undefined.any():
            raise ValueError(f"{name}: {key} is NaN at {where(*np.argwhere(undefined.T)[0])}")
        if not real.all():
            np.copyto(values, 0.0, where=~real)
    ecpm = columns.get("ecpm", np.zeros(1))
    if ecpm.size and not 0 <= ecpm.min() <= ecpm.max() < np.inf:
        refused = ecpm.min() if ecpm.min() < 0 else ecpm.max()
        raise ValueError(f"{name}: ecpm must be finite and >= 0; got {refused}")
