"""The value of measurements: known in closed form, by brute force, and what must hold."""

import numpy as np
import pytest

from lib.design.decision import Decision
from lib.design.next_measurements import Measurement, information_value, rank_measurements
from tests.design.test_decision import SIZES, economics, random_economics


def brute_force(value, signal, noise, outcomes=2000, seed=0):
    """By simulation: each outcome re-weighs all draws by its likelihood, the best is taken."""
    rng = np.random.default_rng(seed)
    known = 0.0
    for _ in range(outcomes):
        outcome = signal[rng.integers(len(signal))] + noise * rng.normal()
        weights = np.exp(-0.5 * ((outcome - signal) / noise) ** 2)
        known += (weights @ value).max() / weights.sum()
    return known / outcomes - value.mean(axis=0).max()


def test_a_test_that_says_all_of_one_option():
    """Nothing or N(0.5, 1): E max(0, x) - 0.5 = pdf(0.5) - 0.5 cdf(-0.5)."""
    rng = np.random.default_rng(0)
    lift = rng.normal(0.5, 1, size=20_000)
    value = np.stack([np.zeros(len(lift)), lift], axis=1)
    (gain,), _ = information_value(value, [lift], [1.0])
    assert gain == pytest.approx(0.1978, abs=0.01)


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_four_jointly_normal_options_against_brute_force(noise):
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 4))
    value = rng.normal(size=(4000, 4)) @ root + [0.0, 0.3, 0.2, 0.1]
    signal = value[:, 1]
    rho = signal.std() / np.hypot(signal.std(), noise)
    (gain,), _ = information_value(value, [signal], [rho])
    assert gain == pytest.approx(brute_force(value, signal, noise), rel=0.1, abs=0.01)


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_an_roi_bound_against_brute_force(noise):
    """Values bend where the bound begins to bind, which a straight line would not follow."""
    case = random_economics(draws=4000)
    decision = Decision(case)
    signal = case.lift_draws[:, 2]
    table = rank_measurements(decision, [Measurement("A/B test", 2, signal, noise)], hours=1.0)
    expected = brute_force(-decision.regret_draws, signal, noise)
    assert table["per_hour"][0] == pytest.approx(expected, rel=0.1)
    assert table["per_hour"][0] > 20 * table.attrs["resolution"]


def test_heavy_tails_and_few_draws_never_promise_more_than_everything():
    """Regret that jumps where a size breaks down: no fitted curve may overshoot."""
    rng = np.random.default_rng(3)
    lift = np.array([0.0, 0.01, 0.02, 0.025]) * rng.normal(1, 0.3, (50, 1))
    cost = np.array([100.0, 105.0, 112.0, 120.0]) * rng.lognormal(0, 1.0, (50, 4))
    decision = Decision(economics(lift, cost))
    possible = [
        Measurement("load test", size, np.log(cost[:, size]), noise)
        for size in range(4)
        for noise in (0.0, 0.1, 1.0)
    ]
    table = rank_measurements(decision, possible, hours=1.0)
    assert table["of_perfect"].between(0, 1).all() and table["of_perfect"].max() > 0.1


def test_what_must_hold():
    case = random_economics(draws=1000)
    decision = Decision(case)
    signal = case.lift_draws[:, 2]
    noises = [0.0, 0.001, 0.01, 0.1, np.inf]
    table = rank_measurements(
        decision, [Measurement("A/B test", 2, signal, noise) for noise in noises], hours=10.0
    )
    # Ranked by noise, the least first; perfect information is worth most; no information, nothing.
    assert (np.diff(table["per_hour"]) <= 0).all() and table["correlation"][0] == 1
    assert table["per_hour"].iloc[0] <= decision.perfect_information
    assert table["per_hour"].iloc[-1] == 0 == table["change"].iloc[-1]
    np.testing.assert_allclose(table["worth"], 10 * table["per_hour"])
    np.testing.assert_allclose(
        table["of_perfect"], table["per_hour"] / decision.perfect_information
    )


def test_the_price_decides_the_rank():
    case = random_economics(draws=1000)
    signals = [case.lift_draws[:, 1], case.lift_draws[:, 2]]
    cheap, dear = (
        Measurement("A/B test", size, signal, 0.0, price)
        for size, signal, price in zip((1, 2), signals, (0.0, 1e9), strict=True)
    )
    table = rank_measurements(Decision(case), [dear, cheap], hours=1.0)
    assert table["size_parameters"].tolist() == SIZES.size_parameters[[1, 2]].tolist()
    assert table["net"][1] < 0


def test_a_signal_of_no_bearing_is_worth_no_more_than_the_resolution_says():
    case = random_economics(draws=2000)
    unrelated = np.random.default_rng(5).normal(size=2000)
    table = rank_measurements(
        Decision(case), [Measurement("load test", 1, unrelated, 0.0)], hours=1.0
    )
    assert table["per_hour"][0] <= 4 * table.attrs["resolution"]


def test_a_constant_signal_and_one_with_sizes_that_cannot_be_served():
    assert Measurement("load test", 1, np.ones(100), 0.1).correlation == 0
    signal = np.where(np.arange(100) < 40, np.inf, np.arange(100.0))
    assert Measurement("load test", 1, signal, 0.1).correlation == 1
    few = np.where(np.arange(100) < 2, np.inf, np.arange(100.0))
    assert 0.99 < Measurement("load test", 1, few, 0.1).correlation < 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"signal": np.ones((3, 2))}, r"signal must be numbers \[draws\]; got shape \(3, 2\)"),
        ({"signal": np.array([1.0, np.nan])}, "some of them NaN"),
        ({"noise": -1.0}, "noise must be >= 0; got -1.0"),
        ({"price": -1.0}, "price must be >= 0; got -1.0"),
    ],
)
def test_bad_measurements(wrong, message):
    given = {"kind": "A/B test", "size": 0, "signal": np.ones(3), "noise": 1.0} | wrong
    with pytest.raises(ValueError, match=message):
        Measurement(**given)


def test_bad_rankings():
    decision = Decision(random_economics(draws=30))
    one = Measurement("A/B test", 0, np.arange(20.0), 1.0)
    with pytest.raises(ValueError, match="must hold one or more"):
        rank_measurements(decision, [], hours=1.0)
    with pytest.raises(ValueError, match="decision's 30 draws; got 20"):
        rank_measurements(decision, [one], hours=1.0)
    with pytest.raises(ValueError, match="hours must be > 0; got 0"):
        rank_measurements(decision, [one], hours=0)
