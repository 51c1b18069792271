"""Lifts of sizes that neither the law nor G has seen, where the truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.experiments import study

SLOPE, TEST_ERROR, SEED_ERROR = 0.3, 0.001, 0.002
SIZES = {8: "size", 16: "size", 32: "none", 64: "size", 128: "size"}
NEW = {48: "48 wide", 256: "256 wide"}


def metric_at(flops):
    return 0.92 - 0.1 * (flops / 8.0) ** -0.5


def trainings(seed, worlds=1, size_bonus=0.0):
    """A study of models on one line, lift = SLOPE x (metric - metric of the base)."""
    rng, rows = np.random.default_rng(seed), []

    def add(world, model, kind, flops, metric, seeds, group="primary"):
        bonus = size_bonus if kind == "size" else 0.0
        test = rng.normal(0, TEST_ERROR)  # the users are the same for all trainings
        for training_seed in range(seeds):
            seed_effect = rng.normal(0, SEED_ERROR)
            rows.append(
                {
                    "world": f"world {world}",
                    "dial": "",
                    "value": np.nan,
                    "set": group,
                    "kind": kind,
                    "model": model,
                    "flops": flops,
                    "seed": training_seed,
                    "r_over_r_star": metric + seed_effect,
                    "r_over_r_star_se": 0.001,
                    "revenue_lift_se": TEST_ERROR,
                    "revenue_lift": SLOPE * (metric + seed_effect - metric_at(32)) + test + bonus,
                }
            )

    for world in range(worlds):
        for flops, kind in SIZES.items():
            add(world, f"{flops} wide", kind, flops, metric_at(flops), 2)
        for number in range(12):
            add(world, f"other {number}", "data", 32, metric_at(32) + rng.uniform(-0.05, 0.02), 2)
        for flops, name in NEW.items():
            add(world, name, "size", flops, metric_at(flops), 5, "held_out")
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_intervals_hold_the_measured_lifts():
    table = study.predict_lifts(trainings(0, worlds=30), list(NEW.values()))
    assert table.world.nunique() == 30 and table.model.tolist()[:2] == list(NEW.values())
    assert (table.trainings == 5).all()
    between, beyond = (part for _, part in table.groupby("model", sort=False))
    assert 0.8 <= between.inside.mean() and 0.8 <= beyond.inside.mean()
    truth = SLOPE * (metric_at(256) - metric_at(32))
    assert np.median(beyond.predicted) == pytest.approx(truth, rel=0.2)
    # It says something: the interval of the size between is narrower than the lifts' range.
    assert np.median(between.high - between.low) < truth
    assert (table.inside == ((table.low <= table.measured) & (table.measured <= table.high))).all()


def test_no_test_of_a_size_takes_part():
    """Size pays extra in this world, which G, of other models, cannot know."""
    plain, extra = (
        study.predict_lifts(trainings(1, size_bonus=bonus), list(NEW.values()))
        for bonus in (0.0, 0.05)
    )
    pd.testing.assert_series_equal(plain.predicted, extra.predicted)
    assert plain.inside.all() and not extra.inside.any()


def test_skill_is_held_against_no_lift_and_takes_errors_apart():
    """Two worlds; the law's metric is too low by 1 % of lift, G too high by 2: 1 % is left."""
    table = pd.DataFrame(
        {
            "world": ["A", "A", "B", "B"],
            "measured": [0.02, -0.01, 0.04, 0.0],
            "by_measured_metric": [0.04, 0.01, 0.06, 0.02],
            "predicted": [0.03, 0.0, 0.05, 0.01],
        }
    )
    got = study.skill(table)
    assert (got.error, got.no_lift, got.bias) == pytest.approx((0.01, 0.0175, 0.01))
    assert (got.law_bias, got.g_bias, got.g_error) == pytest.approx((-0.01, 0.02, 0.02))
    saved = [0.005, 0.01]  # of A: 0.015 - 0.01, of B: 0.02 - 0.01
    half = stats.t(1).ppf(0.95) * np.std(saved, ddof=1) / np.sqrt(2)
    assert (got.saved, got.low, got.high) == pytest.approx((0.0075, 0.0075 - half, 0.0075 + half))
    one = study.skill(table[:2])
    assert one.worlds == 1 and one.saved == pytest.approx(0.005) and np.isnan([one.low]).all()


def test_the_measured_metric_goes_through_the_same_g():
    table = study.predict_lifts(trainings(0), list(NEW.values()))
    assert np.isfinite(table.by_measured_metric).all()
    same = table.metric_predicted - table.metric_measured
    np.testing.assert_array_equal(
        np.sign(table.predicted - table.by_measured_metric), np.sign(same)
    )


def test_worlds_without_one_of_the_sizes_are_left_out():
    rows = trainings(2, worlds=3)
    rows = rows[(rows.world != "world 1") | (rows.model != NEW[48])]
    table = study.predict_lifts(rows, list(NEW.values()))
    assert table.world.tolist() == ["world 0", "world 0", "world 2", "world 2"]


def test_a_seed_in_both_sets_counts_once():
    rows = trainings(2)
    again = rows[(rows.model == NEW[256]) & (rows.seed < 2)].assign(set="primary")
    pd.testing.assert_frame_equal(
        study.predict_lifts(pd.concat([rows, again], ignore_index=True), list(NEW.values())),
        study.predict_lifts(rows, list(NEW.values())),
    )


@pytest.mark.parametrize(
    "held_out, keep, message",
    [
        (["48 wide", "512 wide"], slice(None), r"no world has .* all of \['48 wide', '512 wide'\]"),
        ([], slice(None), "no world has trainings of all"),
        (["48 wide", "8 wide", "16 wide"], slice(None), "world 0 has 3 sizes to fit; expected 4"),
        (["48 wide"], "other 1?$", "world 0 has 2 models of other kinds"),
    ],
)
def test_too_little_to_fit(held_out, keep, message):
    rows = trainings(3)
    if isinstance(keep, str):
        rows = rows[(rows.kind != "data") | rows.model.str.contains(keep)]
    with pytest.raises(ValueError, match=message):
        study.predict_lifts(rows, held_out)


def test_a_metric_without_its_column_is_named():
    with pytest.raises(ValueError, match="metric 'ndcg' needs a column ndcg; the table has world"):
        study.predict_lifts(trainings(3), ["48 wide"], metric="ndcg")
    with pytest.raises(ValueError, match="metric 'r_over_r_star' needs a column r_over_r_star_se"):
        study.predict_lifts(trainings(3).drop(columns="r_over_r_star_se"), ["48 wide"])
