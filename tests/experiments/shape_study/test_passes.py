"""A tiny size trained from two seeds over the small log."""

import numpy as np
import pytest

from lib.experiments.shape_study import passes
from lib.experiments.train_and_evaluate import TrainingSpec, train_and_evaluate
from lib.logs.features import save_features
from tests.small_log import FEATURES


@pytest.fixture(scope="module")
def given(log, tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "features.yaml"
    save_features(path, FEATURES)
    return {
        "logs": str(log),
        "features": str(path),
        "hidden": (8, 1),
        "test_start": 220,
        "test_impressions": 70,
        "learning_rate": 0.1,
        "batch_impressions": 50,
        "window": 100,
    }


def spec(given, **changes):
    values = {"model": "a", "seeds": (0, 1), "marks": (100, 200), "train_impressions": 200}
    return passes.PassSpec(**given | values | changes)


@pytest.mark.slow
def test_a_mark_is_the_training_on_so_many_impressions(given, tmp_path):
    """To the last bit: what a pass has seen at a mark is all that decides the model there."""
    found = passes.run([spec(given)], tmp_path / "passes", n_jobs=1)
    assert found.table.seed.tolist() == [0, 0, 1, 1]
    assert found.table.impressions.tolist() == [100, 200, 100, 200]
    assert found.values["a"].shape == (2, 2, 70) and not found.revenue
    for row in found.table.itertuples():
        alone = TrainingSpec(
            model="alone", **given, seed=row.seed, train_impressions=row.impressions
        )
        result = train_and_evaluate(alone.task(), tmp_path / f"{row.seed}-{row.impressions}")
        assert result["r_over_r_star"] == row.r_over_r_star
        assert (result["samples"], result["flops"]) == (row.samples, row.flops)
        of_row = found.values["a"][row.seed, [100, 200].index(row.impressions)]
        assert np.nanmean(of_row) == pytest.approx(row.r_over_r_star, rel=1e-6)


@pytest.mark.slow
def test_studies_share_a_size(given, tmp_path):
    names = [passes.run([spec(given, model=name)], tmp_path, n_jobs=1) for name in ("a", "b")]
    assert len(list(tmp_path.glob("*.json"))) == 1
    np.testing.assert_array_equal(names[0].values["a"], names[1].values["b"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"marks": (100,)}, r"marks must rise up to train_impressions = 200; got \[100\]"),
        ({"marks": (200, 100)}, "marks must rise"),
        ({"marks": ()}, "marks must rise"),
        ({"marks": (50, 200)}, r"marks must be multiples of 100; got \[50, 200\]"),
        ({"seeds": ()}, r"seeds must be one or more and different; got \[\]"),
        ({"seeds": (1, 1)}, r"got \[1, 1\]"),
        ({"test_start": 100}, "test must not overlap"),
    ],
)
def test_what_is_refused(given, changes, message):
    with pytest.raises(ValueError, match=message):
        spec(given, **changes)


def test_models_need_names_of_their_own(given, tmp_path):
    with pytest.raises(ValueError, match="different names"):
        passes.run([spec(given), spec(given, hidden=(4, 1))], tmp_path)
    assert not list(tmp_path.iterdir())
