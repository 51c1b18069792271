"""The cascade: fusion, visits and billing by loops."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.simulation import ab_test, install_pre_ranking, match, oracle_system, run_arm
from lib.simulation.cascade import best, fuse, visit
from lib.simulation.keyed_random import normal, uniform, visit_keys
from tests.simulation.helpers import log_of, noisy, small


def test_fusion_by_hand():
    by_revenue, by_interest = np.array([[5, 4, 3, 2, 1.0]]), np.array([[9, 1, 2, 8, 7.0]])
    # Revenue takes ads 0 and 1; interest would take 0, which is gone, so 3.
    assert set(fuse([by_revenue, by_interest], [2, 1])[0]) == {0, 1, 3}


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_fusion_equals_a_loop(seed, pathways):
    rng = np.random.default_rng(seed)
    scores = [rng.permuted(np.tile(np.arange(12.0), (3, 1)), axis=1) for _ in range(pathways)]
    slots = rng.integers(0, 4, pathways).tolist()
    for row, got in enumerate(fuse(scores, slots)):
        taken = []
        for score, count in zip(scores, slots, strict=True):
            left = [c for c in np.argsort(-score[row]) if c not in taken]
            taken += left[:count]
        assert sorted(got) == sorted(taken)


@pytest.mark.parametrize(
    "model, message",
    [
        (
            lambda users, ads: np.zeros(3),
            r"pre_ranking: scores must have shape \(256, 200\); got \(3,",
        ),
        (
            lambda users, ads: np.full(ads.shape, np.nan),
            "pre_ranking: scores must be finite; got nan",
        ),
    ],
)
def test_bad_scores_are_refused(matched, model, message):
    with pytest.raises(ValueError, match=message):
        install_pre_ranking(matched, model)


def visit_by_loop(system, row, number, seed):
    """One visit, ad by ad: revenue, second-price revenue, exposed ads."""
    matched, p = system.matched, system.matched.world.parameters
    user = matched.users[row]

    def keyed(draw, stream, item):
        return draw(visit_keys(seed, stream, [user], [number]), [[item]])[0, 0]

    there = [
        c for c, ad in enumerate(matched.ads[row]) if keyed(uniform, "absent", ad) >= p.drop_rate
    ]
    kept = sorted(there, key=lambda c: -system.scores[row, c])[:15]
    others = [c for c in there if c not in kept]
    kept += sorted(others, key=lambda c: -matched.interest[row, c])[:5]

    value = {
        c: matched.log_ecpm[row, c] + 0.2 * keyed(normal, "ranking", matched.ads[row, c])
        for c in kept
    }
    order = sorted(kept, key=lambda c: -value[c])
    worth = {c: value[c] + 0.3 * keyed(normal, "mix", matched.ads[row, c]) for c in order[:10]}
    queue = sorted(worth, key=lambda c: -worth[c])
    revenue, second, shown = 0.0, 0.0, []
    for slot, discount in enumerate((1, 0.8, 0.65)):
        organic = matched.world.organic + 0.5 * keyed(normal, "organic", slot)
        if worth[queue[slot]] + np.log(discount) > organic:
            next_best = order[order.index(queue[slot]) + 1]
            revenue += discount * np.exp(value[queue[slot]]) / 1000
            second += discount * np.exp(value[next_best]) / 1000
            shown.append(matched.ads[row, queue[slot]])
    return revenue, second, shown


def test_visits_equal_a_loop(matched):
    system = noisy(matched, 1.0)
    rows, numbers = np.arange(0, 300, 12), np.arange(25) * 3
    got = visit(system, rows, numbers, seed=4)
    shown = np.take_along_axis(got.columns, got.queue[:, :3], axis=1)
    for i, (row, number) in enumerate(zip(rows, numbers, strict=True)):
        revenue, second, ads = visit_by_loop(system, row, number, seed=4)
        assert got.revenue[i] == pytest.approx(revenue, rel=1e-4)
        assert got.revenue_gsp[i] == pytest.approx(second, rel=1e-4)
        assert matched.ads[row, shown[i][got.exposed[i]]].tolist() == ads


def test_second_price_never_exceeds_first_price(oracle):
    got = visit(oracle, np.arange(300), 0, seed=1)
    assert (got.revenue_gsp <= got.revenue).all() and got.exposed.mean() > 0.5


def test_absent_candidates_stay_out(oracle):
    got = visit(oracle, np.arange(300), 0, seed=1)
    assert not np.take_along_axis(got.absent, got.columns, axis=1).any()
    assert got.absent.mean() == pytest.approx(0.2, abs=0.01)


def test_true_revenue_by_a_loop(matched):
    p, rows = matched.world.parameters, np.arange(20)
    made = visit(oracle_system(matched), rows, np.zeros(20, int), seed=3)
    truth = matched.world.truth
    for b in range(20):
        total = 0.0
        for slot, discount in enumerate(p.position_discounts):
            if made.exposed[b, slot]:
                ad = matched.ads[b, made.columns[b, made.queue[b, slot]]]
                rate = truth.ctr([b], [ad])[0, 0] * truth.cvr([b], [ad])[0, 0]
                total += discount * rate * np.exp(truth.log_bid[ad])
        assert made.revenue_true[b] == pytest.approx(total, rel=1e-3)


def test_a_ranking_without_error_bills_what_users_do():
    exact = match(small(ranking_error_sd=1e-9, ranking_noise_sd=0.0))
    made = visit(oracle_system(exact), np.arange(300), np.zeros(300, int), seed=0)
    np.testing.assert_allclose(made.revenue, made.revenue_true, rtol=1e-5)


def test_the_order_of_candidates_changes_nothing(matched):
    """A partition leaves it to the processor: logs and tests must not depend on it."""
    order = np.argsort(uniform(visit_keys(1, "order", matched.users, 0), matched.ads), axis=1)
    per_candidate = ("ads", "interest", "log_ecpm", "true_log_ecpm")
    other = replace(
        matched,
        **{
            name: np.take_along_axis(getattr(matched, name), order, axis=1)
            for name in per_candidate
        },
    )
    first, second = (noisy(m, 0.5) for m in (matched, other))
    assert log_of(first, 300).equals(log_of(second, 300))
    assert ab_test(first, second).revenue_lift == 0


def test_best_orders_equal_scores_by_column():
    scores = np.array([[1.0, 2.0, 2.0, 0.0, -0.0, 2.0, -np.inf, -3.0]])
    assert best(scores, 8).tolist() == [[1, 2, 5, 0, 3, 4, 7, 6]]
    rng = np.random.default_rng(0)
    scores = rng.integers(-3, 3, (50, 40)) / 7
    for count in (0, 1, 7, 40):
        slow = np.array([sorted(range(40), key=lambda j: (-row[j], j))[:count] for row in scores])
        np.testing.assert_array_equal(best(scores, count), slow)


def test_sums_of_money_do_not_hang_on_their_order(matched):
    revenue = run_arm(oracle_system(matched), visits=3, seed=1).revenue
    shuffled = np.random.default_rng(0).permutation(revenue)
    assert revenue.sum() == shuffled.sum() == math.fsum(revenue) == sum(shuffled.tolist())
