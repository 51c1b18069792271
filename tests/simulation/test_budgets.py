"""Budgets: who wants more than they have is throttled, alike in all arms."""

import numpy as np

from lib.simulation import install_pre_ranking, match, oracle_system
from lib.simulation.budgets import spend
from lib.simulation.cascade import visit
from tests.simulation.helpers import small


def test_budgets_throttle_advertisers_that_want_more_than_they_have():
    world = small(budget_tightness=2.0)
    paced = match(world)
    free = match(small())
    assert free.pace is None and (paced.pace > 0).all() and (paced.pace <= 1).all()
    assert 0.02 < np.mean(paced.pace < 1) < 0.98
    np.testing.assert_array_equal(paced.ads, free.ads)
    want, got = spend(free), spend(paced)
    pace = np.ones(60)
    pace[world.advertiser] = paced.pace
    # Who is held back spends less than without budgets; what is set free goes to others.
    assert got[pace < 0.5].sum() < 0.7 * want[pace < 0.5].sum()
    assert got[pace == 1].sum() > want[pace == 1].sum()


def test_two_systems_under_budgets_share_the_pace():
    paced = match(small(budget_tightness=1.0))
    one, other = (
        visit(system, np.arange(300), np.zeros(300, int), seed=0)
        for system in (install_pre_ranking(paced), oracle_system(paced))
    )
    np.testing.assert_array_equal(one.absent, other.absent)
    assert one.absent.mean() > 0.22  # more than drop_rate
