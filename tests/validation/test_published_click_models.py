"""Published click models: the figures agree with each other where they must."""

import numpy as np
import pytest

from lib.validation.published_click_models import CRITEO_X1, published_click_models


def test_one_row_a_data_set_model_and_rows_scored():
    table = published_click_models()
    assert not table.duplicated(["data_set", "model", "rows"]).any()
    assert table["auc"].between(0.5, 1).all() and table["log_loss"].between(0, np.log(2)).all()


def test_the_normalised_entropy_that_the_figures_imply():
    """Criteo's DLRM: log loss over the entropy of the base rate, .770."""
    rate = CRITEO_X1[1]
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    criteo = published_click_models("criteo_x1")
    dlrm = criteo[(criteo["model"] == "dlrm") & (criteo["rows"] == "test")]
    assert (dlrm["log_loss"] / entropy).round(3).tolist() == [0.770]
    # On one data set a higher AUC goes with a lower log loss; ties by rounding.
    order = criteo.sort_values(["auc", "log_loss"])["log_loss"]
    assert order.is_monotonic_decreasing


def test_another_data_set_is_refused():
    with pytest.raises(ValueError, match=r"one of criteo_x1, avazu_x1, .*; got 'criteo'"):
        published_click_models("criteo")
