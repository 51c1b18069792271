"""The closed form behind the average of laws."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from lib.laws import Prior
from lib.laws.bayesian_average import Grid, Members, design
from lib.laws.observations import whitening
from lib.laws.variable_projection import alone
from tests.laws.points import X, Y, points_of


def test_evidence_equals_that_of_a_gaussian_process():
    """The closed form against the multivariate normal of its linear model, way by way."""
    points = points_of(X, Y)
    prior = Prior(distance_power=0.0, noise_spread=1e9)
    grid = Grid(points, prior, [2])
    precision, mean = grid._prior_terms(2)
    ways, found, expected = grid.log_evidence(2), [], []
    rows = np.random.default_rng(1).choice(len(grid.log_weight), 6, replace=False)
    pairs = [(i, j) for i in range(prior.places) for j in range(i + 1, prior.places)]
    assert len(np.unique(grid.rows["ratio"][rows])) > 1
    for row in rows:
        ratio, noise, sharp, floor = (values[row] for values in grid.rows.values())
        whiten, _ = whitening(points, grid.ratios[ratio], grid.length)
        errors = grid.noises[noise] ** 2 * np.linalg.inv(whiten.T @ whiten)
        gap = points.smooth - grid.asymptotes[floor]
        scale = gap / points.smooth  # errors of log y, not of log gap
        for way, (i, j) in enumerate(pairs[:6]):
            basis = design(points.u, grid.places[None, [i, j]], grid.sharpness[sharp, None, None])
            moves = 1 - points.best / points.smooth  # the asymptote moves, and gaps with it
            basis = np.column_stack([moves, scale[:, None] * basis[0]])
            target = multivariate_normal(basis @ mean, errors + basis / precision @ basis.T)
            expected.append(target.logpdf(scale * np.log(gap) + np.log(points.y / points.smooth)))
            found.append(ways[way, row])
    differences = np.array(found) - np.array(expected)
    np.testing.assert_allclose(differences, differences[0], atol=1e-4)


def test_the_end_of_the_data_by_hand():
    """Shared errors as a Gaussian process: the mean and variance of the one at the last point."""
    points = points_of(X, Y)
    grid = Grid(points, Prior(), [1])
    laws = grid.members({1: grid.log_evidence(1)})
    log_y, _ = laws.without_end().log_y(points.u, points.sign)
    distance = np.abs(points.u[:, None] - points.u) / laws.length[0]
    shared = laws.ratio > 0
    assert shared.any() and np.all(laws.end[~shared] == 0)
    for m in np.flatnonzero(shared)[:5]:
        near = laws.ratio[m] * np.exp(-distance)
        gain = near[-1] @ np.linalg.inv(near + np.diag(points.variance / points.count))
        assert laws.end[m] == pytest.approx(gain @ (np.log(points.y) - log_y[m]))
        assert laws.end_variance[m] == pytest.approx(laws.ratio[m] - gain @ near[-1])
    ahead = np.array([0.0, 50.0])  # what is known of the end fades beyond it
    np.testing.assert_allclose(
        laws.noise_variance(ahead, 1.0),
        laws.noise[:, None] ** 2 * (1 + np.column_stack([laws.end_variance, laws.ratio])),
    )


def test_the_slope_wanders_beyond_the_data_where_it_broke_before():
    points = points_of(X, Y)
    grid = Grid(points, Prior(), [0, 2])
    straight, broken = (grid.members({t: grid.log_evidence(t)}) for t in (0, 2))
    assert np.all(straight.drift == 0) and np.all(broken.drift > 0)
    ahead = np.array([0.0, 1.0])
    _, sd = broken.log_y(ahead, points.sign)
    _, without = replace(broken, drift=0 * broken.drift).log_y(ahead, points.sign)
    assert np.all(sd[:, 0] == without[:, 0]) and np.all(sd[:, 1] > without[:, 1])
    # a slope that takes steps of the law's own size at `new_breaks` times its own rate
    bends = np.sum(broken.theta[:, 2:] ** 2, axis=1)
    np.testing.assert_allclose(broken.drift, Prior().new_breaks / points.span * bends / 3)


@pytest.mark.parametrize(("place", "monotone"), [([-3.0, -1.0], False), ([-1.0, -3.0], True)])
def test_slopes_count_from_the_last_place_not_the_last_column(place, monotone):
    """Slope -0.3 beyond the last break; a bend of -0.6 there turns it, one of 0.5 does not."""
    law = Members(
        weight=np.ones(1),
        asymptote=np.full(1, 0.1),
        place=np.array([place]),
        sharpness=np.full((1, 2), 0.1),
        theta=np.array([[0.0, -0.3, 0.5, -0.6]]),
        cov=np.zeros((1, 5, 5)),
        noise=np.ones(1),
        **alone(1),
    )
    log_y, _ = law.log_y(np.linspace(-5, 1, 200), sign=1.0)
    assert law.monotone()[0] == monotone == np.all(np.diff(log_y) < 0)
