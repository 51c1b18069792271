"""Laws asked for sizes they have not seen."""

import numpy as np
import pytest

from lib.laws import BNSL, BasinHoppingBNSL, predict_next_size

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
