"""Budgets as a static throttle: how often an ad may take part in visits.

A platform paces advertisers whose demand exceeds their budget. Here their pace is found once,
from what they would spend under the oracle Pre-ranking, and then holds for every system under
test: arms of a test do not spend from one purse, and so do not interfere.
"""

from dataclasses import replace

import numpy as np

from lib.infra.grid import on_grid
from lib.simulation.cascade import MONEY_BITS, oracle_system, visit
from lib.simulation.keyed_random import normal, visit_keys

ROUNDS = 6  # a throttled advertiser's demand goes to others, who may then need throttling
LEAST_PACE = 0.02
BLOCK_VISITS = 512  # visits simulated together; their candidates then stay in the cache


def paced(matched):
    """Matched with the pace at which budgets let ads take part.

    Budgets are log-normal per ad, in sum the demand without budgets / `budget_tightness`; an
    advertiser's ads share theirs and are throttled alike.
    """
    p, advertiser = matched.world.parameters, matched.world.advertiser
    unlimited = spend(replace(matched, pace=np.ones(p.ads, np.float32)))
    keys = visit_keys(p.seed, "budgets", 0, 0)
    size = np.bincount(advertiser, minlength=p.advertisers)
    spread = np.exp(p.budget_sd * normal(keys, np.arange(p.advertisers)).astype(np.float64))
    budget = size * on_grid(spread, 20)
    budget *= unlimited.sum() / p.budget_tightness / budget.sum()
    pace, spent = np.ones(p.advertisers), unlimited
    for _ in range(ROUNDS):
        affordable = np.divide(budget, spent, out=np.full_like(budget, np.inf), where=spent > 0)
        pace = np.clip(pace * affordable, LEAST_PACE, 1)
        matched = replace(matched, pace=pace[advertiser].astype(np.float32))
        spent = spend(matched)
    return matched


def spend(matched, seed=0):
    """What each advertiser would pay for one visit of every user, float64 [advertisers]."""
    p, system = matched.world.parameters, oracle_system(matched)
    total, discounts = np.zeros(p.advertisers), np.asarray(p.position_discounts)
    rows = np.arange(len(matched.users))
    for start in range(0, len(rows), BLOCK_VISITS):
        block = rows[start : start + BLOCK_VISITS]
        outcome = visit(system, block, np.zeros_like(block), seed)
        places = outcome.queue[:, : len(discounts)]  # of the ads that compete for slots
        ads = matched.ads[block[:, None], np.take_along_axis(outcome.columns, places, axis=1)]
        ecpm = np.take_along_axis(outcome.ecpm, places, axis=1)
        price = on_grid(outcome.exposed * discounts * ecpm / 1000, MONEY_BITS)
        total += np.bincount(matched.world.advertiser[ads].ravel(), price.ravel(), p.advertisers)
    return total
