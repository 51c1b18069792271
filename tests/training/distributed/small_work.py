"""Work on the small log that the tests of this room share."""

import time

from lib.losses import ARFLoss
from lib.training.distributed.work import Work
from tests.small_log import FEATURES
from tests.training.small_training import LEARNING_RATE, WINDOW

BATCH, STEPS = 20, 15


def make_work(log, **changes):
    source = {"log": log, "stop": STEPS * BATCH, "batch_impressions": BATCH, "window": WINDOW}
    settings = {"learning_rate": LEARNING_RATE, **changes}
    return Work(source | settings.pop("source", {}), FEATURES, [8, 4, 1], ARFLoss(2, 2), **settings)


def wait_for(condition, seconds=60):
    """Until the condition holds; a test that waits longer fails."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.01)
