"""Work goes through JSON and builds the same parts as one would by hand."""

import numpy as np

from lib.training.learner import Learner
from tests.small_log import FEATURES
from tests.training.distributed.small_work import make_work
from tests.training.small_training import make_learner, make_source


def test_it_goes_through_json(log, tmp_path):
    work = make_work(log, checkpoint=tmp_path / "checkpoint.npz", label_noise=0.5)
    assert type(work).from_json(work.to_json()) == work


def test_it_builds_what_one_would_by_hand(log):
    work = make_work(log, label_noise=0.5, noise_seed=3)
    made, by_hand = work.make_learner(Learner), make_learner()
    assert made.description() == by_hand.description()
    for a, b in zip(made.variables, by_hand.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    source = make_source(log, stop=300, batch_impressions=20)
    assert work.make_source().description() == source.description()
    assert work.make_source().features == FEATURES
    assert (work.make_target().noise, work.make_target().seed) == (0.5, 3)
    assert work.make_checkpoint() is None
