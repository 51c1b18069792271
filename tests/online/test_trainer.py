import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lib.online.exports.guard import Guard
from lib.online.exports.store import ExportStore
from lib.online.trainer import Exporter, ExportPlan, train_online
from lib.training.checkpoint import Checkpoint
from tests import ROOT
from tests.training.small_training import assert_same_weights, make_learner, make_source, train

# The log has an impression every 10 seconds: 300 of them are 50 minutes, five exports.
FREE = Guard(least=8)
PLAN = ExportPlan(every_minutes=10, full_every=3, score_every=2, guard=FREE)
SOURCE = {"stop": 300, "window": 50}


def run(log, folder, plan=PLAN, every=3, stop=None, learner=None, end=True, tell=None):
    learner = learner or make_learner()
    store = ExportStore(folder / "exports")
    report = train_online(
        learner,
        make_source(log, **SOURCE),
        checkpoint=Checkpoint(folder / "checkpoint.npz", every),
        exports=store,
        plan=plan,
        export_at_end=end,
        stop=stop,
        tell=tell,
        steps_a_call=2,
    )
    return learner, store, report


@pytest.fixture(scope="module")
def whole(log, tmp_path_factory):
    """(learner, store) of a run that nothing disturbed."""
    return run(log, tmp_path_factory.mktemp("whole"))[:2]


def digests(store):
    return {v: store.manifest(v).model_digest for v in store.versions()}


def test_training_is_that_of_train(log, whole):
    assert_same_weights(whole[0].scorer, train(log, **SOURCE).scorer)


def test_an_export_every_ten_minutes(log, whole):
    learner, store = whole
    manifests = [store.manifest(v) for v in store.versions()]
    assert [m.version for m in manifests] == [1, 2, 3, 4, 5]
    assert [m.kind for m in manifests] == ["full", "changed", "changed", "full", "changed"]
    # The first batch that holds an impression of the next ten minutes is trained on afterwards.
    minutes = [np.datetime64(m.time[:-1]).astype("datetime64[m]").astype(int) for m in manifests]
    assert all(10 * i <= minute < 10 * i + 10 for i, minute in enumerate(minutes))
    assert sum(m.metrics["steps"] for m in manifests) == 12
    assert sum(m.metrics["scored_impressions"] for m in manifests) <= 300
    users, _ = learner.scorer, None
    loaded = store.load(5)
    np.testing.assert_array_equal(loaded.tables[4], users.tables[4].embeddings.numpy())


def test_metrics_are_of_what_was_not_trained_on(log, tmp_path):
    """Of the first interval: by a loop over its batches, a step each."""
    from lib.metrics.ranking import r_over_r_star
    from lib.training.loop import train as train_learner
    from lib.training.scoring import predict

    learner, ratios = make_learner(), []

    class Look:
        def starts_anew(self, batch, step):
            return True

        def before(self, batches, done):
            for batch in batches:
                scores = predict(learner.scorer, batch)
                ratios.append(r_over_r_star(scores, batch.v, batch.ecpm, 2, batch.mask))

        def after(self, *_):
            return False

        def state(self):
            return None

        def restore(self, state):
            pass

    train_learner(learner, make_source(log, **SOURCE), watch=Look(), steps_a_call=1, progress=False)
    store = ExportStore(tmp_path / "exports")
    train_online(
        make_learner(),
        make_source(log, **SOURCE),
        checkpoint=Checkpoint(tmp_path / "c.npz"),
        exports=store,
        plan=dataclasses.replace(PLAN, score_every=1),
    )
    metrics = store.manifest(1).metrics
    first = np.concatenate(ratios[: metrics["steps"]])
    first = first[np.isfinite(first)]
    assert metrics["scored_impressions"] == len(first)
    np.testing.assert_allclose(metrics["r_over_r_star"], first.mean(), rtol=1e-12)
    se = first.std(ddof=1) / np.sqrt(len(first))
    np.testing.assert_allclose(metrics["r_over_r_star_se"], se, rtol=1e-9)


@pytest.mark.parametrize("calls", range(1, 8))
def test_stopped_and_gone_on(log, whole, tmp_path, calls):
    """Told to stop after so many calls, again and again: the same weights, the same exports."""
    for _ in range(20):
        asked = []

        def stop(asked=asked):
            asked.append(1)
            return len(asked) >= calls

        learner, store, report = run(log, tmp_path, stop=stop)
        if len(asked) < calls:
            break
    assert report.impressions == 300
    assert_same_weights(learner.scorer, whole[0].scorer)
    assert digests(store) == digests(whole[1])
    assert [store.manifest(v) for v in store.versions()] == [
        whole[1].manifest(v) for v in whole[1].versions()
    ]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("call", [1, 3, 5, 6])
def test_killed_before_its_checkpoint(log, whole, tmp_path, call):
    """What was done since the last checkpoint is done again, and exported as the same version."""

    def tell(_, count=[0]):  # noqa: B006
        count[0] += 1
        if count[0] == call:
            raise Killed

    with pytest.raises(Killed):
        run(log, tmp_path, tell=tell, every=100)
    learner, store, _ = run(log, tmp_path, every=100)
    assert_same_weights(learner.scorer, whole[0].scorer)
    assert digests(store) == digests(whole[1])


def test_a_checkpoint_is_written_at_every_export(log, tmp_path):
    seen = []

    def tell(values):
        seen.append(values["version"])
        if values["version"] == 2:
            raise Killed

    with pytest.raises(Killed):
        run(log, tmp_path, tell=tell, every=10_000)
    again = []
    run(log, tmp_path, tell=lambda values: again.append(values["impressions"]), every=10_000)
    assert again[0] > 100


@pytest.mark.slow
def test_kill_9(log, whole, tmp_path):
    """A real process, killed twice in its way."""
    code = (
        "import sys, time; from pathlib import Path; from lib.infra.settings import configure\n"
        "configure()\n"
        "from tests.online.test_trainer import run\n"
        "run(sys.argv[1], Path(sys.argv[2]), every=1, tell=lambda _: time.sleep(0.15))\n"
    )
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code, log, tmp_path], cwd=ROOT)
        deadline, modified = time.monotonic() + 120, None
        file = tmp_path / "checkpoint.npz"
        before = file.stat().st_mtime_ns if file.exists() else None
        while time.monotonic() < deadline and process.poll() is None:
            modified = file.stat().st_mtime_ns if file.exists() else None
            if modified != before:
                time.sleep(0.2)
                break
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL and modified != before
    learner, store, report = run(log, tmp_path, every=1)
    assert report.impressions == 300
    assert_same_weights(learner.scorer, whole[0].scorer)
    assert digests(store) == digests(whole[1])


def test_a_jump_is_not_published(log, tmp_path):
    strict = dataclasses.replace(PLAN, guard=Guard(least=1, most_errors=0, least_jump=0))
    told = []
    _, store, _ = run(log, tmp_path, plan=strict, tell=told.append)
    refused = [one["version"] for one in store.refused()]
    assert refused and sorted([*refused, *store.versions()]) == [1, 2, 3, 4, 5]
    assert told[-1]["refused"] >= len(refused) - 1
    # What a refused version held is in the next one that is published.
    for version in store.versions():
        store.load(version)


def test_a_full_disk_is_no_end(log, whole, tmp_path, monkeypatch):
    publish, calls = ExportStore.publish, []

    def full(self, version, *arguments, **options):
        calls.append(version)
        if version == 2:
            raise OSError(28, "No space left on device")
        return publish(self, version, *arguments, **options)

    monkeypatch.setattr(ExportStore, "publish", full)
    learner, store, _ = run(log, tmp_path)
    assert calls == [1, 2, 3, 4, 5] and store.versions() == [1, 3, 4, 5]
    assert_same_weights(learner.scorer, whole[0].scorer)
    assert digests(store) == {v: d for v, d in digests(whole[1]).items() if v != 2}


def test_wall_time_exports(log, tmp_path, monkeypatch):
    plan = dataclasses.replace(PLAN, clock="wall", every_minutes=1)
    now = iter(range(0, 100_000, 10))
    monkeypatch.setattr("lib.online.trainer.time.time", lambda: next(now))
    _, store, _ = run(log, tmp_path, plan=plan)
    assert len(store.versions()) >= 3


def test_the_state_is_small_and_plain(log):
    import json

    exporter = Exporter(make_learner(), None, PLAN)
    exporter.changed[4][[1, 5]] = True
    state = json.loads(json.dumps(exporter.state()))
    again = Exporter(make_learner(), None, PLAN)
    again.restore(state)
    np.testing.assert_array_equal(np.flatnonzero(again.changed[4]), [1, 5])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"clock": "moon"}, "event or wall"), ({"every_minutes": 0}, "every_minutes must be > 0")],
)
def test_bad_plans(changes, message):
    with pytest.raises(ValueError, match=message):
        ExportPlan(**changes)
