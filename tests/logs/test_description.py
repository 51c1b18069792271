"""What is said of a log: by hand, and never of padding."""

import numpy as np
import pytest

from lib.logs.description import ads_of_impression, defined_metrics, ecpm_concentration, top_share
from lib.logs.tables import METRICS


def test_padding_is_no_ad(batch):
    shortest = int(batch.mask.sum(axis=1).argmin())
    count = int(batch.mask[shortest].sum())
    assert count < batch.mask.shape[1]  # else nothing is padded here
    table = ads_of_impression(batch, shortest)
    assert len(table) == count
    assert table.v.tolist() == sorted(batch.v[shortest, :count], reverse=True)
    of_v = dict(zip(batch.v[shortest], batch.ecpm[shortest], strict=True))
    assert table.ecpm.tolist() == [of_v[v] for v in table.v]


def test_further_columns_stand_beside(batch):
    stage = np.arange(batch.mask.size).reshape(batch.mask.shape)
    batch.extra["stage"] = stage
    try:
        table = ads_of_impression(batch, 1)
        assert sorted(table.stage) == stage[1][batch.mask[1]].tolist()
    finally:
        del batch.extra["stage"]


def test_concentration_by_hand():
    ads, money = ecpm_concentration([[4.0, 0.0], [1.0, 5.0]])
    np.testing.assert_allclose(ads, [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(money, [0, 0.5, 0.9, 1])


def test_top_share_is_of_a_tenth_whatever_the_number_of_ads():
    assert top_share(np.ones(7), 0.1) == pytest.approx(0.1)
    assert top_share([9.0] + [1.0] * 9, 0.1) == pytest.approx(0.5)
    assert top_share([9.0, 0.0] + [1.0] * 9, 0.1) == pytest.approx(0.5)  # 0: never ranked


def test_a_log_without_money_has_no_concentration():
    for curve in ecpm_concentration(np.zeros((2, 3))):
        assert np.isnan(curve).all()
    assert np.isnan(top_share(np.zeros(4)))


def test_every_metric_reads_money_or_does_not():
    assert sorted(defined_metrics(True)) == sorted(METRICS)
    assert defined_metrics(False) == ["ndcg", "recall", "opa"]
