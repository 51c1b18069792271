import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.serving.brute_force_retrieval import scan_costs, top_k


def by_sorting(users, ads, k):
    """Every score sorted, highest first, equal ones by index."""
    scores = users @ ads.T
    order = np.stack([np.lexsort((np.arange(len(ads)), -row)) for row in scores])[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


def test_by_hand():
    """Scores 2, 5, 2, 2: equal ones in order of their index."""
    found = top_k(np.array([[1.0]]), np.array([[2.0], [5.0], [2.0], [2.0]]), k=3)
    assert found.ads.tolist() == [[1, 0, 2]]
    assert found.scores.tolist() == [[5, 2, 2]]


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_equals_a_full_sort_with_ties(data):
    """Small whole numbers: products are exact, and many are equal."""
    ads, users = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 3))
    seed, high = data.draw(st.integers(0, 99)), data.draw(st.integers(1, 4))
    k = data.draw(st.integers(1, ads))
    rng = np.random.default_rng(seed)
    corpus, asking = (rng.integers(-high, high, (n, 3)).astype("f") for n in (ads, users))
    found = top_k(
        asking, corpus, k, block=data.draw(st.integers(1, 70)), threads=data.draw(st.integers(1, 3))
    )
    places, scores = by_sorting(asking, corpus, k)
    np.testing.assert_array_equal(found.ads, places)
    np.testing.assert_array_equal(found.scores, scores)


def test_all_scores_equal():
    found = top_k(np.ones((1, 2), "f"), np.ones((1000, 2), "f"), k=10, block=7, threads=2)
    assert found.ads[0].tolist() == list(range(10))


@pytest.mark.parametrize("order", [1, -1])
def test_scores_that_rise_or_fall_all_along(order):
    """The most and the least that a block can pass on."""
    corpus = np.arange(5000, dtype="f")[::order, None]
    found = top_k(np.ones((1, 1), "f"), corpus, k=20, block=64)
    assert found.scores[0].tolist() == list(range(4999, 4979, -1))


def test_a_memory_map(tmp_path):
    corpus = np.random.default_rng(0).integers(-9, 9, (3000, 8)).astype("f")
    corpus.tofile(tmp_path / "ads.bin")
    mapped = np.memmap(tmp_path / "ads.bin", "f", "r", shape=corpus.shape)
    users = corpus[:2]
    np.testing.assert_array_equal(
        top_k(users, mapped, 50, block=512, threads=2).ads, by_sorting(users, corpus, 50)[0]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, r"k must lie in 1\.\.5, the number of ads; got 0"),
        ({"k": 6}, r"k must lie in 1\.\.5, the number of ads; got 6"),
        ({"users": np.ones(2)}, r"users must be \[users, width\]"),
        ({"users": np.ones((1, 3))}, r"got \(1, 3\) and \(5, 2\)"),
        ({"ads": np.array([[1.0, 1.0]] * 4 + [[np.nan, 1.0]])}, "the score of ad 4 is NaN"),
        ({"block": 0}, "block must be >= 1; got 0"),
        ({"threads": 0}, "threads must be >= 1; got 0"),
    ],
)
def test_refuses(change, message):
    case = {"users": np.ones((1, 2)), "ads": np.ones((5, 2)), "k": 2, "block": 2} | change
    with pytest.raises(ValueError, match=message):
        top_k(**case)


def test_costs_of_a_scan():
    table = scan_costs([2000, 500], width=8, k=10, users=2, threads=1, repeats=2)
    assert table["ads"].tolist() == [2000, 500]
    assert (table["ms_low"] <= table["ms"]).all()
    assert (table["ms"] <= table["ms_high"]).all()
    np.testing.assert_allclose(
        table["gigabytes_per_second"], table["ads"] * 8 * 4 / table["ms"] * 1000 / 1e9
    )
    np.testing.assert_allclose(
        table["gigaflops_per_second"], 2 * table["ads"] * 8 * 2 / table["ms"] * 1000 / 1e9
    )
    assert (table["share_of_bandwidth"] > 0).all()
