"""Law of several resources: fit, intervals over replicas, cheapest split, additivity."""

import numpy as np
import pytest
from scipy import optimize

from lib.laws.additive import AdditivePowerLaw, cheapest_of_product, cheapest_of_sum

LAW = np.array([0.5, 0.3, 0.8]), 0.4, np.array([0.1, 0.2, 0.05])


def grid(resources=2, sizes=5):
    axes = [np.geomspace(1, 1e3, sizes)] * resources
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes)], axis=1)


def sweep(resources=2, replicas=5, noise=2e-4, seed=0, interaction=0.0):
    """x, y, replica; levels of replicas differ by .001."""
    rng, x = np.random.default_rng(seed), grid(resources)
    exponents, constant, amplitudes = LAW[0][:resources], LAW[1], LAW[2][:resources]
    y = constant + np.sum(amplitudes * x**-exponents, axis=1)
    y = y + interaction * (x[:, 0] ** -0.5 * x[:, 1] ** -0.3)
    y = y + 1e-3 * rng.standard_normal((replicas, 1)) + noise * rng.standard_normal((replicas, 1))
    y = y + noise * rng.standard_normal((replicas, len(x)))
    return np.tile(x, (replicas, 1)), y.ravel(), np.repeat(np.arange(replicas), len(x))


@pytest.mark.parametrize("resources", [2, 3])
def test_an_exact_law_is_found(resources):
    x = grid(resources)
    y = LAW[1] + np.sum(LAW[2][:resources] * x ** -LAW[0][:resources], axis=1)
    law = AdditivePowerLaw().fit(x, y)
    assert law.exponents_ == pytest.approx(LAW[0][:resources], rel=1e-4)
    assert law.amplitudes_ == pytest.approx(LAW[2][:resources], rel=1e-4)
    assert law.constant_ == pytest.approx(0.4, rel=1e-5)
    assert law.predict(x) == pytest.approx(y)


def test_intervals_hold_the_truth_and_shrink_with_noise():
    noisy, clear = (AdditivePowerLaw().fit(*sweep(noise=n)).intervals() for n in (1e-3, 1e-4))
    for found in (noisy, clear):
        values, low, high = found["exponents"]
        assert np.all((low < values) & (values < high))
    assert np.all(np.subtract(*clear["exponents"][:0:-1]) < np.subtract(*noisy["exponents"][:0:-1]))


@pytest.mark.slow
def test_intervals_cover_in_re_draws_of_all_replicas():
    inside = []
    for seed in range(60):
        found = AdditivePowerLaw().fit(*sweep(seed=seed)).intervals(0.9)
        _, low, high = found["exponents"]
        _, lowest, highest = found["constant"]
        truth = LAW[0][:2]
        inside.append([*((low <= truth) & (truth <= high)), lowest <= 0.4 <= highest])
    assert np.all(np.abs(np.mean(inside, axis=0) - 0.9) < 0.12)


def test_the_cheapest_split_is_the_best_of_all():
    exponents, _, amplitudes = LAW
    cost, budget = np.array([1.0, 3.0, 0.2]), 50.0

    def loss(x):
        return np.sum(amplitudes * x**-exponents)

    found = cheapest_of_sum(exponents, amplitudes, budget, cost)
    assert cost @ found == pytest.approx(budget)
    searched = optimize.minimize(
        lambda share: loss(budget * np.exp(share) / np.exp(share).sum() / cost), np.zeros(3)
    )
    assert loss(found) == pytest.approx(searched.fun, rel=1e-6)
    found = cheapest_of_product(exponents, amplitudes, budget, 2.0)
    assert 2.0 * np.prod(found) == pytest.approx(budget)
    worth = exponents * amplitudes * found**-exponents
    assert worth == pytest.approx(np.full(3, worth[0]))


def test_the_split_of_a_fit_has_intervals():
    law = AdditivePowerLaw().fit(*sweep())
    x, y = law.cheapest(100.0, [1.0, 2.0], interval=0.9)
    assert np.all((x[1] < x[0]) & (x[0] < x[2])) and y[1] < y[0] < y[2]
    assert np.array_equal(law.cheapest(100.0, [1.0, 2.0]).x, x[0])
    truth = cheapest_of_sum(LAW[0][:2], LAW[2][:2], 100.0, np.array([1.0, 2.0]))
    assert np.all((x[1] < truth) & (truth < x[2]))


def test_an_interaction_is_found_and_none_is_not():
    added = AdditivePowerLaw().fit(*sweep()).interaction()
    assert added.p_value > 0.05 and added.error_with > 0.8 * added.error
    crossed = AdditivePowerLaw().fit(*sweep(interaction=0.05)).interaction()
    assert crossed.p_value < 0.01 and crossed.error_with < 0.7 * crossed.error


def test_bad_input_is_named():
    x, y, replica = sweep(replicas=3)
    for change, message in (
        (lambda: AdditivePowerLaw().fit(x[:, :1], y), "2 resources or more"),
        (lambda: AdditivePowerLaw().fit(x, -y, replica), "fit: y must be finite and > 0"),
        (lambda: AdditivePowerLaw().fit(x, y, replica[:-1]), "got 74 for 75"),
        (lambda: AdditivePowerLaw().fit(x, y), "each of the 25 points once"),
        (lambda: AdditivePowerLaw().fit(np.minimum(x, 6), y, replica), "points once"),
        (lambda: AdditivePowerLaw().fit(x, 0 * y + 1, replica), "y is 1 everywhere"),
        (lambda: AdditivePowerLaw().fit(x[:25], y[:25]).intervals(), "3 replicas or more; got 1"),
    ):
        with pytest.raises(ValueError, match=f"^AdditivePowerLaw.*{message}"):
            change()
    law = AdditivePowerLaw().fit(x, y, replica)
    for ask, message in (
        (lambda: law.predict([1.0]), r"predict: x must be .*shape \(1,\)"),
        (lambda: law.cheapest(-1.0, [1, 1]), "budget must be finite and > 0"),
        (lambda: law.cheapest(1.0, 1.0), "2 numbers for a sum"),
        (lambda: law.cheapest(1.0, 1.0, of="all"), 'of must be "sum" or "product"'),
        (lambda: law.cheapest(1.0, 1.0, of="product", interval=9), "interval must .*; got 9"),
    ):
        with pytest.raises(ValueError, match=f"^AdditivePowerLaw.*{message}"):
            ask()
