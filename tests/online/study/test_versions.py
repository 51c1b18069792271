"""Which weights a server holds when; what is kept of a training."""

import numpy as np
import pytest

from lib.online.study.tasks import MemorySource, TrainingParameters
from lib.online.study.versions import Versions, version_at
from lib.serving.served_model import ServedModel
from lib.simulation.drifting import minutes_of
from lib.training.loop import train
from tests.online.study.conftest import BATCH


@pytest.mark.parametrize("interval", [5, 20, 60])
@pytest.mark.parametrize("delay", [0, 5, 35])
def test_a_server_s_version_against_a_loop_over_exports(interval, delay):
    for minute in range(0, 200, 5):
        served = [t for t in range(0, 1000, interval) if t + delay <= minute]
        assert version_at(minute, interval, delay) == max(served, default=0)


def test_a_version_holds_the_batches_that_ended_before_it(log):
    features, impressions = log
    training = TrainingParameters(hidden=(4, 4, 4, 1), learning_rate=0.1, batch_impressions=BATCH)
    learner = training.learner(features)
    watch = Versions(learner.scorer, [0, 60, 65, 200], block=5)
    train(learner, MemorySource(impressions, BATCH), watch=watch, progress=False)
    kept = watch.finish()
    assert sorted(kept) == [0, 60, 65, 200]
    ends = minutes_of(impressions.timestamp)[BATCH - 1 :: BATCH]
    for minute, model in kept.items():
        steps = np.count_nonzero(ends < minute)
        own = training.learner(features)
        if steps:
            before = impressions.take(slice(steps * BATCH))
            train(own, MemorySource(before, BATCH), progress=False)
        assert model.digest == ServedModel.of(own.scorer).digest


def test_kept_weights_do_not_go_on_from_a_checkpoint(log):
    training = TrainingParameters(hidden=(4, 4, 4, 1), learning_rate=0.1, batch_impressions=BATCH)
    watch = Versions(training.learner(log[0]).scorer, [0], block=5)
    assert watch.state() is None
    with pytest.raises(ValueError, match="do not go on from a checkpoint"):
        watch.restore({})
