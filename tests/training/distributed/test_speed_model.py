"""The speed model: by hand, what it was made from, and where it cannot speak."""

import numpy as np
import pytest

from lib.models.scorer import Scorer
from lib.training.distributed.speed_model import (
    WAYS,
    Link,
    SpeedModel,
    Traffic,
    communication,
    loopback,
)
from tests.small_log import FEATURES

TRAFFIC, LINK = Traffic(dense_bytes=4_000, row_bytes=1_000, messages=10), Link(1e-4, 1e6)


def test_communication_by_hand():
    assert communication("synchronous", TRAFFIC, LINK, 1) == 0
    ring = 2 * 3 * 10 * 1e-4 + 3 / 4 * (2 * 0.004 + 0.001)
    assert communication("synchronous", TRAFFIC, LINK, 4) == pytest.approx(ring)
    one = 10 * 1e-4 / 4 + 2 * (0.004 + 0.001 / 2)
    assert communication("asynchronous", TRAFFIC, LINK, 4, servers=2) == pytest.approx(one)
    rounds = 10 * 1e-4 + 2 * (4 * 0.004 + 0.001)
    assert communication("hybrid", TRAFFIC, LINK, 4) == pytest.approx(rounds)


@pytest.mark.parametrize("way", WAYS)
def test_it_finds_what_it_was_made_from(way):
    made = SpeedModel(way, TRAFFIC, LINK, 0.03, 0.01, (1, 2))
    found = SpeedModel.fit(way, TRAFFIC, LINK, {n: float(made.seconds(n)) for n in (1, 2)})
    assert (found.shared, found.alone) == pytest.approx((0.03, 0.01))
    assert found.measured == (1, 2) and found.speedup(1) == 1
    workers = np.array([1, 2, 8, 64])
    np.testing.assert_allclose(found.seconds(workers), made.seconds(workers))


def test_a_server_s_link_bounds_the_asynchronous_speed():
    model = SpeedModel("asynchronous", TRAFFIC, LINK, 0.03, 0.0, (1, 2))
    assert model.seconds(10**6) == pytest.approx(2 * 0.005, rel=1e-3)


def test_traffic_counts_each_row_once(batch):
    scorer = Scorer(FEATURES, [8, 4, 1])
    traffic = Traffic.of(scorer, batch, 3)
    tables = {id(t.embeddings) for t in scorer.tables.values()}
    dense = sum(v.numpy().size for v in scorer.trainable_variables if id(v) not in tables)
    rows = {
        (f.width, int(i) + scorer.first_row[f.name])
        for side in ("user", "ad")
        for f in FEATURES.side(side)
        if f.buckets
        for i in np.ravel(getattr(batch, side)[f.name])
    }
    assert traffic == Traffic(4 * dense, sum(4 * (width + 1) for width, _ in rows), 3)


def test_the_loopback_has_a_speed():
    link = loopback(repeats=20, megabytes=8)
    assert 0 < link.latency < 0.1 and 1e6 < link.bandwidth < 1e12


def test_what_is_refused():
    with pytest.raises(ValueError, match="way must be one of"):
        SpeedModel.fit("by pigeon", TRAFFIC, LINK, {1: 1.0, 2: 0.6})
    with pytest.raises(ValueError, match=r"needs two numbers of workers; got \[1\]"):
        SpeedModel.fit("hybrid", TRAFFIC, LINK, {1: 1.0})
