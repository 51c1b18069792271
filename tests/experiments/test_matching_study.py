"""Towers trained and tested in a tiny system."""

import numpy as np
import pytest

from lib import simulation
from lib.experiments import converged_system, matching_study
from tests.experiments.test_converged_system import TINY

STUDY = {
    "hidden_sizes": [[4, 2], [8, 4]],
    "base_hidden": [4, 2],
    "seeds": [0],
    "log_impressions": 192,
    "train_impressions": 128,
    "metric": "r_over_r_star",
    "test_visits": 1,
    "seed": 0,
    "learning_rate": 0.03,
    "batch_impressions": 64,
}


def test_standard_errors_are_of_paired_differences():
    """What all models share is no error; by hand, over the impressions where both are defined."""
    rng = np.random.default_rng(0)
    shared, noise = rng.normal(0, 10, 1000), rng.normal(0, 1, 1000)
    values = {"base": shared, "same": shared + 3, "other": shared + noise}
    values["other"][:10] = np.nan
    errors = matching_study.paired_standard_errors(values, "base")
    assert errors["base"] == 0
    assert errors["same"] == pytest.approx(0, abs=1e-12)
    assert errors["other"] == pytest.approx(noise[10:].std(ddof=1) / 990**0.5)


@pytest.mark.parametrize(
    "wrong", [{"base_hidden": [9, 9]}, {"seeds": []}, {"hidden_sizes": [], "base_hidden": []}]
)
def test_a_base_that_is_not_among_the_sizes_is_refused_before_training(tmp_path, wrong):
    with pytest.raises(ValueError, match="base_hidden must be one of sizes = "):
        matching_study.run(None, tmp_path, **STUDY | wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_study(tmp_path):
    system = converged_system.build(tmp_path / "system", **TINY)
    study = matching_study.run(system, tmp_path / "study", **STUDY)
    models = study.models.set_index("model")
    assert list(models.index) == ["4-2 seed 0", "8-4 seed 0"]
    base, largest = models.loc["4-2 seed 0"], models.loc["8-4 seed 0"]
    assert (study.base_model, base.revenue_lift, base.revenue_lift_se) == ("4-2 seed 0", 0, 0)
    assert base.r_over_r_star_se == 0 < largest.r_over_r_star_se
    # The test again, from the candidates that the larger tower retrieves.
    arms = [
        simulation.run_arm(
            simulation.install_pre_ranking(retrieval.candidates, system.base()), visits=1, seed=0
        )
        for retrieval in (study.base, study.retrievals["8-4 seed 0"])
    ]
    assert simulation.ab_test(*arms).revenue_lift == pytest.approx(largest.revenue_lift)
    new, name = matching_study.train_pre_ranking(
        system, tmp_path / "mlp", [[16, 8, 1], [2, 2, 1]], 2.0
    )
    assert name == "16-8-1"
    adding = matching_study.additivity(study, "8-4 seed 0", system.base(), new, name)
    assert adding.matching_alone.revenue_lift == pytest.approx(largest.revenue_lift)
    users = [
        simulation.run_arm(
            simulation.install_pre_ranking(retrieval.candidates, model), visits=1, seed=0
        ).revenue
        for retrieval in (study.base, study.retrievals["8-4 seed 0"])
        for model in (system.base(), new)
    ]
    base, model, tower, both = users
    assert adding.both.revenue_lift == pytest.approx(both.sum() / base.sum() - 1)
    parts = adding.matching_alone.revenue_lift + adding.pre_ranking_alone.revenue_lift
    assert adding.difference == pytest.approx(adding.both.revenue_lift - parts)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(400):
        rows = rng.integers(len(base), size=len(base))
        drawn.append((both - tower - model + base)[rows].sum() / base[rows].sum())
    assert adding.standard_error == pytest.approx(np.std(drawn), rel=0.25)
    assert [row["model"] for row in adding.rows()] == [
        "tower 8-4 seed 0",
        "Pre-ranking 16-8-1",
        "both",
    ]
    with pytest.raises(ValueError, match="pre_ranking_hidden must name a size other than"):
        matching_study.train_pre_ranking(system, tmp_path, [system.parameters.hidden], 1.0)
