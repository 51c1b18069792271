"""What servers would have said: against loops, and what must not matter."""

import json

import numpy as np
import pandas as pd
import pytest

from lib.logs.features import Features
from lib.losses import ARFLoss
from lib.metrics.ranking import r_over_r_star
from lib.models.scorer import Scorer
from lib.online.study.exposures import load_log, log_task
from lib.online.study.tasks import Servers, asynchronous_task, closed_loop_task, open_loop_task
from lib.online.study.versions import version_at
from lib.serving.served_model import ServedModel
from lib.simulation.drifting import minutes_of
from lib.training.learner import Learner
from lib.training.loop import train
from lib.training.scoring import predict
from tests.online.study.small_study import PLAN


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    return log_task(PLAN.systems()[0].model_dump(mode="json"), folder / "log"), folder


@pytest.fixture(scope="module")
def opened(made):
    log, folder = made
    task = json.loads(json.dumps(PLAN.task(log, PLAN.base, anew=True)))
    return open_loop_task(task, folder / "open")


def test_every_policy_is_measured_on_the_same_impressions(opened):
    blocks = pd.DataFrame(opened["blocks"])
    counts = blocks.groupby("policy").impressions.sum()
    assert sorted(counts.index) == ["1440 min", "20 min", "60 min", "anew"]
    assert counts.nunique() == 1
    assert blocks.r_over_r_star.between(0, 2).all() and blocks.new_ads.between(0, 1).all()
    for policy, part in blocks[blocks.policy != "anew"].groupby("policy"):
        held = [version_at(t, int(policy.split()[0]), PLAN.delay) for t in part.minute]
        assert part.version.tolist() == held


def test_a_block_against_a_model_trained_to_its_version(made, opened):
    """Slow reference: train up to the version with Keras alone, score with the Scorer."""
    log, _ = made
    drifting = PLAN.systems()[0].drifting()
    impressions = load_log(log["log"], log["sha256"])
    times = minutes_of(impressions.timestamp)
    blocks = pd.DataFrame(opened["blocks"])
    row = blocks[blocks.policy == "60 min"].iloc[-1]
    features = open_features(drifting)
    scorer = Scorer(features, PLAN.base, "mlp", seed=0)
    learner, ends = Learner(scorer, ARFLoss(2, 2), 0.1), times[15::16]
    train(learner, Whole(impressions, np.count_nonzero(ends < row.version)), progress=False)
    part = impressions.take((times >= row.minute) & (times < row.minute + PLAN.block))
    value = r_over_r_star(predict(scorer, part), part.v, part.ecpm, 2, part.mask)
    assert np.nanmean(value) == pytest.approx(row.r_over_r_star, abs=1e-6)
    came = drifting.ad_times[0][part.ad["ad_id"]] > row.version
    share = [np.mean(line[mask]) for line, mask in zip(came, part.mask, strict=True)]
    assert np.mean(share) == pytest.approx(row.new_ads)


def test_tests_of_revenue_have_visits_in_common(opened):
    revenue = pd.DataFrame(opened["revenue"])
    assert revenue.groupby("minute").visits.nunique().eq(1).all()
    assert sorted(revenue.minute.unique()) == PLAN.test_minutes
    total = revenue.groupby("policy").revenue.sum()
    assert total.idxmax() == "oracle"


def test_gradients_in_time_train_as_the_open_loop_does(made, opened):
    log, folder = made
    task = PLAN.task(log, PLAN.base, ways=[["all", 0], ["all", 2], ["tables", 2]])
    task |= {"intervals": [20], "measured": [PLAN.measured[0], PLAN.measured[0] + 120]}
    rows = pd.DataFrame(asynchronous_task(task, folder / "late")["blocks"])
    online = pd.DataFrame(opened["blocks"])
    online = online[(online.policy == "20 min") & online.minute.isin(rows.minute)]
    of = {
        way: part.r_over_r_star.to_numpy() for way, part in rows.groupby(["delayed", "staleness"])
    }
    np.testing.assert_array_equal(of["all", 0], online.r_over_r_star)
    assert not np.array_equal(of["all", 2], of["all", 0])
    assert not np.array_equal(of["all", 2], of["tables", 2])


def test_the_closed_loop_begins_with_the_open_loop_s_model(made):
    log, folder = made
    task = PLAN.task(log, PLAN.base, intervals=[60, 1440])
    start = PLAN.measured[0]
    task |= {"measured": [start, start + 150], "test_minutes": [start, start + 140]}
    revenue = pd.DataFrame(closed_loop_task(task, folder / "closed")["revenue"])
    earned = revenue.set_index(["policy", "minute"]).revenue
    first = earned.xs(start, level="minute")
    assert first["60 min"] == first["1440 min"]  # nothing has been exported since
    oracle = earned.loc["oracle"].groupby("minute").nunique()
    assert (oracle == 1).all()
    again = pd.DataFrame(closed_loop_task(task, folder / "closed")["revenue"])
    pd.testing.assert_frame_equal(revenue, again)


def test_a_deployed_model_scores_as_its_scorer(made):
    log, _ = made
    drifting = PLAN.systems()[0].drifting()
    features = open_features(drifting)
    scorer = Scorer(features, PLAN.base, "mlp", seed=3)
    impressions = load_log(log["log"], log["sha256"]).take(slice(20))
    deployed = Servers(drifting, features).deploy(ServedModel.of(scorer))
    scores = deployed(impressions.user["user_id"], impressions.ad["ad_id"])
    expected = predict(scorer, impressions)
    np.testing.assert_allclose(np.where(impressions.mask, scores, 0), expected, atol=2e-4)


def open_features(drifting):
    return Features(features=drifting.world.features)


class Whole:
    """The first so many batches of 16; a source written out."""

    full_batch = 16

    def __init__(self, impressions, steps):
        self.impressions, self.steps, self.ads = impressions, steps, impressions.mask.shape[1]

    def batches(self, offset=None):
        for step in range(self.steps):
            yield self.impressions.take(np.arange(16 * step, 16 * step + 16)), step + 1

    def description(self):
        return {}
