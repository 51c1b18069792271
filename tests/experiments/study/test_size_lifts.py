"""Lifts of sizes in each system, where the truth is known."""

import numpy as np
import pytest

from lib.experiments import study
from tests.experiments.study.test_held_out_sizes import SLOPE, metric_at, trainings

RELATIVE = np.array([0.5, 1.0, 2.0, 4.0])  # of the base, 32


def true_lifts():
    return SLOPE * (metric_at(32 * RELATIVE) - metric_at(32))


def test_a_row_a_system_and_nothing_for_the_base():
    lifts = study.lifts_by_system(trainings(0, worlds=3), RELATIVE)
    assert lifts.index.tolist() == ["world 0", "world 1", "world 2"]
    assert (lifts[1] == 0).all()
    np.testing.assert_allclose(lifts.mean(), true_lifts(), atol=0.002)


def test_a_row_is_the_system_s_own():
    table = trainings(1, worlds=2)
    alone, draws = study.lifts_of_sizes(table[table.world == "world 1"], RELATIVE, draws=50)
    both = study.lifts_by_system(table, RELATIVE, draws=50)
    np.testing.assert_array_equal(both.loc["world 1"], alone)
    assert draws.shape == (50, len(RELATIVE)) and (draws[:, 1] == 0).all()


def test_points_of_a_dial_are_no_systems():
    table = trainings(0, worlds=2)
    table.loc[table.world == "world 1", "dial"] = "drift"
    assert study.lifts_by_system(table, RELATIVE).index.tolist() == ["world 0"]


def test_the_largest_size_is_one_that_all_have():
    table = trainings(0, worlds=2)
    assert study.largest_size(table) == 4.0
    least = (table.world == "world 1") & (table.flops == 128)
    assert study.largest_size(table[~least]) == 2.0


def test_growth_of_each_system():
    growth = study.growth_by_system(trainings(0, worlds=2))
    sizes = np.array([8, 16, 32, 64, 128])
    slope = np.polyfit(np.log2(sizes), metric_at(sizes), 1)[0]
    assert growth.index.tolist() == ["world 0", "world 1"]
    np.testing.assert_allclose(growth, slope, atol=0.002)


def test_systems_whose_law_has_warnings_are_named():
    table = trainings(0, worlds=2)
    assert study.law_warnings(table) == {}
    straight = (table.world == "world 1") & table.kind.isin(["size", "none"])
    noise = np.random.default_rng(0).normal(0, 2e-4, straight.sum())
    table.loc[straight, "r_over_r_star"] = 0.8 + 0.01 * np.log(table.flops[straight]) + noise
    warned = study.law_warnings(table)
    assert list(warned) == ["world 1"]  # a straight line in log FLOPs has no asymptote
    assert any("the asymptote is not identified" in text for text in warned["world 1"])


def test_systems_are_pooled():
    table = trainings(2, worlds=3)
    across = study.lifts_across_systems(table, RELATIVE)
    np.testing.assert_array_equal(across.values, study.lifts_by_system(table, RELATIVE))
    assert (across.draws(20)[:, 1] == 0).all()  # the base
    table.attrs["path"] = "mine.csv"
    with pytest.raises(ValueError, match=r"mine.csv: needs 3 systems .*got world 0, world 1$"):
        study.lifts_across_systems(table[table.world != "world 2"], RELATIVE)


def test_a_study_without_its_base_is_refused():
    table = trainings(0)
    with pytest.raises(ValueError, match=r"world 0: needs a training of the base .*'none'.*size"):
        study.lifts_of_sizes(table[table.kind != "none"], RELATIVE)
