"""The paper's figures with the error that ten models leave."""

import numpy as np
import pytest

from lib.validation.published import FIGURES_3_TO_6, Published, published_difference


def test_fisher_s_z_by_hand():
    """r = 0.6: z = 0.6931; seven degrees of freedom, 95 %: +- 1.96 / sqrt(7) = 0.7408."""
    low, high = Published(0.36, 0, 0).r_squared_interval(0.95)
    assert low == 0.0  # z below 0 is an r of the other sign
    assert high == pytest.approx(np.tanh(0.6931 + 0.7408) ** 2, abs=1e-4)
    assert Published(0.36, 0, 0).r_squared_interval(0.95, models=10**9) == pytest.approx(
        (0.36, 0.36), abs=1e-3
    )


def test_the_interval_holds_the_figure_s_correlation_as_often_as_it_says():
    rng, inside = np.random.default_rng(0), []
    for _ in range(2000):
        x, noise = rng.normal(size=(2, 10))
        found = np.corrcoef(x, x + noise)[0, 1] ** 2
        low, high = Published(found, 0, 0).r_squared_interval(0.9)
        inside.append(low <= 0.5 <= high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.025)


def test_published_differences():
    others = [published_difference("r_over_r_star", name) for name in ("ndcg", "recall", "opa")]
    assert others == [0.109, 0.393, 0.762]
    assert published_difference("r_over_r_star", "joint_recall") is None
    assert list(FIGURES_3_TO_6) == ["r_over_r_star", "ndcg", "recall", "opa"]
