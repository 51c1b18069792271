"""Matching by brute force: the exact top k of inner products over a whole corpus.

"The inner product of the user and ad tower is directly calculated by brute force"
(appendix A), over 10^5 to 10^7 ad vectors. A scan takes the corpus block by block, so that
memory stays bounded, the corpus may be a memory map, and a block's scores stay in the
processor's cache. A block only passes on the scores above the k-th best so far, few once
some blocks have gone by, so that selecting costs little beside reading the vectors.

Equal scores are ordered by the index of their ad, lowest first.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lib.infra import machine


class TopK(NamedTuple):
    """The best ads of each user, best first."""

    ads: np.ndarray  # [users, k] rows of the corpus
    scores: np.ndarray  # [users, k]


def top_k(users, ads, k, *, block=16384, threads=1):
    """The k ads of the highest inner product with each user.

    Args:
      users: [users, width]; several users share one reading of the corpus.
      ads: [ads, width], an array or a memory map.
      k: 1 .. ads.
      block: ads scored at a time; 16384 x 64 float32 are 4 MB.
      threads: that scan a part of the corpus each; the result does not depend on them but
        for the last digits of scores, whose sums a product of other shape orders otherwise.

    Returns: `TopK`.
    Raises: ValueError for shapes that do not fit, a k out of range, a score that is NaN.

    >>> top_k(np.array([[1.0, 0.0]]), np.array([[2.0, 9.0], [3.0, 0.0], [2.0, 1.0]]), k=2)
    TopK(ads=array([[1, 0]]), scores=array([[3., 2.]]))
    """
    users = np.asarray(users)
    _check(users, ads, k, block, threads)
    bounds = np.linspace(0, len(ads), threads + 1).astype(int)
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        parts = list(
            pool.map(lambda i: _scan(users, ads, k, block, *bounds[i : i + 2]), range(threads))
        )
    best = [
        _best(np.concatenate(scores), np.concatenate(places), k)
        for scores, places in (zip(*user, strict=True) for user in zip(*parts, strict=True))
    ]
    return TopK(np.stack([places for _, places in best]), np.stack([x for x, _ in best]))


def _scan(users, ads, k, block, start, stop):
    """(scores, places) of up to k ads of each user from the rows start .. stop - 1."""
    pools = [_Pool(k, users.dtype) for _ in users]
    for first in range(start, stop, block):
        part = ads[first : min(first + block, stop)]
        for pool, scores in zip(pools, users @ part.T, strict=True):
            pool.add(scores, first)
    return [pool.best() for pool in pools]


class _Pool:
    """The best k so far and what may become one of them."""

    def __init__(self, k, dtype):
        self.k, self.threshold, self.count = k, None, 0
        self.scores, self.places = [np.empty(0, dtype)], [np.empty(0, np.int64)]

    def add(self, scores, first):
        """The scores of the ads first, first + 1, ...; above those of all earlier calls."""
        highest = scores.max()
        if highest != highest:
            raise ValueError(
                f"top_k: the score of ad {first + int(np.isnan(scores).argmax())} is NaN"
            )
        if self.threshold is None:
            places = np.arange(len(scores))
        elif highest > self.threshold:
            # An equal score loses: its ad comes after k others.
            places = np.flatnonzero(scores > self.threshold)
        else:
            return
        self.scores.append(scores[places])
        self.places.append(places + first)
        self.count += len(places)
        if self.count >= (self.k if self.threshold is None else 2 * self.k):
            scores, places = self.best()
            self.scores, self.places, self.count = [scores], [places], len(scores)
            self.threshold = scores[-1]

    def best(self):
        return _best(np.concatenate(self.scores), np.concatenate(self.places), self.k)


def _best(scores, places, k):
    """The k highest scores and their places, best first, equal ones by place."""
    if len(scores) > k:
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        highest = scores >= kth
        scores, places = scores[highest], places[highest]
    order = np.lexsort((places, -scores))[:k]
    return scores[order], places[order]


def scan_costs(
    ads=(10**5, 10**6, 10**7),
    *,
    width=64,
    k=1000,
    users=1,
    threads=None,
    repeats=5,
    seed=0,
    block=16384,
):
    """What a scan costs from small to large corpora, beside what the memory could do.

    Args:
      ads: sizes of the corpus; the largest is held in memory, 4 width bytes an ad.
      width: of the ad vectors, float32.
      users: scored in one scan.
      threads: all cores by default.
      repeats: scans of each size, whose median counts; sizes are taken in turns.
      seed: of the random vectors.

    Returns: DataFrame with ads, width, users, k, threads, ms (median), ms_low, ms_high
      (fastest and slowest), gigabytes_per_second read, share_of_bandwidth (of
      `lib.infra.machine.memory_bandwidth`), gigaflops_per_second, cpu.
    """
    threads = threads or machine.cores()
    rng = np.random.default_rng(seed)
    corpus = rng.standard_normal((max(ads), width), np.float32)
    user_vectors = rng.standard_normal((users, width), np.float32)
    bandwidth = machine.memory_bandwidth(threads)
    seconds = {count: [] for count in ads}
    for repeat in range(repeats + 1):
        for count in ads:
            begin = time.perf_counter()
            top_k(user_vectors, corpus[:count], k, block=block, threads=threads)
            if repeat:  # the first warms up
                seconds[count].append(time.perf_counter() - begin)

    def row(count):
        median = np.median(seconds[count])
        read = 4.0 * count * width / median
        return {
            "ads": count,
            "width": width,
            "users": users,
            "k": k,
            "threads": threads,
            "ms": 1000 * median,
            "ms_low": 1000 * min(seconds[count]),
            "ms_high": 1000 * max(seconds[count]),
            "gigabytes_per_second": read / 1e9,
            "share_of_bandwidth": read / bandwidth,
            "gigaflops_per_second": users * read / 2 / 1e9,
            "cpu": machine.facts()["cpu"],
        }

    return pd.DataFrame([row(count) for count in ads])


def scan_costs_task(task, path):
    """`scan_costs` as a task of `lib.infra.sweep`: {"rows": its rows}.

    Args:
      task: dict of its arguments; and `on`, `lib.infra.machine.facts()`.
      path: not used.
    """
    settings = {name: value for name, value in task.items() if name != "on"}
    return {"rows": scan_costs(**settings).to_dict("records")}


def _check(users, ads, k, block, threads):
    if users.ndim != 2 or ads.ndim != 2 or users.shape[1] != ads.shape[1]:
        raise ValueError(
            "top_k: users must be [users, width] and ads [ads, width]; got "
            f"{users.shape} and {ads.shape}"
        )
    if not 1 <= k <= len(ads):
        raise ValueError(f"top_k: k must lie in 1..{len(ads)}, the number of ads; got {k}")
    for name, value in (("block", block), ("threads", threads)):
        if value < 1:
            raise ValueError(f"top_k: {name} must be >= 1; got {value}")
