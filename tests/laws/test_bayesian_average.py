"""The closed form behind the average of laws."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from lib.laws import Prior
from lib.laws.bayesian_average import Grid, Members, design, prior_terms
from tests.laws.points import X, Y, points_of


def test_evidence_equals_that_of_a_gaussian_process():
    """The closed form against the multivariate normal of its linear model, way by way."""
    points = points_of(X, Y)
    prior = Prior(noises=(0.01, 0.03, 0.1), distance_power=0.0, noise_spread=1e9)
    grid = Grid(points, prior)
    precision, mean = prior_terms(2, prior)
    ways, found, expected = grid.log_evidence(2), [], []
    errors = np.linalg.inv(points.whiten.T @ points.whiten)
    rows = np.random.default_rng(1).choice(len(grid.log_weight), 5, replace=False)
    pairs = [(i, j) for i in range(prior.places) for j in range(i + 1, prior.places)]
    for row in rows:
        noise, sharp, floor = np.unravel_index(row, grid.shape)
        gap = points.y - grid.asymptotes[floor]
        scale = gap / points.y  # errors of log y, not of log gap
        for way, (i, j) in enumerate(pairs[:6]):
            basis = design(points.u, grid.places[None, [i, j]], grid.sharpness[sharp, None, None])
            basis = scale[:, None] * basis[0]
            cov = grid.noises[noise] ** 2 * errors + basis / precision @ basis.T
            target = multivariate_normal(basis @ mean, cov)
            expected.append(target.logpdf(scale * np.log(gap)))
            found.append(ways[way, row])
    differences = np.array(found) - np.array(expected)
    np.testing.assert_allclose(differences, differences[0], atol=1e-4)


@pytest.mark.parametrize(("place", "monotone"), [([-3.0, -1.0], False), ([-1.0, -3.0], True)])
def test_slopes_count_from_the_last_place_not_the_last_column(place, monotone):
    """Slope -0.3 beyond the last break; a bend of -0.6 there turns it, one of 0.5 does not."""
    law = Members(
        weight=np.ones(1),
        asymptote=np.full(1, 0.1),
        place=np.array([place]),
        sharpness=np.full((1, 2), 0.1),
        theta=np.array([[0.0, -0.3, 0.5, -0.6]]),
        cov=np.zeros((1, 4, 4)),
        noise=np.ones(1),
    )
    log_y, _ = law.log_y(np.linspace(-5, 1, 200), sign=1.0)
    assert law.monotone()[0] == monotone == np.all(np.diff(log_y) < 0)
