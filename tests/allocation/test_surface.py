"""The surface of two stages: fitted from few arms, searched whole, held against loops."""

import itertools

import numpy as np
import pytest

from lib.allocation import surface

COUNTS = np.array([100.0, 200.0, 400.0, 800.0])
TODAY = (2, 2, 1)
MATCHING = np.array([-0.010, -0.004, 0.0, 0.003, 0.005])
PRE_RANKING = np.array([-0.03, -0.01, 0.0, 0.005, 0.008, 0.01])


def curve(exponent=0.8):
    return 0.004 * (1 - (COUNTS / COUNTS[TODAY[2]]) ** -exponent)


def true_lift(first=15.0, second=-30.0, third=60.0):
    """By a slow loop; interactions per unit of lift."""
    lift = np.empty((5, 6, 4))
    for i, j, k in np.ndindex(lift.shape):
        a, b, g = MATCHING[i], PRE_RANKING[j], curve()[k]
        lift[i, j, k] = a + b + g + first * a * b + second * a * g + third * b * g
    return lift


def test_single_changes_are_all_arms_one_step_away():
    arms = surface.single_changes((5, 6, 4), TODAY)
    assert len(arms) == 4 + 5 + 3
    assert ((arms != TODAY).sum(axis=1) == 1).all()
    assert len({tuple(arm) for arm in arms.tolist()}) == len(arms)


def test_a_surface_without_noise_is_found_from_eighteen_arms():
    lift = true_lift()
    errors = np.full(lift.shape, 1e-6)
    arms = surface.few_arms(lift, errors, COUNTS, TODAY, more=6)
    assert len(arms) == 18
    index = tuple(arms.T)
    fitted = surface.fit_surface(arms, lift[index], errors[index], (5, 6), COUNTS, TODAY)
    np.testing.assert_allclose(fitted.lift, lift, atol=2e-6)
    assert fitted.exponent == pytest.approx(0.8, abs=0.01)
    np.testing.assert_allclose(fitted.interactions / fitted.scale, [15, -30, 60], rtol=0.02)
    assert fitted.lift[TODAY] == 0


def test_without_arms_that_tell_the_lifts_add_up():
    lift = true_lift()
    arms = surface.single_changes(lift.shape, TODAY)
    index = tuple(arms.T)
    fitted = surface.fit_surface(arms, lift[index], np.full(12, 1e-6), (5, 6), COUNTS, TODAY)
    np.testing.assert_allclose(fitted.interactions, 0, atol=1e-6)
    np.testing.assert_allclose(fitted.lift, true_lift(0, 0, 0), atol=2e-6)


def test_the_unit_of_lift_is_irrelevant():
    rng = np.random.default_rng(0)
    lift = true_lift() + rng.normal(0, 2e-4, (5, 6, 4))
    lift[TODAY] = 0
    arms = surface.few_arms(lift, np.full(lift.shape, 2e-4), COUNTS, TODAY, 6)
    index = tuple(arms.T)
    one, hundred = (
        surface.fit_surface(
            arms, unit * lift[index], np.full(18, unit * 2e-4), (5, 6), COUNTS, TODAY
        )
        for unit in (1, 100)
    )
    np.testing.assert_allclose(100 * one.lift, hundred.lift, rtol=1e-4, atol=1e-5)


def test_the_fit_errs_less_than_the_sum_where_there_is_noise():
    rng = np.random.default_rng(1)
    true = true_lift()
    measured = true + rng.normal(0, 3e-4, true.shape)
    measured[TODAY] = 0
    knows = surface.knowledge(measured, np.full(true.shape, 3e-4), COUNTS, TODAY, more=6)
    error = {name: np.sqrt(np.mean((known.lift - true) ** 2)) for name, known in knows.items()}
    assert error[surface.FITTED] < 0.4 * error[surface.ADDED]


def test_the_next_arm_raises_the_determinant_most():
    """Against a loop over all arms, with the gradient by differences."""
    lift = true_lift()
    arms = surface.single_changes(lift.shape, TODAY)
    index = tuple(arms.T)
    error = 2e-4
    fitted = surface.fit_surface(arms, lift[index], np.full(12, error), (5, 6), COUNTS, TODAY)
    model = surface._Model((5, 6), COUNTS, TODAY)
    theta = model.theta(fitted)

    def gradient(arm):
        steps = 1e-6 * np.eye(len(theta))
        return np.array(
            [(model.lift(theta + h)[arm] - model.lift(theta - h)[arm]) / 2e-6 for h in steps]
        )

    noise = (error / fitted.scale) ** 2
    information = 1e-6 * np.eye(len(theta))
    information[-3:, -3:] = np.eye(3) / surface.INTERACTION_SD**2
    for arm in arms:
        information += np.outer(gradient(tuple(arm)), gradient(tuple(arm))) / noise
    tested = {TODAY, *map(tuple, arms.tolist())}
    best = max(
        (arm for arm in np.ndindex(lift.shape) if arm not in tested),
        key=lambda arm: np.linalg.slogdet(
            information + np.outer(gradient(arm), gradient(arm)) / noise
        )[1],
    )
    assert tuple(surface.next_arms(fitted, arms, error, 1)[0]) == best


def test_next_arms_are_new_and_end_with_the_grid():
    lift = true_lift()
    arms = surface.single_changes(lift.shape, TODAY)
    index = tuple(arms.T)
    fitted = surface.fit_surface(arms, lift[index], np.full(12, 1e-4), (5, 6), COUNTS, TODAY)
    rest = surface.next_arms(fitted, arms, 1e-4, 1000)
    every = {TODAY, *map(tuple, arms.tolist()), *map(tuple, rest.tolist())}
    assert len(rest) == lift.size - 1 - len(arms) and len(every) == lift.size


def test_a_rule_sees_only_the_arms_it_tests():
    lift, errors = true_lift(), np.full((5, 6, 4), 1e-4)
    knows = surface.knowledge(lift, errors, COUNTS, TODAY, more=3)
    assert [known.arms for known in knows.values()] == [9, 12, 15, 29, 119]
    hidden = np.ones(lift.shape, bool)
    hidden[(*surface.few_arms(lift, errors, COUNTS, TODAY, 3).T,)] = hidden[TODAY] = False
    changed = np.where(hidden, 1.0, lift)
    for name, known in surface.knowledge(changed, errors, COUNTS, TODAY, 3).items():
        same = np.array_equal(known.lift, knows[name].lift)
        assert same == (name not in (surface.ALL_PAIRS, surface.EVERY_ARM)), name


def test_only_todays_number_of_candidates_is_open_to_rules_that_leave_it():
    knows = surface.knowledge(true_lift(), np.full((5, 6, 4), 1e-4), COUNTS, TODAY, 3)
    for name in (surface.EQ_9, surface.ALL_PAIRS):
        assert np.isfinite(knows[name].lift[:, :, TODAY[2]]).all()
        assert np.isneginf(np.delete(knows[name].lift, TODAY[2], axis=2)).all()


def test_where_lifts_add_up_all_rules_that_may_choose_alike_do():
    rng = np.random.default_rng(2)
    lift = true_lift(0, 0, 0)
    knows = surface.knowledge(lift, np.full(lift.shape, 1e-6), COUNTS, TODAY, more=4)
    for _ in range(20):
        cost = rng.uniform(1, 2, lift.shape)
        chosen = {
            name: lift[surface.best_arm(known.lift, cost, 1.5)] for name, known in knows.items()
        }
        assert chosen[surface.ADDED] == pytest.approx(chosen[surface.EVERY_ARM], abs=1e-5)
        assert chosen[surface.FITTED] == pytest.approx(chosen[surface.EVERY_ARM], abs=1e-5)
        assert chosen[surface.EQ_9] == pytest.approx(chosen[surface.ALL_PAIRS])


def test_the_best_arm_by_a_loop():
    rng = np.random.default_rng(3)
    for _ in range(200):
        lift, cost = rng.integers(0, 4, (2, 3, 4, 2)).astype(float)
        within = [arm for arm in np.ndindex(lift.shape) if cost[arm] <= 2]
        if within:
            best = max(within, key=lambda arm: (lift[arm], -cost[arm]))
            found = surface.best_arm(lift, cost, 2.0)
            assert (lift[found], cost[found]) == (lift[best], cost[best])


def test_a_budget_below_all_arms_is_refused():
    with pytest.raises(ValueError, match=r"budget = 1 is below 2, the cheapest"):
        surface.best_arm([-np.inf, 0.1], [0.5, 2.0], budget=1.0)


ARMS = surface.single_changes((2, 2, 3), (0, 0, 0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arms": ARMS[:, :2]}, r"arms must be \[n, 3\]"),
        ({"lift": [0.1]}, r"with a lift and an error each"),
        ({"error": [0.0] * 4}, "error > 0"),
        ({"lift": [np.nan] * 4}, "lift must be finite"),
        ({"counts": [100, 0, 400]}, r"counts must be > 0; got \[100, 0, 400\]"),
        ({"counts": [100, 200]}, r"0\.\.1 beside today's 0 on axis 2; got \[1, 2\]"),
        ({"shape": (3, 2)}, r"test 2 or more of 0\.\.2 beside today's 0 on axis 0; got \[1\]"),
    ],
)
def test_arms_that_fit_nothing_are_refused(wrong, message):
    good = {
        "arms": ARMS,
        "lift": [0.01, 0.02, 0.005, 0.007],
        "error": [1e-4] * 4,
        "shape": (2, 2),
        "counts": [100, 200, 400],
        "today": (0, 0, 0),
    }
    surface.fit_surface(**good)
    with pytest.raises(ValueError, match=message):
        surface.fit_surface(**good | wrong)


def test_arms_are_in_one_order():
    arms = list(itertools.product(range(2), range(2)))
    assert surface.best_arm([[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]], 1.0) == arms[0]
