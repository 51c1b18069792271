"""Notebook 05b: what it refuses before anything is trained."""

import pytest

from tests.notebooks.cells import run_cells


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"visits": 0}, "visits must be a whole number >= 1; got 0"),
        ({"machines_matching": 0.0}, "machines_matching must be a number > 0; got 0.0"),
        ({"budgets": [1.0, -1.0]}, r"budgets must be a list of .* > 0; got \[1.0, -1.0\]"),
        ({"budgets": [2.0]}, r"budgets must hold 1.0, what both stages cost today; got \[2.0\]"),
        ({"more_arms": -1}, "more_arms must be a whole number >= 0; got -1"),
        ({"seeds": []}, r"seeds must be a list of one or more .*; got \[\]"),
        ({"base_tower": [9, 9]}, r"base_tower must be one of \[8, 4\], .*; got \[9, 9\]"),
        ({"hidden": [9, 1]}, r"hidden must be one of .*; got \[9, 1\]"),
        ({"deployed_mlps": [[9, 1]]}, r"hidden must be one of \[9, 1\]"),
        ({"deployed_mlps": [[8, 4, 4, 4, 1]]}, r"hidden must be one of \[8, 4, 4, 4, 1\]"),
        ({"deployed_candidates": [150]}, "deployed_candidates must be one of 100, .*; got 150"),
        ({"candidates": [100, 400]}, r"deployed_candidates must be one of 100, 400; got 200"),
        ({"deployed_candidates": [100]}, "deployed_candidates must hold 200, the world's own"),
        ({"world": "E"}, "world must be one of .*; got 'E'"),
        ({"interval": 1.0}, "interval must be a number between 0 and 1; got 1.0"),
    ],
)
def test_a_bad_parameter_is_named_before_training(tmp_path, parameters, message):
    with pytest.raises(ValueError, match=message):
        run_cells("05b_two_stages", tmp_path, "draws", **parameters)
    assert not list(tmp_path.rglob("*system*"))
