"""One compiled step for all models of a form: each gets what it would get alone."""

import numpy as np
import pytest

from lib.losses import ARFLoss, RelaxLoss
from lib.models.scorer import Scorer
from lib.training import compiled_step
from lib.training.compiled_step import form_of
from tests.small_log import FEATURES
from tests.training.small_training import alpha, assert_same_weights, make_learner, train


@pytest.fixture
def compiled(monkeypatch):
    """What has been compiled, empty at first."""
    fresh = {}
    monkeypatch.setattr(compiled_step, "_COMPILED", fresh)
    return fresh


@pytest.mark.slow
def test_learners_of_a_form_share_a_step_and_nothing_else(log, compiled):
    """To the last bit: other seeds, learning rates, label noise and data stand beside each."""
    settings = [
        ({"seed": 0}, {"stop": 100}),
        ({"seed": 1, "learning_rate": 0.03}, {"stop": 150}),
        ({"seed": 2}, {"start": 100, "stop": 200, "noise": 1.0}),
    ]
    together = [train(log, make_learner(**made), **pass_) for made, pass_ in settings]
    assert len(compiled) == 1
    for (made, pass_), trained in zip(settings, together, strict=True):
        compiled.clear()
        alone = train(log, make_learner(**made), **pass_)
        assert_same_weights(trained.scorer, alone.scorer)
        assert alpha(trained.loss) == alpha(alone.loss)
        np.testing.assert_array_equal(trained.report.losses, alone.report.losses)


@pytest.mark.slow
def test_learners_that_take_turns_do_not_mix(log, compiled):
    """Several in training at once, of two losses, a stretch each in turn."""

    def learners():
        return [make_learner(0), make_learner(1), make_learner(0, RelaxLoss(2, 2))]

    alone, turns = learners(), learners()
    for learner in alone:
        for start in (0, 100):
            train(log, learner, start=start, stop=start + 100)
    for start in (0, 100):
        for learner in turns:
            train(log, learner, start=start, stop=start + 100)
    assert len(compiled) == 2
    for first, second in zip(alone, turns, strict=True):
        assert_same_weights(first.scorer, second.scorer)
        for a, b in zip(first.variables, second.variables, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_form_is_all_but_numbers():
    def form(hidden=(8, 1), loss=None, without=(), family="mlp", seed=0):
        scorer = Scorer(FEATURES.without(without), hidden, family, seed)
        return form_of(scorer, loss or ARFLoss(2, 2))

    assert form() == form(seed=5)
    others = [
        form(hidden=(9, 1)),
        form(loss=ARFLoss(1, 2)),
        form(loss=RelaxLoss(2, 2)),
        form(without=["bid"]),
        form(family="twin_tower"),
    ]
    assert len({form(), *others}) == 1 + len(others)


@pytest.mark.slow
def test_a_shorter_batch_is_compiled_once_for_all_lengths(log, compiled):
    for stop in (60, 65):  # two batches of 25 and one of 10 or 15
        train(log, make_learner(), stop=stop)
    assert len(compiled) == 2
