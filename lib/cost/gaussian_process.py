"""What measured times differ by from the analytic model's, as a smooth function of sizes."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

_FORMS = ("naive", "first_layer_optimised", "twin_tower")


class Residual:
    """A Gaussian process over the logarithms (base 2) of sizes and candidates.

    A level and a slope for each logarithm, of standard deviations 6 % and 2 % a doubling; a smooth
    function of at least 4 % (no roofline is trusted further) and a measurement's noise, whose
    scales are chosen by likelihood.
    """

    def __init__(self, kernel, centre):
        self._kernel, self._centre = kernel, centre

    @classmethod
    def chosen(cls, features, errors):
        """The process under which errors [rows] at features [rows, features] are likeliest."""
        kernel = (
            ConstantKernel(0.02**2, "fixed") * DotProduct(3.0, "fixed")
            + ConstantKernel(0.05**2, (0.04**2, 0.3**2)) * RBF(2.0, (1.0, 8.0))
            + WhiteKernel(0.03**2, (0.01**2, 0.2**2))
        )
        centre = features.mean(axis=0)
        process = GaussianProcessRegressor(kernel, alpha=1e-10)
        with warnings.catch_warnings():
            # A size at its bound is a result like any other.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(features - centre, winsorised(errors))
        return cls(process.kernel_, centre)

    def fit(self, features, errors):
        """The same process given rows."""
        conditioned = Residual(self._kernel, self._centre)
        conditioned._process = GaussianProcessRegressor(self._kernel, alpha=1e-10, optimizer=None)
        conditioned._process.fit(features - self._centre, winsorised(errors))
        return conditioned

    def predict(self, features):
        """Mean and deviation of a further measurement, both [sizes]."""
        return self._process.predict(features - self._centre, return_std=True)

    def posterior(self, features):
        """Mean [sizes] and covariance [sizes, sizes] of the function without noise."""
        mean, covariance = self._process.predict(features - self._centre, return_cov=True)
        noise = self._kernel.k2.noise_level
        return mean, covariance - noise * np.eye(len(mean))


def winsorised(errors):
    """Errors with outliers moved to three deviations (or 10 %) from the median.

    A machine that was busy with something else makes a time too long, never too short.
    """
    median = np.median(errors)
    # 1.4826 median absolute deviations are one standard deviation of a normal distribution.
    limit = max(3 * 1.4826 * np.median(np.abs(errors - median)), 0.1)
    return np.clip(errors, median - limit, median + limit)


def features_of(size_parameters, form, candidates):
    """What the residual depends on, [..., features]: logarithms, base 2, and the form."""
    widths = np.asarray(size_parameters, float)
    sizes = widths.shape[:-1]
    upper = (widths[..., 1:-1] * widths[..., 2:]).sum(axis=-1)  # weights above the first layer
    columns = [widths[..., 0], widths[..., 1], np.maximum(upper, 1.0), widths[..., -2], candidates]
    logs = [np.log2(np.broadcast_to(np.asarray(column, float), sizes)) for column in columns]
    # Two forms are as far apart as sizes of four times the width.
    forms = [np.full(sizes, 2.0 * (form == name)) for name in _FORMS]
    return np.stack(logs + forms, axis=-1)
