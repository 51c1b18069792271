"""One pass over a source: the same numbers twice, everything counted once."""

import numpy as np
import pytest

from lib.logs import reader
from lib.training import Checkpoint, loop
from tests.small_log import FEATURES
from tests.training.small_training import (
    BATCH,
    STOP,
    assert_same_weights,
    interrupt,
    make_learner,
    make_source,
    train,
)


def test_the_report_counts_everything_once(trained, log):
    report = trained.report
    first = reader.read(log, FEATURES, stop=STOP)
    assert (report.impressions, report.samples) == (STOP, first.mask.sum())
    assert len(report.losses) == STOP / BATCH
    assert report.timed_impressions == STOP - BATCH  # the first step compiles
    assert report.impressions_per_second == pytest.approx((STOP - BATCH) / report.seconds)
    assert 0 < report.share_of_peak < 1


def test_the_same_run_gives_the_same_weights(trained, log):
    again = train(log)
    assert_same_weights(again.scorer, trained.scorer)
    assert again.loss.alpha.numpy() == trained.loss.alpha.numpy()
    np.testing.assert_array_equal(again.report.losses, trained.report.losses)


def test_calls_end_where_something_is_due():
    """Each list is a call; a batch of 3 is shorter than the others."""
    batches = [range(10 * i, 10 * i + 5) for i in range(13)] + [range(3)]
    source = [(batch, f"behind {i}") for i, batch in enumerate(batches)]

    def calls(first, every=None):
        return [
            (len(group), offset) for group, offset in loop._calls(source[first:], first, 4, every)
        ]

    assert calls(0) == [
        (1, "behind 0"),
        (4, "behind 4"),
        (4, "behind 8"),
        (4, "behind 12"),
        (1, "behind 13"),
    ]
    assert calls(6, 5) == [(1, "behind 6"), (3, "behind 9"), (3, "behind 12"), (1, "behind 13")]
    assert calls(13, 5) == [(1, "behind 13")]
    assert calls(14, 5) == []
    (group, _), *_ = loop._calls(source[6:], 6, 4, 5)
    assert group == [batches[6]]


def test_a_shorter_batch_may_stand_anywhere():
    batches = [range(size) for size in (5, 5, 5, 2, 5, 5)]
    calls = loop._calls([(batch, None) for batch in batches], 0, 4)
    assert [[len(batch) for batch in group] for group, _ in calls] == [[5], [5, 5], [2], [5, 5]]


def test_a_call_waits_for_no_batch_that_it_does_not_take():
    """A stream's last impressions are trained on when they have come, not with the next ones."""
    read = []
    batches = ((read.append(number) or range(5), number) for number in range(9))
    for (group, offset), behind in zip(loop._calls(batches, 0, 2), (0, 2, 4, 6, 8), strict=True):
        assert offset == behind == read[-1] and len(group) <= 2


def test_padding_changes_nothing_but_rounding(log):
    short = {"stop": 100, "window": 0}
    plain, padded = train(log, **short), train(log, ads=12, **short)
    np.testing.assert_allclose(plain.report.losses, padded.report.losses, rtol=1e-4)
    weights = (trained.scorer.get_weights() for trained in (plain, padded))
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def test_the_seed_of_shuffle_and_noise_changes_the_losses(trained, log):
    report = train(log, seed=1, stop=100, noise=0.5).report
    assert (report.losses != trained.report.losses[:4]).all()


def test_a_diverging_run_is_refused(log):
    with pytest.raises(ValueError, match=r"the loss of step \d+ is (nan|inf); lower learning_rate"):
        train(log, make_learner(learning_rate=1e25))


class Stream:
    """A source with offsets of its own and no known end, as of a topic with two partitions."""

    steps, full_batch = None, BATCH

    def __init__(self, log):
        self.source = make_source(log, stop=200, window=0)
        self.ads = self.source.ads

    def description(self):
        return {"topic": "impressions"}

    def batches(self, offset=None):
        read = sum(offset.values()) if offset else 0
        for number, (batch, _) in enumerate(self.source.batches()):
            if number >= read:
                yield batch, {"partition 0": (number + 2) // 2, "partition 1": (number + 1) // 2}


def test_any_source_resumes_from_its_own_offsets(log, tmp_path, monkeypatch):
    whole = make_learner()
    loop.train(whole, Stream(log), steps_a_call=1, progress=False)
    checkpoint = Checkpoint(tmp_path / "stream.npz", every=3)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 5)
        loop.train(make_learner(), Stream(log), checkpoint=checkpoint, progress=False)
    resumed, made = make_learner(), interrupt(monkeypatch, None)
    report = loop.train(resumed, Stream(log), checkpoint=checkpoint, progress=False)
    assert len(made) == 8 - 3 and len(report.losses) == 8 and report.impressions == 200
    assert_same_weights(resumed.scorer, whole.scorer)
