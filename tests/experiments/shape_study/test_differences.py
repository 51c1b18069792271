import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.experiments.shape_study import differences as d
from lib.experiments.shape_study.shapes import shapes_at
from lib.validation.revenue_model import LinearRevenueModel


def made(rng, seeds=4, units=500, loss=0.05):
    """Three models of one level; all share the unit's effect, two the mean."""
    unit = rng.normal(0, 1, units)
    return {
        name: 0.8
        - lost
        + unit
        + rng.normal(0, 0.01, (seeds, 1))
        + rng.normal(0, 0.2, (seeds, units))
        for name, lost in (("a", 0), ("b", 0), ("bad", loss))
    }


def test_by_hand():
    values = {"a": np.array([[1.0, 2, 3], [3, 4, 5]]), "b": np.array([[2.0, 2, 2], [3, 3, 3]])}
    row = d.differences(values, ["a"]).set_index("model").loc["b"]
    assert row.difference == -0.5  # (0 - 1) / 2
    variance = (0.25 + 4 * (0.25 + 0) / 2) / 5  # its own, of one degree, and the level's, of four
    assert row.seeds_se == pytest.approx(variance**0.5)
    assert row.units_se == pytest.approx(1 / 3**0.5)  # of .5, -.5, -1.5
    half = np.hypot(stats.t(5).ppf(0.95) * variance**0.5, stats.norm.ppf(0.95) / 3**0.5)
    assert (row.low, row.high) == pytest.approx((-0.5 - half, -0.5 + half))


def test_what_all_models_share_is_no_error():
    row = d.differences(made(np.random.default_rng(0)), ["a", "b"]).set_index("model").loc["bad"]
    assert row.units_se < 0.01 < 1 / 500**0.5


def test_intervals_hold_the_truth():
    """Over seeds and units drawn again; 400 times, at 90 %."""
    inside = 0
    for seed in range(400):
        table = d.differences(made(np.random.default_rng(seed)), ["a", "b"]).set_index("model")
        inside += table.low["bad"] <= -0.05 <= table.high["bad"]
    assert 0.86 <= inside / 400 <= 0.97


def test_units_that_are_undefined_are_left_out():
    values = {"a": np.array([[1.0, np.nan, 3]]), "b": np.array([[2.0, 7, 2]])}
    row = d.differences(values, ["a"]).iloc[1]
    assert row.difference == 0 and np.isnan(row.low)  # one seed has no interval


@pytest.mark.parametrize(
    ("values", "reference", "message"),
    [
        ({"a": np.ones((2, 3))}, ["b"], r"reference must name one or more of a; got \['b'\]"),
        ({"a": np.ones((2, 3))}, [], r"got \[\]"),
        ({"a": np.ones((2, 3)), "b": np.ones((1, 3))}, ["a"], "alike for all models"),
        ({"a": np.ones(3)}, ["a"], r"values must be \[seeds, units\]"),
    ],
)
def test_what_is_refused(values, reference, message):
    with pytest.raises(ValueError, match=message):
        d.differences(values, reference)


def test_spread_finds_the_shapes_scatter():
    rng = np.random.default_rng(1)
    found = [
        d.spread(
            [
                rng.normal(0, sd, (6, 1)) + rng.normal(0, 0.1, (1, 4)) + rng.normal(0, 0.01, (6, 4))
                for _ in range(3)
            ]
        )
        for sd in np.repeat([0.0, 0.02], 200)
    ]
    alike, scattered = found[:200], found[200:]
    assert np.median([f.noise for f in found]) == pytest.approx(0.01, rel=0.03)
    assert np.mean([f.p_value < 0.05 for f in alike]) < 0.09
    assert np.median([f.sd for f in scattered]) == pytest.approx(0.02, rel=0.1)
    assert 0.84 < np.mean([f.low <= 0.02 <= f.high for f in scattered]) < 0.95


def test_spread_needs_seeds():
    with pytest.raises(ValueError, match="two shapes and two seeds or more; got 3 and 1"):
        d.spread([np.ones((3, 1))])


@pytest.fixture
def shapes():
    return shapes_at([6288, 34368], [1, 4, 32], [], 86)


@pytest.fixture
def revenue(shapes):
    rng = np.random.default_rng(2)
    users = rng.lognormal(size=300)
    return {
        row.model: users * (1 - 0.03 * (not row.within_rule)) * np.array([[1.0], [1.1]])
        for row in shapes.itertuples()
    }


def test_revenue_counts_from_the_shapes_within_the_rule(shapes, revenue):
    table = d.by_level(shapes, d.relative_revenue(shapes, revenue))
    assert table.difference.tolist() == pytest.approx(2 * [0, 0, -0.03])
    assert list(table.model) == list(shapes.model)


def test_expected_lifts_are_g_of_the_difference(shapes):
    rng = np.random.default_rng(3)
    values = {
        row.model: 0.8 - 0.1 * (not row.within_rule) + rng.normal(0, 0.05, (3, 1000))
        for row in shapes.itertuples()
    }
    table = d.by_level(shapes, values)
    g = LinearRevenueModel().fit(np.linspace(0.6, 0.9, 12), 0.5 * np.linspace(0.6, 0.9, 12) - 0.4)
    lifts = d.expected_lifts(table, g)
    np.testing.assert_allclose(lifts.lift, 0.5 * table.difference, atol=1e-9)
    assert ((lifts.low < lifts.lift) & (lifts.lift < lifts.high)).all()


def test_errors_of_means_add_the_scatter_of_shapes():
    errors = d.errors_of_means(pd.DataFrame({"seeds_se": [0.0, 0.03]}), 0.04)
    np.testing.assert_allclose(errors, [0.04, 0.05])


def test_redrawn_means_scatter_as_a_mean_does():
    rng = np.random.default_rng(4)
    one = rng.normal(size=400)
    means = d.redrawn_means([one, one + 1, np.where(one > 3, np.nan, one)], 2000)
    assert means[:, 0].std() == pytest.approx(one.std() / 20, rel=0.1)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 1)  # the same impressions in all
