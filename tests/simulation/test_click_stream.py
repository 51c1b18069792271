"""The click stream: its laws, its probabilities, any block by itself, auctions, refusals."""

import hashlib

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kstest

from lib.simulation.click_stream import (
    BLOCK,
    ClickStream,
    ClickStreamParameters,
    _mixed,
    _scramble,
    auction_revenue,
)

SMALL = {"profiles": 2000, "values": 100_000, "true_width": 8}


@pytest.fixture(scope="module")
def stream():
    return ClickStream(ClickStreamParameters(**SMALL))


@pytest.fixture(scope="module")
def drifting():
    return ClickStream(ClickStreamParameters(**SMALL, drift_rows=50_000, seed=1))


def words(stream, name, n=2**18):
    return stream._words((len(stream.fields), n), name)


def test_any_part_of_the_stream_is_the_same(stream):
    whole = stream.rows(0, 2 * BLOCK + 10)
    again = ClickStream(stream.parameters)
    for start, stop in ((0, 3), (BLOCK - 5, BLOCK + 5), (2 * BLOCK, 2 * BLOCK + 10), (7, 7)):
        for expected, found in zip(whole, again.rows(start, stop)):
            np.testing.assert_array_equal(expected[start:stop], found)
    blocks = list(stream.blocks(5, BLOCK + 5))
    assert [len(block.labels) for block in blocks] == [BLOCK - 5, 5]
    np.testing.assert_array_equal(np.concatenate([b.ids for b in blocks]), whole.ids[5 : BLOCK + 5])
    other = ClickStream(ClickStreamParameters(**SMALL, seed=1)).rows(0, 1000)
    assert np.mean(other.ids[:, 0] == whole.ids[:1000, 0]) < 0.3


@pytest.mark.parametrize(
    ("drift_rows", "digest"), [(0, "7f8f2b0d58858eae"), (1000, "938bcea495b423d5")]
)
def test_the_stream_has_these_bits_everywhere(drift_rows, digest):
    rows = ClickStream(ClickStreamParameters(**SMALL, drift_rows=drift_rows)).rows(99_000, 100_000)
    assert hashlib.sha256(b"".join(part.tobytes() for part in rows)).hexdigest()[:16] == digest


@pytest.mark.parametrize(("exponent", "values"), [(0.3, 1000), (0.5, 2**30), (1.0, 100_000)])
def test_popularity_has_the_tail_that_was_asked_for(exponent, values):
    parameters = ClickStreamParameters(
        **{**SMALL, "values": values}, popularity_exponent=exponent, seed=2
    )
    stream = ClickStream(parameters)
    ranks = stream._ranks(words(stream, "test"))
    assert ranks.min() == 0 and ranks.max() < values
    n = ranks[0].size
    for known in (1, 3, 10, 100, 900):
        for own in ranks[:3]:
            share = stream.tail(known)
            assert abs(np.mean(own >= known) - share) < 4.5 * np.sqrt(share * (1 - share) / n)
    cut = (values + 1) ** -exponent
    assert stream.tail(7) == pytest.approx((8**-exponent - cut) / (1 - cut), rel=1e-14)
    assert stream.tail([0, values]).tolist() == [1, 0]


def test_ids_are_the_ranks_scrambled(stream):
    keys = stream._scrambling[0]
    for values in (2, 3, 1000, 1024, 1025):
        ids = _scramble(np.arange(values), values, keys)
        assert sorted(ids.tolist()) == list(range(values))
    assert sorted(_mixed(np.arange(1024), 1024, keys).tolist()) == list(range(1024))
    # As a random map would: the frequent ids fall into the rows of a table evenly, and about
    # 1/e of the rows stay empty where there are as many ids as rows.
    for own in stream._scrambling:
        rows = _scramble(np.arange(2**14), 2**30, own) % 2**14
        empty = 1 - len(np.unique(rows)) / 2**14
        assert abs(empty - np.exp(-1)) < 0.02
    assert stream._scrambling[0] != stream._scrambling[1]


def slow_parts(stream, ranks, dense, times):
    """Effects, interactions and dense part of one row in plain loops and float64."""
    p, vectors, effects = stream.parameters, [], 0.0
    for field, rank in enumerate(ranks):
        profile = rank % p.profiles
        phases = [(float(e[profile]), v[profile].astype(float)) for e, v in stream._profiles[field]]
        effect, vector = phases[0]
        if p.drift_rows:
            angle = 2 * np.pi * stream._turns[field][profile] * times
            effect = effect * np.cos(angle) + phases[1][0] * np.sin(angle)
            vector = vector * np.cos(angle) + phases[1][1] * np.sin(angle)
        effects += effect
        vectors.append(vector)
    interactions = sum(vectors[i] @ vectors[j] for i in range(len(vectors)) for j in range(i))
    waves = np.cos(2 * np.pi * (dense @ stream._frequencies + stream._offsets))
    return effects, interactions, waves @ stream._amplitudes[:, 0]


@pytest.mark.parametrize("which", ["stream", "drifting"])
def test_probabilities_equal_a_loop_over_pairs(which, request):
    stream = request.getfixturevalue(which)
    start = BLOCK  # far from time 0
    rows = stream.rows(start, start + 200)
    ranks = stream._ranks(stream._words((8, BLOCK), "ids of rows", 1))[:, :200]
    scale = stream.scales
    for row in range(200):
        effects, interactions, waves = slow_parts(
            stream, ranks[:, row], rows.dense[row].astype(float), start + row
        )
        logit = (
            scale["bias"]
            + scale["effects"] * effects
            + scale["interactions"] * interactions
            + scale["dense"] * waves
        )
        assert expit(logit) == pytest.approx(float(rows.probability[row]), abs=2e-4)


def test_probabilities_are_those_of_the_labels(stream):
    rows = stream.rows(0, 2**18)
    p = rows.probability.astype(float)
    assert np.all(p * 2**20 == np.rint(p * 2**20)) and p.min() > 0 and p.max() < 1
    for group in np.array_split(np.argsort(p), 20):
        error = np.sqrt(np.sum(p[group] * (1 - p[group]))) / len(group)
        assert abs(rows.labels[group].mean() - p[group].mean()) < 4.5 * error


def test_the_pilot_has_the_scales_that_were_asked_for():
    for seed in (0, 1):
        stream = ClickStream(ClickStreamParameters(**SMALL, seed=seed, popularity_exponent=1.0))
        n = 2**17
        ranks = stream._ranks(words(stream, "other", n))
        dense = stream._normals("other dense", 4 * n).reshape(n, 4)
        scales = [stream.scales[part] for part in ("effects", "interactions", "dense")]
        parts = np.array(scales)[:, None] * np.stack(stream._parts(ranks, dense, np.zeros(n)))
        np.testing.assert_allclose(
            parts.var(axis=1) / 1.5**2, [0.5, 0.3, 0.2], rtol=0.06, atol=0.005
        )
        assert expit(parts.sum(axis=0) + stream.scales["bias"]).mean() == pytest.approx(
            0.1, abs=2e-3
        )


def test_the_spectrum_is_that_of_dot_products():
    stream = ClickStream(ClickStreamParameters(**SMALL, spectrum_exponent=1.5))
    ranks = stream._ranks(words(stream, "other", 2**16))
    factors = stream._factors(ranks, np.zeros(2**16))[1].astype(float)
    left = np.array([factors[:, width:].sum(axis=1).var() for width in range(8)])
    np.testing.assert_allclose(left / left[0], stream.factors_left(np.arange(8)), rtol=0.15)
    each = factors.var(axis=0)
    share = -np.diff(stream.factors_left(np.arange(9)))
    np.testing.assert_allclose(each / each.sum(), share, rtol=0.1)
    cut = 9**-1.5
    assert stream.factors_left(2) == pytest.approx((3**-1.5 - cut) / (1 - cut))


def test_drift_forgets_exponentially():
    stream = ClickStream(
        ClickStreamParameters(**SMALL, drift_rows=50_000, fields=60, dense=0, dense_share=0)
    )

    def effects(time):
        both = []
        for field in range(60):
            (a, _), (b, _) = stream._profiles[field]
            angle = 2 * np.pi * stream._turns[field] * time
            both.append(a * np.cos(angle) + b * np.sin(angle))
        return np.concatenate(both)

    for start, distance in ((0, 10_000), (7_000_000, 50_000), (3, 150_000), (0, 10**7)):
        correlation = np.mean(effects(start) * effects(start + distance))
        assert abs(correlation - np.exp(-distance / 50_000)) < 4.5 / np.sqrt(60 * 2000)


def test_noise_moves_probabilities_towards_the_base_rate(stream):
    noisy = ClickStream(ClickStreamParameters(**SMALL, noise=0.25)).rows(0, 1000)
    clean = stream.rows(0, 1000)
    np.testing.assert_array_equal(noisy.ids, clean.ids)
    np.testing.assert_allclose(noisy.probability, 0.75 * clean.probability + 0.25 * 0.1, atol=2e-6)
    coins = ClickStream(ClickStreamParameters(**SMALL, noise=1.0)).rows(0, 1000)
    np.testing.assert_allclose(coins.probability, 0.1, atol=1e-6)


def test_bayes_log_loss_is_the_mean_entropy(stream):
    p = stream.rows(0, 1000).probability.astype(float)
    entropies = -p * np.log(p) - (1 - p) * np.log(1 - p)
    mean, error = stream.bayes_log_loss(0, 1000)
    assert mean == pytest.approx(entropies.mean(), rel=1e-12)
    assert error == pytest.approx(entropies.std(ddof=1) / np.sqrt(1000), rel=1e-12)
    assert stream.base_entropy() == pytest.approx(-0.1 * np.log(0.1) - 0.9 * np.log(0.9))
    full = ClickStream(ClickStreamParameters())
    assert 0.7 < full.bayes_log_loss().mean / full.base_entropy() < 0.8


def test_candidates_share_the_user_and_the_dense_features(stream):
    auctions = stream.auctions(50, 4, at=1000)
    ids = auctions.impressions.ids.reshape(50, 4, 8)
    dense = auctions.impressions.dense.reshape(50, 4, 4)
    assert np.all(ids[:, :, :4] == ids[:, :1, :4]) and np.all(dense == dense[:, :1])
    assert np.any(ids[:, :, 4:] != ids[:, :1, 4:], axis=(1, 2)).all()
    assert auctions.bids.shape == (50, 4)
    again = stream.auctions(50, 4, at=1000)
    np.testing.assert_array_equal(again.bids, auctions.bids)
    other = stream.auctions(50, 4, at=1000, seed=1)
    assert np.mean(other.bids == auctions.bids) < 0.1
    bids = stream.auctions(5000, 4, at=0).bids
    assert kstest(np.log(bids.ravel()), "norm").pvalue > 0.01


def test_drift_turns_the_effects_of_the_same_ids(drifting):
    ranks = drifting._ranks(words(drifting, "same", 100))
    dense = np.zeros((100, 4), np.float32)
    early, late, again = (
        drifting._parts(ranks, dense, np.full(100, time))[0] for time in (0.0, 100_000.0, 0.0)
    )
    assert np.abs(early - late).max() > 0.5
    np.testing.assert_array_equal(early, again)


def test_auctions_pay_the_winner_s_bid_and_true_probability(stream):
    auctions = stream.auctions(2, 3, at=0)
    auctions = auctions._replace(
        bids=np.array([[1, 2, 4], [3, 1, 1]], np.float32),
        impressions=auctions.impressions._replace(
            probability=np.array([0.5, 0.3, 0.1, 0.1, 0.5, 0.2], np.float32)
        ),
    )
    truth = auction_revenue(auctions.impressions.probability, auctions)
    np.testing.assert_allclose(truth, [0.6, 0.5], rtol=1e-6)
    models = [[0.1, 0.1, 0.1, 0.3, 0.9, 0.1], [0.1, 0.05, 0, 0, 0, 0]]
    np.testing.assert_allclose(
        auction_revenue(models, auctions), [[0.4, 0.5], [0.5, 0.3]], rtol=1e-6
    )


def test_the_truth_earns_most(stream):
    auctions = stream.auctions(2000, 10, at=0)
    p = auctions.impressions.probability
    best = auction_revenue(p, auctions)
    blind = auction_revenue(np.full_like(p, 0.1), auctions)
    assert np.all(best >= blind) and best.mean() > 1.1 * blind.mean()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"popularity_exponent": 0}, "popularity_exponent"),
        ({"values": 2**31}, "values"),
        ({"noise": 1.5}, "noise"),
        ({"interaction_share": 0.9}, "interaction_share . dense_share must be at most 1"),
        ({"dense": 0}, "dense_share must be 0"),
        ({"drift": 3}, "drift"),
    ],
)
def test_bad_parameters_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ClickStreamParameters(**changes)


def test_bad_requests_are_refused(stream):
    with pytest.raises(ValueError, match="0 <= start <= stop; got 3, 2"):
        stream.rows(3, 2)
    with pytest.raises(ValueError, match="candidates must be at least 1; got 0"):
        stream.auctions(2, 0, at=0)
    with pytest.raises(ValueError, match="at must be at least 0; got -1"):
        stream.auctions(2, 2, at=-1)
    with pytest.raises(ValueError, match="2 x 3 candidates"):
        auction_revenue(np.zeros(5), stream.auctions(2, 3, at=0))
    with pytest.raises(ValueError, match="at least 2 rows"):
        stream.bayes_log_loss(0, 1)
