"""Curves and rows of the benchmark of recovery."""

import numpy as np
import pytest

from benchmarks.click_recovery import (
    LEAST,
    MADE,
    MARKS,
    MOST,
    STREAM_REPLICAS,
    case_rows,
    exact_excess,
    made_curves,
    near_from,
    recovered,
    stream_rows,
)


@pytest.mark.parametrize("name", MADE)
def test_made_curves_are_drawn_from_their_seed_about_their_law(name):
    x, y = made_curves(7, **MADE[name])
    assert np.array_equal(y, made_curves(7, **MADE[name])[1])
    assert not np.array_equal(y, made_curves(8, **MADE[name])[1])
    many = np.concatenate([made_curves(seed, **MADE[name])[1] for seed in range(300)])
    law = 0.4 + 0.1 * (x / 1e3) ** -MADE[name].get("exponent", 0.3)
    assert many.mean(axis=0) == pytest.approx(law, abs=4e-3)  # worlds: e^.02 at the first size


def test_without_noise_all_is_held():
    x, y = made_curves(0, noise=1e-7)
    found = recovered(x, y, 0.3, 0.4)
    assert found["exponent_covered"] and found["identified"]
    assert found["exponent"] == pytest.approx(0.3, abs=1e-4)


def test_the_range_begins_where_theory_says():
    sizes, excess, exponent, constant = exact_excess(0.5, "data")
    first = near_from(sizes, excess, exponent)
    assert (exponent, sizes[first]) == (pytest.approx(1 / 3), 646)
    sizes, excess, exponent, _ = exact_excess(0.5, "rows")
    assert (exponent, sizes[near_from(sizes, excess, exponent)]) == (0.5, 32)
    assert near_from(MARKS, 2.0 * MARKS**-0.4, 0.4) == 0
    assert 0.25 < constant < 0.26


def test_coverage_above_its_target_is_missed_too():
    repeat = {"exponent_covered": True, "constant_covered": True, "exponent_width": 0.1}
    lost = repeat | {"exponent_covered": False}
    exponent, constant, width = case_rows("case", [repeat] * 9 + [lost], 0.5)
    assert (exponent["ours"], exponent["met"]) == (0.9, LEAST <= 0.9 <= MOST)
    assert (constant["ours"], constant["met"]) == (1.0, False)
    assert width["ours"] == pytest.approx(0.2) and width["met"]


def test_rows_of_streams_are_those_of_the_range_of_theory(capsys):
    sizes, excess, exponent, constant = exact_excess(1.0, "data")
    rng = np.random.default_rng(0)
    level = 1e-3 * rng.standard_normal((3 * STREAM_REPLICAS, 1))
    noise = 1e-5 * rng.standard_normal((len(level), len(sizes)))
    rows = stream_rows(1.0, "data", constant + excess + level + noise, repeats=3)
    assert len(rows) == 3 and all(f"exponent {exponent:.3g} (3)" in row["figure"] for row in rows)
    assert "by theory" in capsys.readouterr().out
