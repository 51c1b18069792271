"""The paper's figures with the error that ten models leave."""

import numpy as np
import pytest

from lib.validation.published import FIGURES_3_TO_6, published_difference, r_squared_interval


def test_fisher_s_z_by_hand():
    """r = 0.6: z = 0.6931; seven degrees of freedom, 95 %: +- 1.96 / sqrt(7) = 0.7408."""
    low, high = r_squared_interval(0.36, 10, 0.95)
    assert low == 0.0  # z below 0 is an r of the other sign
    assert high == pytest.approx(np.tanh(0.6931 + 0.7408) ** 2, abs=1e-4)
    assert r_squared_interval(0.36, 10**9, 0.95) == pytest.approx((0.36, 0.36), abs=1e-3)


def test_the_interval_holds_the_figure_s_correlation_as_often_as_it_says():
    rng, inside = np.random.default_rng(0), []
    for _ in range(2000):
        x, noise = rng.normal(size=(2, 10))
        found = np.corrcoef(x, x + noise)[0, 1] ** 2
        low, high = r_squared_interval(found, 10, 0.9)
        inside.append(low <= 0.5 <= high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.025)


def test_published_differences():
    others = [published_difference("r_over_r_star", name) for name in ("ndcg", "recall", "opa")]
    assert others == [0.109, 0.393, 0.762]
    assert published_difference("r_over_r_star", "joint_recall") is None
    assert list(FIGURES_3_TO_6) == ["r_over_r_star", "ndcg", "recall", "opa"]


@pytest.mark.parametrize(("r_squared", "models"), [(1.0, 10), (-0.1, 10), (0.5, 3), (np.nan, 9)])
def test_what_is_no_r_squared_is_refused(r_squared, models):
    with pytest.raises(ValueError, match=f"0 <= r_squared < 1 .* got {r_squared} of {models}"):
        r_squared_interval(r_squared, models)
