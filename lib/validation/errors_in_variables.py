r"""A straight line through points whose both coordinates carry known errors.

x_i = t_i + error of standard deviation x_error_i        (metric's sampling error)
y_i = a + b t_i + scatter + error of y_error_i           (models differ; noise of A/B tests)
t_i ~ N(mu, tau^2), scatter ~ N(0, sigma^2)

Least squares on x alone would find b too small, by var(t) / (var(t) + mean x_error^2), and would
count the noise of tests as scatter. The model is Kelly's (2007, arXiv:0705.2774, section 4) with
one Gaussian; its posterior is computed on a grid over (b, log sigma, log tau), from which mu and
a are integrated out exactly. SciPy's ODR knows no scatter beside the errors.
"""

import numpy as np

POINTS = 21  # of the grid, along each of its three axes
ZOOMS = 4  # times that the grid is laid anew around where the posterior is
LEAST, MOST = 0.003, 4.0  # sigma and tau, in standard deviations of y and x


def posterior(x, y, x_error, y_error, draws, rng):
    """Draws from the posterior of the line.

    Flat priors on mu, a, sigma and log tau, on the angle of the line when x and y are scaled to
    unit spread. With few models sigma is hardly known, and lines scatter accordingly.

    Args:
      x, y: [points], 4 or more, not all alike.
      x_error, y_error: [points], standard deviations, >= 0.
      draws: int; rng: np.random.Generator.

    Returns: (lines [draws, 2], slope and intercept; scatter [draws], sigma; r_squared [draws],
      the share of the variance of a + b t + scatter that the line explains: what R² would be
      without the errors).
    """
    scale_x, scale_y = x.std(ddof=1), y.std(ddof=1)
    u, v = (x - x.mean()) / scale_x, (y - y.mean()) / scale_y
    errors = np.square(x_error / scale_x), np.square(y_error / scale_y)
    b, log_sigma, log_tau, step, weight = _grid(u, v, *errors)
    picked = rng.choice(len(b), draws, p=weight)
    # Anywhere in the cell: the grid is fine beside the posterior.
    jitter = (rng.random((3, draws)) - 0.5) * step[:, None]
    angle, log_sigma, log_tau = np.stack([np.arctan(b), log_sigma, log_tau])[:, picked] + jitter
    b, sigma2, tau2 = np.tan(angle), np.exp(2 * log_sigma), np.exp(2 * log_tau)
    _, centre, precision = _integrated(u, v, *errors, b, sigma2, tau2)
    root = np.linalg.cholesky(np.linalg.inv(precision))
    mu, nu = (centre + np.einsum("dij,dj->di", root, rng.normal(size=(draws, 2)))).T
    slope = b * scale_y / scale_x
    intercept = y.mean() + scale_y * nu - slope * (x.mean() + scale_x * mu)
    return (
        np.stack([slope, intercept], axis=1),
        scale_y * np.sqrt(sigma2),
        b**2 * tau2 / (b**2 * tau2 + sigma2),
    )


def _grid(u, v, u_error, v_error):
    """Grid points b, log_sigma, log_tau [cells], the steps of the grid [3], weights [cells]."""
    low = np.array([-np.pi / 2, np.log(LEAST), np.log(LEAST)])
    high = np.array([np.pi / 2, np.log(MOST), np.log(MOST)])
    outer_low, outer_high = low.copy(), high.copy()
    for _ in range(ZOOMS):
        step = (high - low) / POINTS
        axes = [
            np.linspace(a + s / 2, b - s / 2, POINTS)
            for a, b, s in zip(low, high, step, strict=True)
        ]
        cells = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
        angle, log_sigma, log_tau = cells
        b = np.tan(angle)
        log_likelihood, *_ = _integrated(
            u, v, u_error, v_error, b, np.exp(2 * log_sigma), np.exp(2 * log_tau)
        )
        log_weight = log_likelihood + log_sigma  # a flat sigma is this density of its log
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        used = weight > 1e-7
        low = np.maximum(outer_low, cells[:, used].min(axis=1) - step)
        high = np.minimum(outer_high, cells[:, used].max(axis=1) + step)
    return b, log_sigma, log_tau, step, weight


def _integrated(u, v, u_error, v_error, b, sigma2, tau2):
    """Likelihood with the mean (mu, nu = a + b mu) integrated out, for each cell.

    Each point (u, v) is bivariate normal around (mu, nu); u_error, v_error are variances.
    Returns: log likelihood [cells], the mean's centre [cells, 2] and precision [cells, 2, 2].
    """
    b, sigma2, tau2 = (z[:, None] for z in (b, sigma2, tau2))
    var_u, var_v = tau2 + u_error, b**2 * tau2 + sigma2 + v_error
    cov = b * tau2
    determinant = var_u * var_v - cov**2
    p, q, r = var_v / determinant, var_u / determinant, -cov / determinant
    precision = np.stack([p.sum(axis=1), r.sum(axis=1), r.sum(axis=1), q.sum(axis=1)], axis=1)
    precision = precision.reshape(-1, 2, 2)
    pull = np.stack([(p * u + r * v).sum(axis=1), (r * u + q * v).sum(axis=1)], axis=1)
    centre = np.linalg.solve(precision, pull[:, :, None])[:, :, 0]
    squares = (p * u**2 + 2 * r * u * v + q * v**2).sum(axis=1) - (centre * pull).sum(axis=1)
    log_likelihood = -0.5 * (
        np.log(determinant).sum(axis=1) + squares + np.log(np.linalg.det(precision))
    )
    return log_likelihood, centre, precision
