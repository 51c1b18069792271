import numpy as np
import pandas as pd
import pytest

from lib.experiments.shape_study.joint_fit import fit, unseen_corner

FLOPS, AMOUNTS, SEEDS = [1e3, 3e3, 1e4, 3e4], [1e4, 2e4, 4e4, 8e4], [0, 1, 2]
METRIC = "r_over_r_star"


def truth(size, data):
    return 0.95 - 4.0 * size**-0.4 - 20.0 * data**-0.5


def made(seed=0, noise=0.003, impressions=300):
    """Passes that err as one, test impressions that all share."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.1, impressions)
    rows, values = [], {}
    for flops in FLOPS:
        level = np.array([truth(flops, data) for data in AMOUNTS])
        mean = level + rng.normal(0, noise, (len(SEEDS), 1))
        values[f"{flops:g}"] = mean[..., None] + shared
        for s, seed_ in enumerate(SEEDS):
            for d, data in enumerate(AMOUNTS):
                row = {"model": f"{flops:g}", "flops": flops, "seed": seed_, "impressions": data}
                rows.append(row | {METRIC: values[f"{flops:g}"][s, d].mean()})
    return pd.DataFrame(rows), values


def test_errors_of_passes_and_impressions_are_in_the_interval():
    table, values = made()
    law = fit(table, values, METRIC, refits=60)
    drawn = law.sample([[1e4, 4e4], [3e4, 8e4]])
    # Test impressions move the whole law, and its differences hardly.
    assert drawn[:, 0].std() > 0.1 / 300**0.5 / 1.5
    assert np.diff(drawn).std() < drawn[:, 0].std() / 1.5


def test_the_corner_is_predicted_by_a_law_that_has_not_seen_it():
    table, values = made(noise=0.0005)
    corner = unseen_corner(table, values, METRIC, refits=60).iloc[0]
    assert (corner.flops, corner.impressions, corner.trainings) == (3e4, 8e4, 3)
    assert corner.low < corner.predicted < corner.high
    assert corner.predicted == pytest.approx(corner.measured, abs=0.01)
    # Whatever is measured there does not enter the law.
    hidden = (table.flops == 3e4) | (table.impressions == 8e4)
    changed = table.assign(**{METRIC: table[METRIC].where(~hidden, 0.1)})
    assert unseen_corner(changed, values, METRIC, refits=60).predicted[0] == corner.predicted


def test_too_few_sizes_leave_no_corner():
    table, values = made()
    assert unseen_corner(table[table.flops < 3e4], values, METRIC).empty
