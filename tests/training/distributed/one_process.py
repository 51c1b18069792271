"""Servers, workers and coordinator in the test's own process: the same functions, no network."""

from lib.losses import ARFLoss
from lib.models.scorer import Scorer
from lib.training.distributed import parameter_servers
from tests.small_log import FEATURES
from tests.training.small_training import LEARNING_RATE


def make_served(monkeypatch, kind, workers=1, servers=2, **options):
    """A ServedLearner of class `kind`, all of it on this process's device."""
    for name in ("server_device", "worker_device"):
        monkeypatch.setattr(parameter_servers, name, lambda index: "/device:CPU:0")
    parts = {"workers": workers, "servers": servers}
    scorer = Scorer(FEATURES, [8, 4, 1], "mlp", 0)
    return kind(scorer, ARFLoss(2, 2), LEARNING_RATE, **parts, **options)


def assert_close(learner, other, **tolerance):
    """All variables of two learners."""
    import numpy as np

    for a, b in zip(learner.variables, other.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), **tolerance, err_msg=a.path)
