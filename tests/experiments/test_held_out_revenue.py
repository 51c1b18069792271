"""Ranking models by money of sessions that the metric has not seen."""

import numpy as np
import pandas as pd
import pytest

from lib.experiments.held_out_revenue import (
    measure_on_log,
    rank_agreement,
    split_half_tables,
    write_lists,
)
from lib.logs.features import save_features
from tests.small_log import FEATURES

QUALITY = np.linspace(0, 1, 6)[:, None]


def sessions(seed, count=400, noise=1.0):
    rng = np.random.default_rng(seed)
    money = rng.lognormal(size=(6, count)) * (1 + QUALITY)
    return {
        "good": QUALITY + noise * rng.normal(size=(6, count)),
        "blind": rng.normal(size=(6, count)),
    }, money


def test_a_metric_that_sees_quality_ranks_by_money_and_a_blind_one_does_not():
    found = rank_agreement(*sessions(0), draws=300).set_index("metric")
    assert found.low["good"] > 0.4 and found.kendall["good"] > 0.7
    assert found.low["blind"] < 0 < found.high["blind"]
    assert abs(found.kendall["blind"]) < 0.5
    assert found.regret["good"] < found.regret["blind"]
    assert (found.low <= found.kendall).all() and (found.kendall <= found.high).all()


def test_chance_that_metric_and_money_share_does_not_count():
    """A metric that is the session's own money: pure chance where all models are alike."""
    money = np.random.default_rng(1).lognormal(size=(6, 300))
    found = rank_agreement({"own money": money}, money, draws=300)
    assert abs(found.kendall[0]) < 0.45  # on the same sessions it would be 1


def test_undefined_sessions_are_left_out():
    values, money = sessions(2)
    values["good"][:, ::2] = np.nan
    assert rank_agreement(values, money, draws=100).kendall[0] > 0.4


def test_the_seed_decides():
    values, money = sessions(3)
    first, again, reseeded = (rank_agreement(values, money, draws=50, seed=s) for s in (0, 0, 1))
    assert first.equals(again) and not first.equals(reseeded)


@pytest.mark.parametrize(
    ("values", "money", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 5)), r"got metric \(3, 4\) and money \(3, 5\)"),
        (np.ones((2, 4)), np.ones((2, 4)), "3 or more models"),
        (np.ones((3, 4)), -np.ones((3, 4)), "money must be >= 0; got -1.0"),
    ],
)
def test_what_cannot_be_ranked_is_refused(values, money, message):
    with pytest.raises(ValueError, match=message):
        rank_agreement({"metric": values}, money)


def test_halves_by_hand():
    values = {
        "money": np.array([[1.0, 2, 3, 4], [2, 2, 6, 4]]),
        "ndcg": np.arange(8.0).reshape(2, 4),
    }
    table = split_half_tables(pd.DataFrame({"model": ["base", "new"]}), values, seed=0)
    seen = np.random.default_rng(0).permutation(4) < 2
    base, new = values["money"][:, ~seen]
    assert table.revenue_lift.tolist() == [0, pytest.approx(new.sum() / base.sum() - 1)]
    assert table.ndcg[1] == pytest.approx(values["ndcg"][1, seen].mean())
    assert table.ndcg_se.tolist() == [0, 0]  # the same difference on every impression
    assert table.impressions.tolist() == [2, 2]


@pytest.mark.slow
def test_a_log_without_a_system(tmp_path, log):
    base = {
        "hidden": [4, 1],
        "learning_rate": 0.1,
        "batch_impressions": 32,
        "train_impressions": 96,
        "log_impressions": 160,
    }
    variants = [{"model": "base"}, {"model": "softmax", "loss": "softmax"}]
    given = {"base": base, "folder": tmp_path, "seeds": [0, 1], "cuts": [1, 2], "n_jobs": 1}
    rows, values = measure_on_log(log, features_file(tmp_path), variants, **given)
    assert rows.model.tolist() == ["base", "softmax"]
    assert values["money"].shape == values["r_over_r_star@1"].shape == (2, 64)
    again = measure_on_log(log, features_file(tmp_path), variants, **given)[1]
    np.testing.assert_array_equal(values["ndcg"], again["ndcg"])


def features_file(folder):
    save_features(folder / "features.yaml", FEATURES)
    return folder / "features.yaml"


@pytest.mark.parametrize(
    ("dataset", "data", "message"),
    [
        ("movielens", "folder", "dataset: got 'movielens'; expected one of trivago"),
        ("trivago", "", "data: got ''; expected the folder with the files of trivago"),
    ],
)
def test_lists_that_there_are_not_are_named(tmp_path, dataset, data, message):
    with pytest.raises(ValueError, match=message):
        write_lists(dataset, data, tmp_path)
