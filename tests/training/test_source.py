"""A stretch of a log as a source: the same batches from any offset on."""

import json

import numpy as np
import pytest

from lib.logs import reader
from tests.small_log import FEATURES
from tests.training.small_training import make_source


@pytest.mark.parametrize(
    "stretch",
    [
        {"stop": 259},  # a shorter last window and last batch
        {"start": 100, "stop": 400},
        {"stop": 90, "window": 0},
        {"start": 25, "stop": 90, "window": 0},
        {"stop": 10},  # less than a batch
    ],
)
def test_batches_from_any_offset_are_the_rest_of_those_from_the_first(log, stretch):
    source = make_source(log, seed=3, **stretch)
    every = list(source.batches())
    assert len(every) == source.steps
    assert {len(batch) for batch, _ in every[:-1]} <= {source.full_batch}
    assert {batch.mask.shape[1] for batch, _ in every} == {source.ads}
    ids = np.concatenate([batch.impression_id for batch, _ in every])
    start = stretch.get("start", 0)
    want = reader.read(log, FEATURES, start=start, stop=stretch["stop"]).impression_id
    assert sorted(ids) == want.tolist()
    for steps, (_, offset) in enumerate(every, 1):
        rest = list(source.batches(json.loads(json.dumps(offset))))
        assert [end for _, end in rest] == [end for _, end in every[steps:]]
        for (batch, _), (expected, _) in zip(rest, every[steps:], strict=True):
            np.testing.assert_array_equal(batch.impression_id, expected.impression_id)
            np.testing.assert_array_equal(batch.v, expected.v)


def test_the_description_is_all_that_decides_the_batches(log):
    descriptions = [
        make_source(log, **change).description()
        for change in ({}, {"stop": 400}, {"seed": 1}, {"window": 50}, {"ads": 9}, {"start": 100})
    ]
    texts = [json.dumps(description) for description in descriptions]
    assert len(set(texts)) == len(texts)
    assert make_source(log).description() == descriptions[0]


@pytest.mark.parametrize(
    "changes", [{"stop": 701}, {"stop": 0}, {"start": 200, "stop": 200}, {"start": -100}]
)
def test_a_stretch_outside_the_log_is_refused(log, changes):
    with pytest.raises(ValueError, match=r"0 <= start < stop <= 700, the impressions of .*log"):
        make_source(log, **changes)
