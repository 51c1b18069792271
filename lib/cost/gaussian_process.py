"""What measured times differ by from the analytic model's, as a smooth function of sizes."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

_FORMS = ("naive", "first_layer_optimised", "twin_tower")


class Residual:
    """A Gaussian process over the logarithms (base 2) of sizes and candidates.

    A level and a slope for each logarithm, as wide as 6 % and 2 % a doubling; a smooth
    function of at least 4 % (no roofline is trusted further) and a measurement's noise, whose
    sizes are chosen by likelihood.
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
            process.fit(features - centre, _tamed(errors))
        return cls(process.kernel_, centre)

    def fit(self, features, errors):
        """The same process given rows."""
        given = Residual(self._kernel, self._centre)
        given._process = GaussianProcessRegressor(self._kernel, alpha=1e-10, optimizer=None)
        given._process.fit(features - self._centre, _tamed(errors))
        return given

    def predict(self, features):
        """Mean and deviation of a further measurement, both [sizes]."""
        return self._process.predict(features - self._centre, return_std=True)

    def posterior(self, features):
        """Mean [sizes] and covariance [sizes, sizes] of the function without noise."""
        mean, covariance = self._process.predict(features - self._centre, return_cov=True)
        noise = self._kernel.k2.noise_level
        return mean, covariance - noise * np.eye(len(mean))


def _tamed(errors):
    """Errors, outliers drawn in to three deviations (or 10 %) from the median.

    A machine that was busy with something else makes a time too long, never too short.
    """
    middle = np.median(errors)
    reach = max(3 * 1.4826 * np.median(np.abs(errors - middle)), 0.1)
    return np.clip(errors, middle - reach, middle + reach)


def features_of(size_parameters, form, candidates):
    """What the residual depends on, [..., features]: logarithms, base 2, and the form."""
    a = np.asarray(size_parameters, float)
    above = (a[..., 1:-1] * a[..., 2:]).sum(axis=-1)
    columns = [a[..., 0], a[..., 1], np.maximum(above, 1.0), a[..., -2], candidates]
    logs = [np.log2(np.broadcast_to(np.asarray(x, float), a.shape[:-1])) for x in columns]
    # Two forms are as far apart as sizes of four times the width.
    forms = [np.full(a.shape[:-1], 2.0 * (form == name)) for name in _FORMS]
    return np.stack(logs + forms, axis=-1)
