"""A study carried out: its two tables, resumed, read back, averaged."""

import numpy as np
import pandas as pd
import pytest

from lib.experiments import study
from lib.infra import sweep
from lib.logs.tables import load_trainings
from lib.notebook.report import Report
from tests.experiments.study.small_study import BASE, CHANGES, VARIANTS, carry_out

pytestmark = pytest.mark.slow

PLAIN = [{"world": "small seed 0", "preset": "small", "seed": 0, "changes": {}}]


def test_the_table(done):
    _, _, built, models = done
    assert built.world.tolist() == ["small seed 0"] and (built.oracle_gap < 0).all()
    assert len(models) == 3 * 2
    assert models.seed.tolist() == [7, 8, 0, 1, 0, 1]
    assert models.samples.iloc[4] == pytest.approx(2 * models.samples.iloc[0] / 2, rel=0.05)
    for name in ("r_over_r_star", "recall"):
        pd.testing.assert_series_equal(models[name], models[f"{name}@2"], check_names=False)
    for name in (
        "ndcg",
        "opa",
        "revenue_ndcg",
        "joint_recall",
        "revenue_weighted_r_over_r_star",
        "r_over_r_star@4",
        "revenue_lift",
        "revenue_lift_gsp",
        "revenue_lift_true",
    ):
        assert np.isfinite(models[[name, f"{name}_se"]]).all(axis=None)
    noisy = models[models.model == "noisy"]
    others = models[models.model == "again"]
    assert noisy.r_over_r_star.max() < others.r_over_r_star.min()
    assert noisy.revenue_lift.max() < others.revenue_lift.min()


def test_the_error_of_a_metric_is_that_of_its_difference_to_the_base(done):
    models = done[3]
    again = models[models.model == "again"]
    # Models that agree on most impressions differ by less than either's own sampling error.
    assert (again.opa_se < 0.2 / np.sqrt(150)).all()


def test_resumed_is_the_same_and_does_nothing(done, monkeypatch):
    folder, worlds, built, models = done
    monkeypatch.setattr(sweep, "_carry_out", None)  # whoever calls it fails
    again = carry_out(folder, worlds)
    pd.testing.assert_frame_equal(again[0], built)
    pd.testing.assert_frame_equal(again[1], models)


def test_load_trainings_gives_back_what_was_written(done, tmp_path):
    _, _, built, models = done
    report = Report("01_metric_validation", tmp_path)
    report.table("worlds", built)
    report.table("study", models)
    report.write()
    again, read = load_trainings(tmp_path / "study.csv")
    assert again.oracle_gap.tolist() == built.oracle_gap.tolist()
    lists = ["size_parameters"]  # JSON text in a CSV file
    pd.testing.assert_frame_equal(
        study.average(read).drop(columns=lists),
        study.average(models).drop(columns=lists),
        check_exact=True,
    )


def test_drift_is_felt_online_and_not_offline(done):
    folder, _, _, models = done
    points = study.expand_dials(
        [
            {
                "dial": "drift",
                "world": "small",
                "seeds": [0],
                "points": [{"value": 1.0, "changes": {**CHANGES, "drift": 1.0}}],
            }
        ]
    )
    _, later = carry_out(folder, points, VARIANTS[:1], seeds=[0])
    assert (later.dial[0], later.value[0]) == ("drift", 1.0)
    assert later.ndcg[0] == pytest.approx(models.ndcg[0])  # the same log, the same training
    assert later.revenue_lift[0] != models.revenue_lift[0]


def test_average_by_a_loop(done):
    models = done[3]
    means = study.average(models)
    assert len(means) == 3 and (means.trainings == 2).all()
    for _, row in means.iterrows():
        seeds = models[(models.model == row.model) & (models.dial == row.dial)]
        assert row.revenue_lift == pytest.approx(seeds.revenue_lift.mean())
        assert row.opa_spread == pytest.approx(seeds.opa.std())
        assert row.revenue_lift_se == pytest.approx(seeds.revenue_lift_se.mean())


@pytest.mark.parametrize(
    ("worlds", "variants", "changes", "message"),
    [
        (PLAIN, [{"model": "x", "hiden": [8, 1]}], {}, "hiden"),
        (PLAIN, [{"model": "x", "log": "fresh"}], {}, "log"),
        (PLAIN, VARIANTS, {"stale": 0.0}, "'old twice' trains on the stale log; stale is 0"),
        (PLAIN, VARIANTS, {"cuts": [1, 3]}, r"m = 2 must be among the cuts \[1, 3\]"),
        ([{"world": "x", "system": "nowhere"}], VARIANTS, {}, "nowhere: no simulated system here"),
        (PLAIN, VARIANTS, {"base": None}, "'small seed 0' is to be built and needs base; got None"),
        (PLAIN, VARIANTS, {"base": {**BASE, "round": 1}}, "round"),
        (PLAIN, VARIANTS, {"base": {**BASE, "log_impressions": 511}}, "log_impressions = 511"),
    ],
)
def test_what_is_no_study_is_refused_before_it_runs(tmp_path, worlds, variants, changes, message):
    with pytest.raises(ValueError, match=message):
        carry_out(tmp_path, worlds, variants, **changes)
    assert list(tmp_path.iterdir()) == []
