"""The study of many models in many worlds, on a tiny world."""

import numpy as np
import pandas as pd
import pytest
import yaml

from lib import simulation
from lib.experiments import study
from lib.experiments.study import table, tasks
from lib.infra import sweep
from lib.notebook.report import Report
from tests import ROOT

BASE = {
    "hidden": [8, 1],
    "rounds": 1,
    "impressions_per_round": 512,
    "log_impressions": 662,
    "train_impressions": 512,
    "learning_rate": 0.1,
    "batch_impressions": 128,
    "test_users": 100,
    "test_visits": 1,
}
PLAIN = [{"world": "small seed 0", "preset": "small", "seed": 0, "changes": {}}]
CHANGES = {"users": 150, "ads": 400, "ctr_waves": 64}
VARIANTS = [
    {"model": "again", "seed": 7, "set": "primary", "reason": "noise of training"},
    {"model": "noisy", "score_noise": 2.0, "set": "secondary", "reason": "broken"},
    {
        "model": "old twice",
        "log": "stale",
        "data_share": 0.5,
        "epochs": 2,
        "set": "primary",
        "reason": "age and epochs",
    },
]


def carry_out(folder, worlds, variants=VARIANTS, **changes):
    return study.run(
        worlds,
        variants,
        folder=folder,
        **{
            "base": BASE,
            "stale": 1.5,
            "seeds": [0, 1],
            "cuts": [1, 2, 4],
            "visits": 2,
            "n_jobs": 1,
            **changes,
        },
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    worlds = study.expand_worlds([{"world": "small", "seeds": [0], "changes": CHANGES}])
    return folder, worlds, *carry_out(folder, worlds)


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


def test_read_gives_back_what_was_written(done, tmp_path):
    _, _, built, models = done
    report = Report("01_metric_validation", tmp_path)
    report.table("worlds", built)
    report.table("study", models)
    report.write()
    again, read = study.read(tmp_path / "study.csv")
    assert again.oracle_gap.tolist() == built.oracle_gap.tolist()
    lists = ["size_parameters"]  # JSON text in a CSV file
    pd.testing.assert_frame_equal(
        study.average(read).drop(columns=lists),
        study.average(models).drop(columns=lists),
        check_exact=True,
    )
    models.drop(columns="set").to_csv(tmp_path / "study.csv")
    with pytest.raises(ValueError, match=r"study\.csv: column 'set' is missing; got .*world"):
        study.read(tmp_path / "study.csv")
    (tmp_path / "worlds.csv").unlink()
    with pytest.raises(ValueError, match=r"worlds\.csv: not found"):
        study.read(tmp_path / "study.csv")


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
        of = models[(models.model == row.model) & (models.dial == row.dial)]
        assert row.revenue_lift == pytest.approx(of.revenue_lift.mean())
        assert row.opa_spread == pytest.approx(of.opa.std())
        assert row.revenue_lift_se == pytest.approx(of.revenue_lift_se.mean())


def test_points_that_change_nothing_are_the_plain_world():
    line = {"dial": "pre_ranking_ads", "values": [20, 40], "world": "D", "seeds": [1]}
    same, other = study.expand_dials([line])
    assert same["changes"] == {} and other["changes"] == {"pre_ranking_ads": 40}
    plain = study.expand_worlds([{"world": "D", "seeds": [1]}])[0]
    assert table._world_task(same, BASE, 0.0) == table._world_task(plain, BASE, 0.0)


def test_plain_values_are_those_without_changes_of_their_own():
    plan = [
        {"dial": "drift", "values": [0.3, 0.0], "world": "D", "seeds": [0, 1], "reason": ""},
        {
            "dial": "exposures",
            "world": "D",
            "seeds": [0],
            "reason": "",
            "points": [
                {"value": 1, "changes": {"position_discounts": [1.0]}},
                {"value": 3, "changes": {}},
            ],
        },
    ]
    for everywhere in ({}, {"users": 2000, "ads": 5000}):
        points = study.expand_dials(plan, everywhere)
        assert study.plain_values(points) == {"drift": 0.0, "exposures": 3}
    assert study.plain_values([]) == {}


def test_score_noise_is_of_the_asked_size_and_stays():
    matched = simulation.match(simulation.World(simulation.world_parameters("small")))

    def model(users, ads):
        return 3.0 * ads.astype(np.float32)

    noise = 0.5 * tasks._score_spread(model, matched)
    noisy = tasks._with_score_noise(model, noise, seed=1)
    users, ads = matched.users, matched.ads
    added = noisy(users, ads) - model(users, ads)
    assert added.std() == pytest.approx(noise, rel=0.02)
    np.testing.assert_array_equal(noisy(users, ads[:, ::-1]), noisy(users, ads)[:, ::-1])


@pytest.mark.parametrize(
    ("worlds", "variants", "changes", "message"),
    [
        (PLAIN, [{"model": "x", "hiden": [8, 1]}], {}, "hiden"),
        (PLAIN, [{"model": "x", "log": "fresh"}], {}, "log"),
        (PLAIN, VARIANTS, {"stale": 0.0}, "'old twice' trains on the stale log; stale is 0"),
        (PLAIN, VARIANTS, {"cuts": [1, 3]}, r"m = 2 must be among the cuts \[1, 3\]"),
        ([{"world": "x", "system": "nowhere"}], VARIANTS, {}, "nowhere: no simulated system here"),
    ],
)
def test_what_is_no_study_is_refused_before_it_runs(tmp_path, worlds, variants, changes, message):
    with pytest.raises(ValueError, match=message):
        carry_out(tmp_path, worlds, variants, **changes)
    assert list(tmp_path.iterdir()) == []


def test_models_train_on_whole_batches():
    base = BASE | {"train_impressions": 1000}
    sizes = [
        study.training_fields(line, base, 2, 2)["train_impressions"]
        for line in ({}, {"data_share": 0.3}, {"batch_impressions": 64}, {"data_share": 0.1})
    ]
    assert sizes == [7 * 128, 2 * 128, 15 * 64, 100]  # fewer than a batch are a batch


def test_unknown_dials_are_refused():
    with pytest.raises(ValueError, match="no_such_dial"):
        study.expand_dials([{"dial": "no_such_dial", "values": [1], "world": "D", "seeds": [0]}])


PARAMS = ROOT / "params"


@pytest.mark.parametrize("profile", ["quick", "full", "full_candidates"])
def test_the_committed_plan_is_one_and_gives_its_reasons(profile):
    plan = yaml.safe_load((PARAMS / profile / "01_metric_validation.yaml").read_text())
    base = plan["dial_study"].get("base", BASE)
    models = [
        study.Variant(logs="", features="", **study.training_fields(line, base, 2, 2)).model
        for line in plan["variants"]
    ]
    assert len(set(models)) == len(models)
    assert not plan["dials"] or sum("on_dials" in line for line in plan["variants"]) >= 4
    for line in plan["variants"] + plan["worlds"] + plan["dials"]:
        assert line["reason"]
    study.expand_dials(plan["dials"], plan["dial_study"].get("changes"))
    assert len(study.expand_worlds(plan["worlds"])) == (0 if profile == "quick" else 8)
    sets = [line.get("set", "primary") for line in plan["variants"]]
    assert profile == "quick" or (sets.count("primary") >= 30 and "secondary" in sets)
