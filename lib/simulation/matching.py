"""Matching: which ads of the inventory become a user's candidates.

It depends on the user alone, not on the visit, and is computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lib.simulation.budgets import paced
from lib.simulation.cascade import blocks, checked_scores, fuse
from lib.simulation.keyed_random import uniform, visit_keys
from lib.simulation.truth import BLOCK_USERS
from lib.simulation.world import World

EVERY_VISIT = 0  # visit number in the key of what is drawn once per user
LOST_ADS = 200  # per user, Matching's losers kept so that logs can draw from them


@dataclass(frozen=True)
class Matched:
    """What Matching hands on, per user.

    Attributes:
      world: World.
      users: integers [U].
      ads: int32 [U, matching_ads].
      interest: CTR pathway's score of these ads, float32, same shape.
      log_ecpm: Ranking's prediction for them before a visit's noise: truth, for `visit` alone.
      true_log_ecpm: what their exposures are really worth: for `visit` alone.
      lost_ads: a uniform sample of the ads that lost in Matching, best first, int32 [U, L].
      pace: share of visits that an ad's budget lets it take part in, float32 [ads] (budgets.py);
        None without budgets.
    """

    world: World
    users: np.ndarray
    ads: np.ndarray
    interest: np.ndarray
    log_ecpm: np.ndarray
    true_log_ecpm: np.ndarray
    lost_ads: np.ndarray
    pace: np.ndarray | None = None


def match(
    world: World, matching: Callable | None = None, users: np.ndarray | None = None
) -> Matched:
    """Matching: the candidates of each user.

    Args:
      world: World.
      matching: callable (users [B]) -> scores [B, ads], the revenue pathway's model; default a
        stand-in for a small production twin tower (`Truth.revenue_stand_in`).
      users: integers [U], default all that are present.

    Returns: Matched.

    Raises: ValueError when the model's scores have the wrong shape or are not finite.
    """
    matching = world.truth.revenue_stand_in if matching is None else matching
    users = world.present_users if users is None else np.asarray(users)
    parts = [
        _match(world, matching, users[start : start + BLOCK_USERS])
        for start in blocks(len(users), "Matching")
    ]
    matched = Matched(world, users, *(np.concatenate(part) for part in zip(*parts, strict=True)))
    return paced(matched) if world.parameters.budget_tightness else matched


def _match(world, matching, users):
    """Matching for one block of users: the fields of Matched from `ads` on."""
    p = world.parameters
    revenue = checked_scores("matching", matching(users), (len(users), p.ads))
    interest = world.truth.interest_stand_in(users)
    random = uniform(visit_keys(p.seed, "matching", users, EVERY_VISIT), np.arange(p.ads))
    present = len(world.present_ads)
    if present < p.ads:
        absent = np.isin(np.arange(p.ads), world.present_ads, invert=True)
        revenue, interest, random = (
            np.where(absent, -np.inf, pathway) for pathway in (revenue, interest, random)
        )
    # What random order would take next is a uniform sample of those that lost.
    interest_ads = round(p.matching_ads * p.matching_interest_share)
    random_ads = round(p.matching_ads * p.matching_random_share)
    lost = min(LOST_ADS, present - p.matching_ads)
    slots = [p.matching_ads - interest_ads - random_ads, interest_ads, random_ads, lost]
    ads = fuse([revenue, interest, random, random], slots).astype(np.int32)
    candidates, lost_ads = np.split(ads, [p.matching_ads], axis=1)
    order = np.argsort(-np.take_along_axis(revenue, lost_ads, axis=1), axis=1, kind="stable")
    true_log_ecpm = world.truth.log_ecpm(users, candidates)
    return (
        candidates,
        np.take_along_axis(interest, candidates, axis=1).astype(np.float32),
        world.truth.as_ranking_predicts(users, candidates, true_log_ecpm).astype(np.float32),
        true_log_ecpm.astype(np.float32),
        np.take_along_axis(lost_ads, order, axis=1),
    )


def oracle_matching(world: World) -> Callable[[np.ndarray], np.ndarray]:
    """A Matching model (users) -> scores that knows what Ranking will predict.

    The reference for Matching. It need not earn the most: the candidates that it selects are
    worth nearly the same, and a weak Pre-ranking errs more among such.
    """

    def scores(users):
        everything = np.arange(world.parameters.ads)
        return world.truth.ranking_log_ecpm(
            users, np.broadcast_to(everything, (len(users), len(everything)))
        )

    return scores
