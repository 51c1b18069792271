"""Two workers train as one does, and as one that goes on for them after one was killed."""

import importlib.util

import numpy as np
import pytest

from lib.training.checkpoint import save_weights
from lib.training.distributed.cluster import Cluster, Plan, addresses
from lib.training.distributed.launcher import train_distributed
from tests.training.distributed.small_work import BATCH, STEPS, make_work, wait_for
from tests.training.small_training import make_learner, train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is an extra"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of what all start from."""
    path = tmp_path_factory.mktemp("weights") / "weights.npz"
    save_weights(path, make_learner().scorer)
    return path


@pytest.fixture(scope="module")
def two(log, weights):
    return train_distributed("synchronous", make_work(log, weights=weights), timeout=120)


def test_it_is_the_training_of_one_process(log, two):
    """Up to rounding, which grows from step to step: batch norm and loss are of the whole batch."""
    alone = train(log, stop=5 * BATCH, batch_impressions=BATCH)
    np.testing.assert_allclose(two.losses[:5], alone.report.losses, rtol=1e-4)


def test_a_killed_worker_stops_all_and_one_goes_on_with_the_same_numbers(
    log, two, weights, tmp_path
):
    work = make_work(log, weights=weights, checkpoint=tmp_path / "checkpoint.npz", every=2)
    plan = Plan("synchronous", work, addresses("synchronous", 2, 0), {"parts": 2})
    with Cluster(plan, tmp_path / "killed") as cluster:
        wait_for((tmp_path / "checkpoint.npz").exists)
        cluster.processes["worker_1"].kill()
        with pytest.raises(RuntimeError, match="worker_1 ended with code -9"):
            cluster.wait(30)
    assert all(process.poll() is not None for process in cluster.processes.values())
    # To the last bit, nothing left out or counted twice: one worker that cuts batches alike is two.
    resumed = train_distributed("synchronous", work, workers=1, parts=2, timeout=120)
    assert (resumed.digest, resumed.samples) == (two.digest, two.samples)
    assert resumed.impressions == STEPS * BATCH
    np.testing.assert_array_equal(resumed.losses, two.losses)
