"""The steps of a study's task: train, install, evaluate, test."""

import numpy as np
import pytest

from lib import metrics, simulation
from lib.experiments import study
from lib.experiments.study import tasks
from lib.infra.files import fingerprint
from lib.logs import reader
from lib.training import predict
from tests.experiments.study.small_study import BASE

pytestmark = pytest.mark.slow


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


@pytest.fixture(scope="module")
def reference(done):
    row = done[2].iloc[0]
    start, stop = BASE["train_impressions"], BASE["log_impressions"]
    digest = fingerprint(f"{row.system}/logs.parquet")
    return tasks.load_reference(row.system, digest, start, stop, (1, 2), 2)


def variant(reference, **values):
    system = reference.system
    fields = study.training_fields({"model": "x", **values}, BASE, 2, 2)
    return study.Variant(logs=str(system.logs), features=str(system.features), **fields)


def test_the_reference_is_the_base_s_and_made_once(reference):
    system = reference.system
    test = reader.read(system.logs, system.base_scorer().features, start=512)
    scores = predict(system.base_scorer(), test)
    want = metrics.per_impression(scores, test.v, test.ecpm, 2, 2, test.mask)
    np.testing.assert_array_equal(reference.values["ndcg"], want["ndcg"])
    installed = simulation.install_pre_ranking(reference.matched, system.base())
    arm = simulation.run_arm(installed, visits=2, seed=0)
    np.testing.assert_array_equal(reference.arm.revenue, arm.revenue)
    folder, digest = str(system.folder), fingerprint(system.logs)
    assert tasks.load_reference(folder, digest, 512, 662, (1, 2), 2) is reference
    assert tasks.load_reference(folder, "another log", 512, 662, (1, 2), 2) is not reference


def test_the_base_s_own_weights_change_nothing(reference):
    """Installed and evaluated as a variant, the base is the base: every difference is 0."""
    scorer, spec = reference.system.base_scorer(), variant(reference)
    installed = tasks.install(scorer, spec, reference)
    assert installed.noise == 0
    values = tasks.evaluate(scorer, spec, installed, reference.test, (1, 2))
    assert values.keys() == reference.values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(value, reference.values[name])
    lift = simulation.ab_test(reference.arm, installed.system)
    assert (lift.revenue_lift, lift.revenue_lift_se) == (0, 0)


def test_epochs_pass_over_the_impressions_again(reference):
    log = reference.system.logs
    once, twice = (tasks.train(variant(reference, epochs=n), log) for n in (1, 2))
    assert twice.samples == 2 * once.samples
    weights = (trained.scorer.get_weights()[0] for trained in (once, twice))
    assert (next(weights) != next(weights)).any()


def test_impressions_read_with_more_features_say_the_same(reference):
    spec = variant(reference, without=["user_id", "bid"])
    scorer = spec.scorer()
    own, shared = (tasks.offline(scorer, spec, (1, 2), test=x) for x in (None, reference.test))
    for name, value in own.items():
        np.testing.assert_array_equal(value, shared[name])
