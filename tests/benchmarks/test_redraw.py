"""Coverage of intervals whose re-draws are known, and the choice among sizes."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import redraw
from tests.experiments.study.test_held_out_sizes import trainings


def table(values, half, *, groups=None, of_measurement=False, measured=np.nan):
    values = np.asarray(values, float)
    return pd.DataFrame(
        {
            "notebook": "01",
            "name": "x",
            "value": values,
            "low": values - half,
            "high": values + half,
            "of_measurement": of_measurement,
            "measured": measured,
            "tested": np.nan,
            "group": "" if groups is None else groups,
        }
    )


def test_coverage_by_hand():
    # The others' means are 7 / 3, 2, 5 / 3 and 1: 0 and 4 lie farther than 1.5 from theirs.
    result = redraw.coverage(table([0, 1, 2, 4], 1.5), "again").iloc[0]
    assert result.held == 2 / 4 and result["re-draws"] == 4
    # Of one further measurement: pairs no farther apart than 1.5 are 0-1, 1-0, 1-2, 2-1.
    single = table([0, 1, 2, 4], 1.5, of_measurement=True, measured=[0, 1, 2, 4])
    result = redraw.coverage(single, "again")
    assert len(result) == 1 and result.held[0] == pytest.approx(4 / 12)


def test_groups_are_apart():
    held = redraw.coverage(table([0, 0, 9, 9], 1, groups=["a", "a", "b", "b"]), "again").held
    assert held.tolist() == [1.0]
    assert redraw.coverage(table([0, 0, 9, 9], 1), "again").held.tolist() == [0.0]


@pytest.mark.parametrize("of_measurement", [False, True])
def test_right_intervals_of_chains_hold_nine_in_ten(of_measurement):
    rng = np.random.default_rng(0)
    values = rng.normal(size=600)
    measured = values if of_measurement else np.nan
    result = redraw.coverage(
        table(values, 0.0, of_measurement=of_measurement, measured=measured), "like them", 3
    )
    assert result["re-draws"].tolist() == [200]
    assert result.held[0] == pytest.approx(0.9, abs=0.04)


def test_a_chosen_size_loses_nothing_where_law_and_g_are_right():
    study = trainings(0, worlds=6)
    study = study[study.set == "primary"]
    lost = redraw.choices(study, redraw.Design(systems=3))
    assert len(lost) == 2 and (lost.lost >= 0).all() and (lost.lost < 0.001).all()


def test_a_smaller_study_has_fewer_trainings_and_noisier_tests():
    part = trainings(0)
    part = part[part.set == "primary"]
    design = redraw.Design(seeds=1, tests=7, impressions=0.25)
    smaller = redraw._measured(part, design, np.random.default_rng(0))
    assert smaller.model.nunique() == 7 and (smaller.groupby("model").size() == 1).all()
    assert set(part.model[part.kind != "data"]) <= set(smaller.model)
    assert smaller.revenue_lift_se.iloc[0] == pytest.approx(2 * part.revenue_lift_se.iloc[0])


def test_worlds_drawn_again_share_their_world_and_nothing_else():
    worlds = redraw.worlds()
    again = [world for world in worlds if world["changes"].get("seed") == 0]
    assert len(again) == redraw.AGAIN[0] and len({world["seed"] for world in again}) == len(again)
    assert len({world["world"] for world in worlds}) == len(worlds)
