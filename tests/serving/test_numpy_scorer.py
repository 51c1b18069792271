"""Deployed models score every user-ad pair as the trained one does."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from lib import training
from lib.logs import reader
from lib.models.scorer import Scorer
from lib.serving import numpy_scorer
from lib.serving.numpy_scorer import MLPScorer, TwinTowerScorer, compile_scorer
from tests.small_log import FEATURES


@pytest.fixture(scope="module")
def pairs(log):
    """The log's impressions, and its users and ads as raw arrays: every row an ad."""
    rows = pq.read_table(log).to_pandas()
    first = rows.groupby("impression_id", sort=False).first()
    users = {
        "user_id": first.user_id.to_numpy(),
        "user_vector": np.stack(first.user_vector),
        "recent": np.array([[*ids, *[-1] * (4 - len(ids))] for ids in first.recent]),
    }
    ads = {
        "ad_id": rows.ad_id.to_numpy(),
        "brand": rows.brand.to_numpy(str),
        "bid": rows.bid.to_numpy(),
    }
    batch = reader.read(log, FEATURES)
    index = np.zeros(batch.mask.shape, int)
    index[batch.mask] = np.arange(len(rows))
    return batch, users, ads, index


def as_if_trained(family, hidden, slopes):
    """A scorer with batch-norm statistics, biases and PReLU slopes of all sizes."""
    scorer, rng = Scorer(FEATURES, hidden, family, seed=1), np.random.default_rng(0)
    for variable in scorer.weights:
        name = variable.path.rsplit("/", 1)[-1]
        low, high = {"alpha": slopes, "moving_variance": (0.5, 2)}.get(name, (-0.5, 0.5))
        if name not in ("kernel", "embeddings"):
            variable.assign(rng.uniform(low, high, variable.shape))
    return scorer


@pytest.mark.parametrize("slopes", [(-0.3, 0.9), (-0.5, 3.0)], ids=["below 1", "above 1"])
@pytest.mark.parametrize("hidden", [(16, 8, 4, 1), (8, 1)])
def test_pre_ranking_scores_as_the_scorer(pairs, hidden, slopes):
    batch, users, ads, index = pairs
    scorer = as_if_trained("mlp", hidden, slopes)
    deployed = compile_scorer(scorer, users, ads)
    assert isinstance(deployed, MLPScorer)
    want, got = training.predict(scorer, batch), deployed(np.arange(300), index)
    assert got.shape == want.shape and got.dtype == np.float32
    np.testing.assert_allclose(got[batch.mask], want[batch.mask], rtol=1e-3, atol=1e-4)
    assert np.std(want[batch.mask]) > 0.05  # not all the same


def test_matching_scores_as_the_scorer(pairs):
    batch, users, ads, index = pairs
    scorer = as_if_trained("twin_tower", (16, 8, 4), (-0.5, 3.0))
    deployed = compile_scorer(scorer, users, ads)
    assert isinstance(deployed, TwinTowerScorer)
    want, got = training.predict(scorer, batch), deployed(np.arange(300))
    assert got.shape == (300, len(ads["bid"]))
    got = np.take_along_axis(got, index, axis=1)
    np.testing.assert_allclose(got[batch.mask], want[batch.mask], rtol=1e-3, atol=1e-4)
    assert np.std(want[batch.mask]) > 0.05


def test_any_user_meets_any_ad_in_blocks_of_any_size(pairs, monkeypatch):
    _, users, ads, _ = pairs
    deployed = compile_scorer(as_if_trained("mlp", (8, 4, 1), (0, 0.5)), users, ads)
    rng = np.random.default_rng(0)
    some, candidates = rng.integers(0, 300, 40), rng.integers(0, 1500, (40, 9))
    want = deployed(some, candidates)
    monkeypatch.setattr(numpy_scorer, "_BLOCK", 8 * 9 * 7)  # seven users at a time
    np.testing.assert_allclose(deployed(some, candidates), want, rtol=1e-5, atol=1e-6)
    one = [deployed([user], [[ad]])[0, 0] for user, ad in zip(some[:5], candidates[:5, 3])]
    np.testing.assert_allclose(one, want[:5, 3], rtol=1e-5, atol=1e-6)
