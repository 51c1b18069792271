"""A worker alone trains as one process does; of two, one is killed and nothing waits for it."""

import numpy as np
import pytest

from lib.training.distributed.asynchronous import AsynchronousLearner
from lib.training.distributed.cluster import Cluster, Plan, addresses
from lib.training.distributed.launcher import read_report
from tests.training.distributed.one_process import assert_close, make_served
from tests.training.distributed.small_work import BATCH, make_work, wait_for
from tests.training.small_training import train


def test_one_worker_is_the_plain_training(log, monkeypatch):
    """Up to rounding; a shorter last batch too."""
    served = train(log, make_served(monkeypatch, AsynchronousLearner), stop=85)
    plain = train(log, stop=85)
    assert_close(served.learner, plain.learner, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(served.report.losses, plain.report.losses, rtol=1e-4)
    assert served.learner.measured == {"staleness": [4], "applied": 4}


@pytest.mark.slow
def test_a_killed_worker_is_done_without(log, tmp_path):
    """Every batch is counted once by the offsets; what was applied twice is seen."""
    checkpoint = tmp_path / "checkpoint.npz"
    source = {"stop": 25 * BATCH, "batch_impressions": 5, "window": 100}
    work = make_work(log, checkpoint=checkpoint, every=5, source=source)
    plan = Plan("asynchronous", work, addresses("asynchronous", 2, 2), {})
    with Cluster(plan, tmp_path / "worker killed") as cluster:
        wait_for(checkpoint.exists, 100)
        cluster.processes["worker_0"].kill()
        cluster.wait(100)
        report = read_report(cluster)
    assert cluster.lost in (["worker_0"], [])  # [] where it was done before the death was seen
    assert report.impressions == 25 * BATCH and len(report.losses) == 100
    assert 100 <= report.applied <= 102 and report.staleness.sum() == 100
