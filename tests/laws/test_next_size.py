"""Laws asked for sizes they have not seen."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.laws import (
    BNSL,
    BasinHoppingBNSL,
    errors_by_law,
    intervals_holding,
    paired_error_difference,
    predict_next_size,
)

FLOPS = np.geomspace(1e6, 1e8, 8)
R = 0.9 - 0.1 * (FLOPS / 1e6) ** -0.4


def test_every_law_is_asked_for_every_next_size():
    table = predict_next_size(FLOPS, R, least=6, breaks=[0, 1], hops=2)
    assert table.law.tolist() == 2 * [
        "average of laws",
        "power law",
        "basin-hopping, t = 0",
        "basin-hopping, t = 1",
    ]
    assert table.sizes.tolist() == [6] * 4 + [7] * 4
    np.testing.assert_array_equal(table.x.unique(), FLOPS[6:])
    np.testing.assert_allclose(table.error, table.predicted - table.measured)
    assert table.error.abs().max() < 2e-3  # an exact power law
    assert table.low.notna().tolist() == 2 * [True, True, False, False]


def test_the_rows_are_the_laws_own_predictions():
    table = predict_next_size(FLOPS, R, least=7, breaks=[1], hops=3, seed=4, bound=1.0).set_index(
        "law"
    )
    mean, low, high = BNSL(bound=1.0).fit(FLOPS[:7], R[:7]).predict(FLOPS[7], interval=0.9)
    assert table.loc["average of laws", ["predicted", "low", "high"]].tolist() == [mean, low, high]
    hopped = BasinHoppingBNSL(1, hops=3, seed=4).fit(FLOPS[:7], R[:7])
    assert table.predicted["basin-hopping, t = 1"] == hopped.predict(FLOPS[7])


def test_numbers_of_breaks_may_come_from_a_generator():
    table = predict_next_size(FLOPS, R, least=7, breaks=(t for t in (1, 0)), hops=1)
    assert table.law.tolist()[2:] == ["basin-hopping, t = 1", "basin-hopping, t = 0"]


def test_unseen_sizes_do_not_touch_the_fit():
    """What lies beyond the size asked for changes nothing."""
    other = R.copy()
    other[7] = 0.5
    first, second = (predict_next_size(FLOPS, y, least=6, direction="rising") for y in (R, other))
    np.testing.assert_array_equal(first.predicted[:2], second.predicted[:2])


def test_repeats_are_averaged():
    x, y = np.repeat(FLOPS, 2), np.repeat(R, 2) + np.tile([-1e-3, 1e-3], 8)
    table = predict_next_size(x, y, least=7)
    np.testing.assert_allclose(table.measured, R[7])


@pytest.mark.parametrize(
    ("sizes", "least", "message"),
    [(5, 5, "needs 6 different x or more; got 5"), (8, 3, "least must be >= 4; got 3")],
)
def test_too_few_sizes_are_refused(sizes, least, message):
    with pytest.raises(ValueError, match=message):
        predict_next_size(FLOPS[:sizes], R[:sizes], least=least)


@pytest.mark.parametrize("breaks", [[-1], [0, 1.5], [True]])
def test_bad_numbers_of_breaks_are_named(breaks):
    with pytest.raises(ValueError, match=f"breaks must be whole numbers >= 0; got {breaks[-1]}"):
        predict_next_size(FLOPS, R, breaks=breaks)


def next_sizes(errors):
    """A table of predictions with the given errors, {law: [next sizes]}."""
    return pd.concat(
        pd.DataFrame({"law": law, "x": FLOPS[: len(error)], "error": error, "r_squared": 0.9})
        for law, error in errors.items()
    )


def test_errors_by_law_are_absolute():
    table = errors_by_law(next_sizes({"ours": [0.1, -0.3], "theirs": [-0.2, 0.0]}))
    assert table.index.tolist() == ["ours", "theirs"]
    assert table.mean_error.tolist() == pytest.approx([0.2, 0.1])
    assert table.largest_error.tolist() == pytest.approx([0.3, 0.2])


def test_the_paired_difference_is_scipys_t_interval():
    ours, theirs = np.array([0.1, -0.2, 0.15, 0.3]), np.array([-0.3, 0.3, 0.2, -0.35])
    table = next_sizes({"ours": ours, "theirs": theirs})
    difference = paired_error_difference(table, "ours", "theirs", interval=0.9)
    expected = stats.ttest_rel(abs(ours), abs(theirs))
    bounds = expected.confidence_interval(0.9)
    assert difference.mean == pytest.approx(np.mean(abs(ours) - abs(theirs)))
    assert (difference.low, difference.high) == pytest.approx((bounds.low, bounds.high))
    assert difference.count == 4


@pytest.mark.parametrize(
    ("ours", "holds"),
    [([0.1, 0.12, 0.11], True), ([0.9, 0.88, 0.91], False), ([0.1, 0.9, 0.5], None), ([0.1], None)],
)
def test_a_difference_is_decided_where_its_interval_excludes_0(ours, holds):
    table = next_sizes({"ours": ours, "theirs": [0.5, 0.5, 0.5][: len(ours)]})
    assert paired_error_difference(table, "ours", "theirs").holds is holds


def test_an_unknown_law_is_named():
    with pytest.raises(ValueError, match="no law 'typo'; the table has ours, theirs"):
        paired_error_difference(next_sizes({"ours": [0.1], "theirs": [0.2]}), "ours", "typo")


def test_intervals_that_hold_the_next_sizes():
    table = predict_next_size(FLOPS, R, least=4, breaks=[0])
    moved = table.assign(measured=np.where(table.sizes == 5, 0.99, table.measured))
    assert intervals_holding(table)[:2] == (4, 4)
    inside, count, low, high = intervals_holding(moved, interval=0.9)
    # Clopper and Pearson: tails of the binomial distribution that hold 5 % each
    assert (inside, count) == (3, 4)
    assert stats.binom.sf(2, 4, low) == pytest.approx(0.05)
    assert stats.binom.cdf(3, 4, high) == pytest.approx(0.05)
