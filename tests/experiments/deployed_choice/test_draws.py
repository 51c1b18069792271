"""Models known before a choice, and all sizes deployed after it."""

import numpy as np
import pytest

from lib import simulation
from lib.experiments import converged_system, deployed_choice
from lib.experiments.deployed_choice import Plan
from tests.experiments.deployed_choice.test_plan import PLAN


@pytest.mark.slow
def test_a_draw(tmp_path):
    plan = Plan(**PLAN)
    (known,) = deployed_choice.learn(plan, [3], tmp_path, n_jobs=1)
    pre_ranking, matching = known.pre_ranking, known.matching
    assert pre_ranking.model.tolist() == ["8 seed 0", "half"]
    assert pre_ranking.kind.tolist() == ["none", "data"]
    assert pre_ranking.seed.tolist() == [3000, 3000]
    assert pre_ranking.samples[1] < pre_ranking.samples[0]
    assert (pre_ranking.users == 80).all() and (pre_ranking.impressions == 160).all()
    today = matching.iloc[0]
    assert (today.model, today.kind, today.revenue_lift) == ("4-2 seed 0", "none", 0)
    (deployed,) = deployed_choice.deploy(plan, [3], tmp_path, n_jobs=1)
    assert deployed.sizes.shape == (1, 2, 120) and deployed.pairs.shape == (2, 2, 120)
    # Today's size, by hand: the base on the other users.
    folders = [path for path in (tmp_path / "systems").iterdir() if path.is_dir()]
    system = converged_system.load(folders[0])
    users = np.arange(80, 200)
    matched = simulation.match(system.world, users=users)
    arm = simulation.run_arm(
        simulation.install_pre_ranking(matched, system.base()), visits=3, seed=4
    )
    np.testing.assert_array_equal(deployed.sizes[0, plan.base_size], arm.revenue)
    assert (deployed.sizes[0, 1] != arm.revenue).any()
    assert (deployed.pairs[0] != deployed.pairs[1]).any()
    again = deployed_choice.deploy(plan, [3], tmp_path, n_jobs=1)[0]
    np.testing.assert_array_equal(again.pairs, deployed.pairs)
