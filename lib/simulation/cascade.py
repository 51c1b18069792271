"""The cascade: Matching -> Pre-ranking -> Ranking -> Mix-ranking -> billing (paper, section 3.1).

Matching (matching.py) and Pre-ranking run several pathways each and fuse them by their shares
(Figure 2). A user's candidates and a model's scores of them do not change between visits, so
`match` and `install_pre_ranking` compute them once; `visit` draws what changes: which candidates
are absent, Ranking's noise, organic content.

Candidates absent from a visit stand in for budgets and frequency caps. No budget is ever spent
while visits are made (budgets.py throttles beforehand), so two arms of a test cannot take money
from each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from lib.infra.grid import on_grid, significant
from lib.simulation.keyed_random import normal, uniform, visit_keys
from lib.simulation.truth import BLOCK_USERS, LOGIT_BITS

ECPM_BITS = 20  # significant bits of an eCPM, so that it is the same on every processor
MONEY_BITS = 32  # grid of an exposure's price, 2^-32: all sums of money up to 2^21 are exact


@dataclass(frozen=True)
class System:
    """A retrieval system in operation: Matching's candidates and a Pre-ranking model's scores.

    Attributes:
      matched: Matched.
      scores: float32 [U, matching_ads], or None: Pre-ranking's revenue pathway is random.
    """

    matched: Any  # Matched, whose module imports this one
    scores: np.ndarray | None


@dataclass(frozen=True)
class Visits:
    """What the cascade did in B visits. Ads are columns of `Matched.ads`.

    Attributes:
      columns: ads that reached Ranking, best eCPM first, integers [B, pre_ranking_ads].
      ecpm: Ranking's predictions for them, per 1000 exposures, float32, same shape.
      queue: the system's final order, best first, as places in `columns`, integers of the same
        shape: Mix-ranking's queue, then the others by eCPM.
      exposed: whether the s-th ad of the queue was shown, bool [B, slots].
      absent: candidates that could not take part, bool [B, matching_ads].
      scores: Pre-ranking's revenue pathway, float32 [B, matching_ads].
      revenue: first price, currency units per visit, float64 [B].
      revenue_gsp: each exposed ad pays the next eCPM of Ranking's order instead, [B].
      revenue_true: what the exposures are worth by what users really do, [B].
    """

    columns: np.ndarray
    ecpm: np.ndarray
    queue: np.ndarray
    exposed: np.ndarray
    absent: np.ndarray
    scores: np.ndarray
    revenue: np.ndarray
    revenue_gsp: np.ndarray
    revenue_true: np.ndarray


def fuse(pathways: Sequence[np.ndarray], slots: Sequence[int]) -> np.ndarray:
    """The ads of several pathways: each sends its best that no earlier pathway has sent.

    Args:
      pathways: list of scores, each float [B, C]; -inf is never taken while others are left.
      slots: list of int, how many ads each pathway may send on; their sum is at most C.

    Returns: integers [B, sum(slots)]; the pathways' choices side by side, each's best first.

    >>> fuse([np.array([[3.0, 2.0, 1.0]]), np.array([[9.0, 5.0, 7.0]])], [1, 1])
    array([[0, 2]])
    """
    chosen = []
    for scores, count in zip(pathways, slots, strict=True):
        remaining = np.array(scores, dtype=np.float32)
        for earlier in chosen:
            np.put_along_axis(remaining, earlier, -np.inf, axis=1)
        chosen.append(best(remaining, count))
    return np.concatenate(chosen, axis=1)


def install_pre_ranking(matched: Any, pre_ranking: Callable | None = None) -> System:
    """The system that runs a Pre-ranking model.

    Args:
      matched: Matched.
      pre_ranking: callable (users [B], ads [B, C]) -> scores [B, C]; None for a revenue pathway
        that orders at random, anew in each visit.

    Returns: System.

    Raises: ValueError when the model's scores have the wrong shape or are not finite.
    """
    if pre_ranking is None:
        return System(matched, None)
    scores = np.empty(matched.ads.shape, dtype=np.float32)
    for start in blocks(len(matched.users), "Pre-ranking"):
        block = slice(start, start + BLOCK_USERS)
        ads = matched.ads[block]
        block_scores = pre_ranking(matched.users[block], ads)
        scores[block] = checked_scores("pre_ranking", block_scores, ads.shape)
    return System(matched, scores)


def oracle_system(matched: Any) -> System:
    """The system whose Pre-ranking knows what Ranking will predict, up to a visit's noise.

    Nobody could train it: the reference for how much revenue Pre-ranking loses. Returns: System.
    """
    return System(matched, matched.log_ecpm)


def visit(system: System, rows: np.ndarray, visits: np.ndarray, seed: int) -> Visits:
    """What Pre-ranking, Ranking, Mix-ranking and billing do in B visits.

    Random numbers are keyed by (seed, user, visit, ad): systems compared under one seed have
    them in common.

    Args:
      system: System.
      rows: integers [B], rows of `system.matched`, who visits.
      visits: integers [B], number of the visit.
      seed: int.

    Returns: Visits.
    """
    matched = system.matched
    p = matched.world.parameters
    users, ads = matched.users[rows], matched.ads[rows]

    def keys(stream):
        return visit_keys(seed, stream, users, visits)

    absent = uniform(keys("absent"), ads) < absent_rate(matched, ads)
    scores = uniform(keys("random"), ads) if system.scores is None else system.scores[rows]
    pathways = [np.where(absent, -np.inf, pathway) for pathway in (scores, matched.interest[rows])]
    columns = fuse(pathways, p.pre_ranking_slots)
    log_ecpm = matched.log_ecpm[rows[:, None], columns]
    columns, log_ecpm = _rank(columns, ads, log_ecpm, keys, p)
    ranked_ads = np.take_along_axis(ads, columns, axis=1)
    queue, exposed = _mix(ranked_ads, log_ecpm, matched.world.organic, keys, p)
    ecpm = _exp(log_ecpm)
    true_ecpm = _exp(matched.true_log_ecpm[rows[:, None], columns])
    revenue = _bill(ecpm, true_ecpm, queue, exposed, p)
    return Visits(columns, ecpm, queue, exposed, absent, scores, *revenue)


def absent_rate(matched: Any, ads: np.ndarray) -> float | np.ndarray:
    """Probability that a candidate is absent from a visit: a number, or float32 like `ads`."""
    p = matched.world.parameters
    if matched.pace is None:
        return p.drop_rate
    return 1 - (1 - np.float32(p.drop_rate)) * matched.pace[ads]


def _rank(columns, ads, log_ecpm, keys, parameters):
    """Ranking: adds a visit's noise to its predictions; columns and log eCPM, best first."""
    noise = normal(keys("ranking"), np.take_along_axis(ads, columns, axis=1))
    log_ecpm = log_ecpm + parameters.ranking_noise_sd * noise
    order = np.argsort(-log_ecpm, axis=1, kind="stable")
    return (np.take_along_axis(values, order, axis=1) for values in (columns, log_ecpm))


def _mix(ads, log_ecpm, organic, keys, parameters):
    """Mix-ranking: queue and exposed of Visits; `ads` and `log_ecpm` in Ranking's order.

    The s-th ad of the queue competes for slot s with organic content, whose worth varies.
    """
    p, in_mix = parameters, slice(parameters.mix_queue)
    worth = log_ecpm[:, in_mix] + p.mix_noise_sd * normal(keys("mix"), ads[:, in_mix])
    behind = np.tile(np.arange(p.mix_queue, p.pre_ranking_ads), (len(ads), 1))
    queue = np.append(np.argsort(-worth, axis=1, kind="stable"), behind, axis=1)
    slots = np.arange(len(p.position_discounts))
    ad_worth = np.take_along_axis(worth, queue[:, slots], axis=1)
    ad_worth = ad_worth + on_grid(np.log(p.position_discounts), LOGIT_BITS)
    return queue, ad_worth > organic + p.organic_sd * normal(keys("organic"), slots)


def _bill(ecpm, true_ecpm, queue, exposed, parameters):
    """First-price, second-price and true revenue of each visit, three of float64 [B]."""
    discounts = np.asarray(parameters.position_discounts)
    attention = exposed * discounts / 1000  # eCPM is per 1000 exposures
    places = queue[:, : len(discounts)]  # of the ads that compete for slots
    next_ecpm = np.append(ecpm[:, 1:], np.zeros_like(ecpm[:, :1]), axis=1)
    return [
        np.sum(on_grid(attention * np.take_along_axis(price, places, axis=1), MONEY_BITS), axis=1)
        for price in (ecpm, next_ecpm, true_ecpm)
    ]


def _exp(log_ecpm):
    return significant(np.exp(log_ecpm.astype(np.float64)), ECPM_BITS).astype(np.float32)


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """Columns of the `count` best scores of each row, best first, [B, C] -> [B, count].

    Scores are compared as float32; of equal ones the first column is the best.
    """
    if count == 0:
        return np.empty((len(scores), 0), dtype=np.intp)
    # Whole numbers in the order of (score, -column): without ties, partitions and sorts of every
    # processor agree. A float's bits are in its order once those of a negative one are turned;
    # adding 0 makes -0 a 0.
    bits = (np.asarray(scores, np.float32) + np.float32(0)).view(np.int32)
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32
    last = keys.shape[1] - 1
    keys |= last - np.arange(last + 1)
    keys.partition(last + 1 - count, axis=1)
    return last - (np.sort(keys[:, -count:], axis=1)[:, ::-1] & 0xFFFFFFFF)


def blocks(users: int, stage: str) -> tqdm:
    """First row of each block of users, with a progress bar on a terminal."""
    starts = range(0, users, BLOCK_USERS)
    return tqdm(starts, desc=stage, unit="block", leave=False, disable=None)


def checked_scores(name: str, scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A model's scores as float32; refuses another shape, NaN and infinity."""
    scores = np.asarray(scores, dtype=np.float32)
    if scores.shape != shape:
        raise ValueError(f"{name}: scores must have shape {shape}; got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}: scores must be finite; got {scores[~np.isfinite(scores)][0]}")
    return scores
