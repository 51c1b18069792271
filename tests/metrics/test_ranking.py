"""Offline metrics: by hand, against slow loops with ties and masks, invariants."""

import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from lib.metrics import (
    captured_ecpm,
    evaluate,
    joint_recall,
    mean,
    ndcg,
    opa,
    pairwise_order,
    r_over_r_star,
    ranks,
    recall,
    revenue_ndcg,
)

rng = np.random.default_rng(0)
LISTS, N = 60, 9
SCORES = rng.integers(0, 4, (LISTS, N)).astype(float)  # many ties
V = rng.integers(0, 5, (LISTS, N)).astype(float)  # in the truth, too
ECPM = rng.integers(0, 3, (LISTS, N)) * rng.lognormal(size=(LISTS, N))  # a third earn nothing
LENGTHS = rng.integers(3, N + 1, LISTS)
MASK = rng.permuted(np.arange(N) < LENGTHS[:, None], axis=1)  # padding anywhere in the list
# As SCORES, V and ECPM, and without ties: whatever order the ads come in, one value.
DISTINCT = [
    rng.permuted(np.tile(np.arange(N), (LISTS, 1)), axis=1).astype(float) for _ in range(2)
] + [rng.lognormal(size=(LISTS, N))]


def ragged(*arrays):
    """The lists without padding, as Python lists."""
    for row in zip(MASK, *arrays, strict=True):
        yield [values[row[0]].tolist() for values in row[1:]]


# ---- by hand --------------------------------------------------------------


def test_r_over_r_star_by_hand():
    assert r_over_r_star([3, 2, 1], [3, 1, 2], [10, 0, 20], m=2) == (10 + 0) / (10 + 20)
    assert r_over_r_star([3, 2, 1], [3, 1, 2], [10, 0, 20], m=1) == 1
    assert r_over_r_star([3, 2, 1], [3, 1, 2], [10, 0, 20], m=3) == 1
    # The order of v is not that of ecpm: the system's own choice can be beaten.
    assert r_over_r_star([1, 2], [2, 1], [4, 6], m=1) == 6 / 4


def test_revenue_ndcg_by_hand():
    found, own = 10 + 0 / np.log2(3) + 20 / 2, 10 + 20 / np.log2(3) + 0 / 2
    assert revenue_ndcg([3, 2, 1], [3, 1, 2], [10, 0, 20]) == pytest.approx(found / own)
    # The system's own order is not that of ecpm, and can be beaten.
    assert revenue_ndcg([1, 2], [2, 1], [4, 6]) == pytest.approx(
        (6 + 4 / np.log2(3)) / (4 + 6 / np.log2(3))
    )


def test_joint_recall_by_hand():
    scores, v, ecpm = [5, 4, 3, 2, 1], [5, 1, 4, 2, 3], [30, 40, 20, 0, 50]
    # The model keeps ads 0, 1, 2; Ranking then keeps 1 and 0; of the true 0 and 2 one is left.
    assert joint_recall(scores, v, ecpm, m=3, q=2, k=2) == 1 / 2
    assert joint_recall(scores, v, ecpm, m=3, q=1, k=2) == 0
    # Ad 4 earns most, but a model that keeps it as one of five loses ad 0 to it and to ad 1.
    assert joint_recall(scores, v, ecpm, m=5, q=2, k=1) == 0
    assert joint_recall(scores, v, ecpm, m=5, q=3, k=1) == 1


def test_equal_scores_count_against_the_model():
    assert r_over_r_star([1, 1], [2, 1], [8, 2], m=1) == 2 / 8
    assert r_over_r_star([2, 1], [1, 1], [2, 8], m=1) == 2 / 8
    assert recall([1, 1], [2, 1], m=1, k=1) == 0
    assert opa([1, 1], [2, 1]) == 0
    assert joint_recall([1, 1], [2, 1], [3, 3], m=2, q=1, k=1) == 0  # equal for Ranking
    assert joint_recall([2, 1], [1, 1], [3, 3], m=1, q=1, k=1) == 0
    assert revenue_ndcg([1, 1], [2, 1], [2, 1]) == revenue_ndcg([1, 2], [1, 1], [2, 1])
    assert ndcg([1, 1], [2, 1], gain="linear") == pytest.approx(
        (1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))
    )


def test_undefined_is_nan_and_counted():
    scores, v = [[2, 1], [2, 1]], [[0, 0], [1, 0]]
    assert np.isnan(r_over_r_star(scores, v, [[0, 0], [3, 0]], m=1)).tolist() == [True, False]
    assert np.isnan(ndcg(scores, v)).tolist() == [True, False]
    assert np.isnan(opa(scores, v)).tolist() == [True, False]
    report = evaluate(scores, v, [[0, 0], [3, 0]], m=1, k=1)
    assert {name: m.undefined for name, m in report.items()} == {
        "r_over_r_star": 1,
        "ndcg": 1,
        "revenue_ndcg": 1,
        "recall": 0,
        "joint_recall": 1,
        "opa": 1,
        "revenue_weighted_r_over_r_star": 0,
    }
    assert {m.impressions for m in report.values()} == {2}
    nothing = evaluate(scores, v, np.zeros((2, 2)), m=1, k=1)["revenue_weighted_r_over_r_star"]
    assert np.isnan(nothing.value) and nothing.undefined == 2
    assert np.isnan(mean([np.nan]).value) and mean([np.nan]).undefined == 1


def test_averages_by_hand():
    report = evaluate([[2, 1], [2, 1]], [[1, 2], [2, 1]], [[1, 3], [4, 0]], m=1, k=1)
    assert report["r_over_r_star"].value == (1 / 3 + 1) / 2
    assert report["r_over_r_star"].standard_error == pytest.approx((1 - 1 / 3) / 2)
    assert report["revenue_weighted_r_over_r_star"].value == (1 + 4) / (3 + 4)


def test_published_number():  # docstring of rax/_src/metrics.py
    assert ndcg([2, 1, 3], [2, 0, 1]) == pytest.approx(0.79671, abs=5e-6)


def test_ndcg_is_scikit_learns_where_nothing_ties():
    scores, v, _ = DISTINCT
    assert ndcg(scores, v, gain="linear").mean() == pytest.approx(ndcg_score(v, scores))
    assert ndcg(scores, v).mean() == pytest.approx(ndcg_score(2.0**v - 1, scores))


def test_ndcg_of_high_ranks_does_not_overflow():
    v = np.array([3000.0, 2999.0, 0.0])
    want = (0.5 + 1 / np.log2(3)) / (1 + 0.5 / np.log2(3))
    assert ndcg([1, 2, 0], v) == pytest.approx(want)


# ---- against slow loops ---------------------------------------------------


def order_by_loop(scores, value):
    """Ads from the best score to the worst; among equals the lower value first."""
    return sorted(range(len(scores)), key=lambda j: (-scores[j], value[j]))


def test_r_over_r_star_equals_a_loop():
    for m in (1, 3, N):
        got, parts = (f(SCORES, V, ECPM, m=m, mask=MASK) for f in (r_over_r_star, captured_ecpm))
        for i, (s, v, e) in enumerate(ragged(SCORES, V, ECPM)):
            r = sum(e[j] for j in order_by_loop(s, e)[:m])
            r_star = sum(e[j] for j in sorted(range(len(s)), key=lambda j: (-v[j], -e[j]))[:m])
            assert (parts[0][i], parts[1][i]) == pytest.approx((r, r_star))
            assert got[i] == pytest.approx(r / r_star if r_star else np.nan, nan_ok=True)


@pytest.mark.parametrize("gain", ["linear", "exponential"])
def test_ndcg_equals_a_loop(gain):
    for got, (s, v) in zip(ndcg(SCORES, V, MASK, gain=gain), ragged(SCORES, V), strict=True):
        gains = v if gain == "linear" else [2**x - 1 for x in v]
        ideal = sum(g / np.log2(i + 2) for i, g in enumerate(sorted(gains, reverse=True)))
        found = sum(gains[j] / np.log2(i + 2) for i, j in enumerate(order_by_loop(s, v)))
        assert got == pytest.approx(found / ideal if ideal else np.nan, nan_ok=True)


def worst_share(v, kept, k):
    """Share of the true top k that was kept; of all tops that ties in v allow, the worst."""
    k = min(k, len(v))
    true_best = sorted(v, reverse=True)[:k]
    tops = [
        top
        for top in itertools.combinations(range(len(v)), k)
        if sorted((v[j] for j in top), reverse=True) == true_best
    ]
    return min(len(set(top) & set(kept)) for top in tops) / k


@pytest.mark.parametrize(("m", "k"), [(1, 1), (2, 2), (2, 4), (4, 2), (N, 3)])
def test_recall_equals_a_loop(m, k):
    for got, (s, v) in zip(recall(SCORES, V, m, k, MASK), ragged(SCORES, V), strict=True):
        assert got == worst_share(v, order_by_loop(s, v)[:m], k)


@pytest.mark.parametrize(("m", "q", "k"), [(1, 1, 1), (4, 2, 2), (6, 2, 4), (4, 4, 2), (N, 3, 3)])
def test_joint_recall_equals_a_loop(m, q, k):
    got = joint_recall(SCORES, V, ECPM, m, q, k, MASK)
    for share, (s, v, e) in zip(got, ragged(SCORES, V, ECPM), strict=True):
        if not any(e):  # nothing was ranked
            assert np.isnan(share)
            continue
        passed = order_by_loop(s, v)[:m]
        assert share == worst_share(v, sorted(passed, key=lambda j: (-e[j], v[j]))[:q], k)
    if q >= m:
        np.testing.assert_array_equal(
            got, np.where(np.isnan(got), np.nan, recall(SCORES, V, m, k, MASK))
        )


def test_revenue_ndcg_equals_a_loop():
    got = revenue_ndcg(SCORES, V, ECPM, MASK)
    for value, (s, v, e) in zip(got, ragged(SCORES, V, ECPM), strict=True):
        own = sorted(range(len(s)), key=lambda j: (-v[j], -e[j]))
        found, ideal = (
            sum(e[j] / np.log2(i + 2) for i, j in enumerate(order))
            for order in (order_by_loop(s, e), own)
        )
        assert value == pytest.approx(found / ideal if ideal else np.nan, nan_ok=True)


def opa_by_loop(s, v):
    pairs = [(i, j) for i in range(len(v)) for j in range(len(v)) if v[i] > v[j]]
    return sum(s[i] > s[j] for i, j in pairs) / len(pairs) if pairs else np.nan


def test_opa_equals_a_loop():
    for got, lists in zip(opa(SCORES, V, MASK), ragged(SCORES, V), strict=True):
        assert got == pytest.approx(opa_by_loop(*lists), nan_ok=True)


@pytest.mark.parametrize("n", [20, 40, 150])
def test_opa_counts_the_pairs_of_long_lists(n):
    scores, v = rng.integers(0, n, n), np.arange(n)
    assert opa(scores, v) == pytest.approx(opa_by_loop(scores, v))


@pytest.mark.parametrize("n", [1, 7, 40, 41, 90])
def test_places_agree_by_pairs_and_by_sorting(monkeypatch, n):
    scores = rng.choice([-np.inf, -1.0, 0.0, 2.0], (50, n))
    value, mask = rng.integers(0, 3, (50, n)), rng.random((50, n)) < 0.8
    mask[:, 0] = True
    monkeypatch.setattr(pairwise_order, "_LONGEST_PAIRWISE", 0)
    by_sorting = ranks(scores, value, mask)
    monkeypatch.setattr(pairwise_order, "_LONGEST_PAIRWISE", n)
    monkeypatch.setattr(pairwise_order, "_BLOCK", 16)
    np.testing.assert_array_equal(ranks(scores, value, mask), by_sorting)
    for s, t, real, place in zip(scores, value, mask, by_sorting, strict=True):
        want = sorted(range(n), key=lambda j: (not real[j], -s[j], t[j]) if real[j] else (True,))
        assert np.argsort(place).tolist() == want


def test_leading_axes_are_kept():
    def all_metrics(*arrays):
        scores, v, ecpm, mask = arrays
        return [
            r_over_r_star(scores, v, ecpm, 2, mask),
            ndcg(scores, v, mask),
            revenue_ndcg(scores, v, ecpm, mask),
            recall(scores, v, 2, 3, mask),
            joint_recall(scores, v, ecpm, 4, 2, 3, mask),
            opa(scores, v, mask),
        ]

    arrays = SCORES, V, ECPM, MASK
    flat = all_metrics(*arrays)
    shaped = all_metrics(*(array.reshape(5, 12, N) for array in arrays))
    one = all_metrics(*(array[7] for array in arrays))
    for a, b, c in zip(flat, shaped, one, strict=True):
        np.testing.assert_array_equal(a.reshape(5, 12), b)
        assert np.ndim(c) == 0
        np.testing.assert_array_equal(a[7], c)


# ---- invariants -----------------------------------------------------------


def per_impression(scores, v, ecpm, mask=None):
    return np.stack(
        [
            r_over_r_star(scores, v, ecpm, 3, mask),
            ndcg(scores, v, mask),
            opa(scores, v, mask),
            revenue_ndcg(scores, v, ecpm, mask),
            recall(scores, v, 3, 2, mask),
            joint_recall(scores, v, ecpm, 3, 2, 2, mask),
        ]
    )


def test_units_are_irrelevant():
    want = per_impression(SCORES, V, ECPM, MASK)
    np.testing.assert_allclose(per_impression(5 * SCORES - 3, V, 7 * ECPM, MASK), want)
    np.testing.assert_allclose(per_impression(np.exp(SCORES), V, ECPM, MASK), want)


def test_the_order_of_the_ads_is_irrelevant():
    turn = rng.permuted(np.tile(np.arange(N), (LISTS, 1)), axis=1)
    turned = [np.take_along_axis(array, turn, axis=1) for array in (*DISTINCT, MASK)]
    np.testing.assert_allclose(per_impression(*turned), per_impression(*DISTINCT, MASK))
    tied = [np.take_along_axis(array, turn, axis=1) for array in (SCORES, V, ECPM, MASK)]
    # Where scores and v both tie, so does the choice of the ads kept: all but the recalls.
    np.testing.assert_allclose(per_impression(*tied)[:4], per_impression(SCORES, V, ECPM, MASK)[:4])


def test_padding_is_irrelevant():
    want = [per_impression(*(np.array([x]) for x in lists))[:, 0] for lists in ragged(*DISTINCT)]
    np.testing.assert_allclose(per_impression(*DISTINCT, MASK).T, want)
    poisoned = [np.where(MASK, array, np.nan) for array in DISTINCT]
    np.testing.assert_allclose(per_impression(*poisoned, MASK).T, want)


def test_r_over_r_star_lies_in_0_to_1_where_v_orders_by_ecpm():
    v = np.argsort(np.argsort(ECPM, axis=1), axis=1)
    for m in range(1, N + 1):
        values = r_over_r_star(SCORES, v, ECPM, m, MASK)
        assert np.nanmin(values) >= 0 and np.nanmax(values) <= 1
        perfect = r_over_r_star(ECPM, v, ECPM, m, MASK)
        np.testing.assert_allclose(perfect[~np.isnan(perfect)], 1)


def test_the_perfect_order_has_every_metric_at_1():
    _, v, ecpm = DISTINCT
    np.testing.assert_allclose(per_impression(v, v, ecpm)[:-1], 1)
    # A cascade loses what Ranking, by ecpm, places below the system's order.
    np.testing.assert_allclose(
        per_impression(v, v, np.sort(ecpm)[np.arange(LISTS)[:, None], v.astype(int)]), 1
    )
    assert (opa(-v, v) == 0).all()


def test_revenue_ndcg_ordered_by_ecpm_is_ndcg_of_ecpm():
    """Where v orders by ecpm, both definitions agree; where it does not, only ndcg ends at 1."""
    _, v, ecpm = DISTINCT
    own = np.argsort(np.argsort(ecpm, axis=1), axis=1)
    np.testing.assert_allclose(revenue_ndcg(v, own, ecpm), ndcg(v, ecpm, gain="linear"))
    assert revenue_ndcg(ecpm, v, ecpm).max() > 1 and ndcg(v, ecpm, gain="linear").max() <= 1


@pytest.mark.parametrize("n", [N, 50])
def test_evaluate_is_the_metrics_one_by_one(monkeypatch, n):
    monkeypatch.setattr(pairwise_order, "_BLOCK", 7 * n)  # several blocks, the last one not full
    scores, v = (rng.integers(0, 6, (30, n)) for _ in range(2))
    ecpm, mask = rng.integers(0, 3, (30, n)), rng.random((30, n)) < 0.8
    mask[:, 0] = True
    want = {
        "r_over_r_star": r_over_r_star(scores, v, ecpm, 2, mask),
        "ndcg": ndcg(scores, v, mask),
        "revenue_ndcg": revenue_ndcg(scores, v, ecpm, mask),
        "recall": recall(scores, v, 2, 3, mask),
        "opa": opa(scores, v, mask),
        "joint_recall": joint_recall(scores, v, ecpm, 4, 2, 3, mask),
    }
    got = evaluate(scores, v, ecpm, 2, 3, mask)
    assert got.keys() - want.keys() == {"revenue_weighted_r_over_r_star"}
    for name, values in want.items():
        assert dataclasses.astuple(got[name]) == pytest.approx(dataclasses.astuple(mean(values)))


def test_memory_does_not_grow_with_the_impressions(monkeypatch):
    def peak(count):
        arrays = [rng.random((count, N)) for _ in range(3)]
        tracemalloc.start()
        ndcg(*arrays[:2])
        r_over_r_star(*arrays, 2)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    monkeypatch.setattr(pairwise_order, "_BLOCK", 1000 * N)
    peak(1000)  # whatever is imported or kept once
    results = 20_000 * 8 * 6  # values, their parts, and the blocks before they are joined
    assert peak(21_000) < peak(1000) + results


@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 4)])
def test_no_impressions_have_no_values(shape):
    empty = np.empty(shape)
    for values in per_impression(empty, empty, empty):
        assert values.shape == shape[:-1]


def test_a_short_list_is_kept_whole():
    assert r_over_r_star([1, 2, 9], [2, 1, 9], [5, 1, 9], m=2, mask=[True, True, False]) == 1
    assert recall([1, 2, 9], [2, 1, 9], m=2, k=3, mask=[True, True, False]) == 1


# ---- what is refused ------------------------------------------------------


@pytest.mark.parametrize("m", [0, 4, -1, 1.5, np.nan])
def test_a_cut_out_of_range_is_refused(m):
    for metric in (
        lambda: r_over_r_star([3, 2, 1], [3, 1, 2], [1, 1, 1], m=m),
        lambda: recall([3, 2, 1], [3, 1, 2], m=m, k=1),
    ):
        with pytest.raises(ValueError, match=rf"m must be a whole number in 1\.\.3; got m = {m}"):
            metric()
    with pytest.raises(ValueError, match=r"k must be a whole number in 1\.\.3"):
        recall([3, 2, 1], [3, 1, 2], m=1, k=m)
    with pytest.raises(ValueError, match=r"joint_recall: q must be a whole number in 1\.\.3"):
        joint_recall([3, 2, 1], [3, 1, 2], [1, 1, 1], m=1, q=m, k=1)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (([[1, np.nan]], [[1, 2]], [[1, 2]]), r"scores is NaN at \(0, 1\)"),
        (([[1, 2]], [[1, np.nan]], [[1, 2]]), r"v is NaN at \(0, 1\)"),
        (([[1, 2]], [[1, 2]], [[np.nan, 2]]), r"ecpm is NaN at \(0, 0\)"),
        (([[1, 2]], [[1, 2]], [[-1, 2]]), r"ecpm must be finite and >= 0; got -1\.0"),
        (([[1, 2]], [[1, 2]], [[np.inf, 2]]), "ecpm must be finite and >= 0; got inf"),
        (([[1, 2]], [1, 2], [[1, 2]]), r"share one shape .* \(1, 2\), 'v': \(2,\)"),
        (([], [], []), "n >= 1"),
        ((1, 1, 1), "share one shape"),
        (
            ([[1, 2]], [[1, 2]], [[1, 2]], [True, True]),
            r"mask must have shape \(1, 2\); got \(2,\)",
        ),
        (([[1, 2]], [[1, 2]], [[1, 2]], [[False, False]]), r"the one at \(0,\) has none"),
    ],
)
def test_bad_arrays_are_refused(arrays, match):
    with pytest.raises(ValueError, match=f"r_over_r_star: .*{match}"):
        r_over_r_star(*arrays[:3], 1, *arrays[3:])


def test_what_ndcg_cannot_take_is_refused():
    with pytest.raises(ValueError, match=r"v must be >= 0; got -1\.0"):
        ndcg([1, 2], [-1, 2])
    with pytest.raises(ValueError, match="gain must be 'exponential' or 'linear'; got 'log'"):
        ndcg([1, 2], [1, 2], gain="log")
