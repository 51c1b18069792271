"""Laws fitted without the largest sizes."""

import numpy as np
import pytest

from lib.laws import BNSL, PowerLaw, fit_without_largest
from tests.laws.points import FLOPS, R

SHAPE = {"direction": "rising", "bound": 1.0}


def test_the_table_holds_the_laws_own_predictions():
    fit = fit_without_largest(FLOPS, R, 2, interval=0.8, **SHAPE)
    law = BNSL(**SHAPE).fit(FLOPS[:8], R[:8])
    np.testing.assert_array_equal(
        fit.table[["predicted", "low", "high"]].T, law.predict(FLOPS, interval=0.8)
    )
    power_law = PowerLaw(**SHAPE).fit(FLOPS[:8], R[:8])
    np.testing.assert_array_equal(fit.table.power_law, power_law.predict(FLOPS))
    np.testing.assert_array_equal(fit.table.x, FLOPS)
    np.testing.assert_allclose(fit.table["mean"], R)
    assert fit.table.held_out.tolist() == 8 * [False] + 2 * [True]
    assert fit.full_law.predict(1e9) == BNSL(**SHAPE).fit(FLOPS, R).predict(1e9)


def test_held_out_sizes_do_not_touch_the_fit():
    changed = np.where(FLOPS == FLOPS.max(), 0.5, R)
    fits = [fit_without_largest(FLOPS, y, 1, **SHAPE) for y in (R, changed)]
    np.testing.assert_array_equal(*(fit.table.predicted for fit in fits))
    assert fits[0].full_law.predict(1e9) != fits[1].full_law.predict(1e9)


def test_whole_sizes_stay_whole_in_the_table():
    fit = fit_without_largest([1, 2, 4, 8, 16], R[:5], 1, **SHAPE)
    assert fit.table.x.tolist() == [1, 2, 4, 8, 16] and fit.table.x.dtype.kind == "i"


def test_nothing_held_out_is_the_law_of_all_sizes():
    fit = fit_without_largest(FLOPS, R, 0, **SHAPE)
    assert not fit.table.held_out.any()
    assert fit.law.predict(1e9) == fit.full_law.predict(1e9)


def test_repeats_of_a_size_by_hand():
    """Two sizes with repeats of variance 2e-6 and 8e-6, three without."""
    x = np.array([1.0, 1.0, 2.0, 2.0, 4.0, 8.0, 16.0])
    y = np.array([0.799, 0.801, 0.818, 0.822, 0.830, 0.836, 0.840])
    fit = fit_without_largest(x, y, 1, **SHAPE)
    assert fit.table["count"].tolist() == [2, 2, 1, 1, 1]
    assert fit.repeat_sd == pytest.approx(np.sqrt((2e-6 + 8e-6) / 2))
    assert np.isnan(fit_without_largest(FLOPS, R, 1, **SHAPE).repeat_sd)


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (-1, "held_out must be >= 0; got -1"),
        (7, "4 sizes beside the largest held_out = 7; got 10 sizes"),
    ],
)
def test_what_cannot_be_held_out(held_out, message):
    with pytest.raises(ValueError, match=message):
        fit_without_largest(FLOPS, R, held_out, **SHAPE)
