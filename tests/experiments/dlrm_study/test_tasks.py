"""A task's rows are those of training each stream alone; auctions pay by the truth."""

import dataclasses

import numpy as np
import pytest

from lib.experiments.dlrm_study import tasks
from lib.experiments.dlrm_study.streams import load_auctions
from lib.experiments.dlrm_study.table import Training
from lib.logs.click_data import ClickData, Clicks
from lib.models.click_model import ClickModel
from lib.simulation.click_stream import auction_revenue
from lib.training.click_learner import ClickLearner
from lib.training.progressive import predict_clicks, train_progressively
from tests.experiments.dlrm_study.small_streams import BASE, PLAN


@pytest.fixture(scope="module")
def done(streams, tmp_path_factory):
    """(result, its folder) of two models on each of two streams."""
    folder = tmp_path_factory.mktemp("tasks")
    plan = dataclasses.replace(PLAN, seed=3, replicas=2)
    training = Training("dlrm", "rows", 1.0, BASE, streams, plan, (0.1, 0.05))
    return tasks.train_size(training.task(), folder / "task"), folder


def test_a_row_for_each_stream_mark_and_replica(done, streams):
    result, folder = done
    keys = [(row["draw"], row["samples"], row["replica"]) for row in result["rows"]]
    assert keys == [(draw, mark, r) for draw in (0, 1) for mark in (64, 128) for r in (0, 1)]
    assert {row["data"] for row in result["rows"]} == {stream.data for stream in streams}
    assert result["samples"] == 2 * 2 * 128 and result["seconds"] > 0
    assert set(result["counts"]) == {"embeddings", "bottom", "interaction", "top"}
    assert not list(folder.iterdir())  # checkpoints are gone


def test_a_stream_s_rows_are_those_of_a_training_by_itself(done, streams):
    """Of the second stream: seeds 1003 and 1004, and the money of its auctions."""
    data = ClickData.open(streams[1].data)
    model = ClickModel("dlrm", data.fields, data.dense, **BASE, replicas=2, seed=1003)
    learner = ClickLearner(model, 0.1, 0.05)
    want = train_progressively(
        learner,
        data,
        marks=PLAN.marks,
        validation_rows=PLAN.validation_rows,
        batches=[(0, 32)],
        progress=False,
    )
    got = [row for row in done[0]["rows"] if row["draw"] == 1]
    for one, other in zip(got, want, strict=True):
        assert {name: one[name] for name in other} == other
    auctions = load_auctions(streams[1].auctions)
    probability = predict_clicks(learner, Clicks(*auctions.impressions))
    revenue = auction_revenue(probability, auctions).mean(axis=-1)
    np.testing.assert_allclose([row["revenue"] for row in got[-2:]], revenue)
    truth = auction_revenue(auctions.impressions.probability, auctions).mean()
    assert all(0 < row["revenue"] <= truth for row in got)


def test_replicas_and_draws_begin_apart(done):
    losses = [row["log_loss"] for row in done[0]["rows"]]
    assert len(set(losses)) == len(losses)
