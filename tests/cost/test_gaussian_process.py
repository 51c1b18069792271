"""The residual's process: outliers, and what it makes of a smooth function."""

import numpy as np

from lib.cost.gaussian_process import Residual, features_of, winsorised
from tests.cost.test_service_time import SIZES


def test_an_outlier_moves_to_three_deviations():
    """Median 0, median absolute deviation 0.1: the limit is 3 x 1.4826 x 0.1."""
    errors = np.array([-0.2, -0.1, 0.0, 0.1, 5.0])
    np.testing.assert_allclose(winsorised(errors), [-0.2, -0.1, 0.0, 0.1, 3 * 1.4826 * 0.1])


def test_errors_within_ten_per_cent_stay():
    errors = np.array([0.0, 0.0, 0.0, 0.09])
    np.testing.assert_array_equal(winsorised(errors), errors)


def test_a_smooth_error_is_learnt_and_its_deviation_grows_away_from_the_rows():
    features = features_of(SIZES, "first_layer_optimised", 300)
    errors = 0.04 * (features[:, 1] - features[:, 1].mean())
    process = Residual.chosen(features, errors).fit(features, errors)
    mean, deviation = process.predict(features)
    assert np.abs(mean - errors).max() < np.abs(errors).max() / 2
    far = features_of([60_000, 64, 64, 64, 64, 1], "first_layer_optimised", 300)[None]
    assert process.predict(far)[1][0] > 1.5 * deviation.max()


def test_features_are_logarithms_and_the_form():
    row = features_of([8, 4, 2, 1], "naive", 16)
    np.testing.assert_allclose(row, [3, 2, np.log2(4 * 2 + 2), 1, 4, 2, 0, 0])
