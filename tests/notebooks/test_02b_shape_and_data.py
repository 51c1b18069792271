"""Notebook 02b: what it refuses before anything is trained."""

import pytest

from lib.logs.features import save_features
from tests import ROOT
from tests.notebooks.cells import run_cells
from tests.small_log import FEATURES

STUDY = str(ROOT / "outputs/quick/01_metric_validation/study.csv")


@pytest.fixture
def given(tmp_path_factory, monkeypatch, log):
    """The small log, which nothing reads here, said to be as long as is asked for."""
    facts = {"impressions": 10**6, "shortest": 8, "longest": 12}
    facts |= {"metrics": ["r_over_r_star"], "notes": []}
    monkeypatch.setattr("lib.logs.preview", lambda *_: facts, raising=False)
    path = tmp_path_factory.mktemp("features") / "features.yaml"
    save_features(path, FEATURES)
    return {"logs": str(log), "features": str(path), "trainings": STUDY, "system": ""}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"levels": []}, r"levels must be a list of one or more .*; got \[\]"),
        ({"ratios": [1, -4]}, r"ratios must be a list of .* > 0; got \[1, -4\]"),
        ({"base_hidden": [9, 1]}, r"base_hidden must be one of \[8, 4, 4, 4, 1\], .*\[9, 1\]"),
        ({"budgets": [0.0]}, r"budgets must be a list of .* > 0; got \[0.0\]"),
        ({"world": "M seed 9"}, "world must be one of 'notebook 00', .*; got 'M seed 9'"),
        ({"interval": 1.0}, "interval must be a number between 0 and 1; got 1.0"),
        ({"training_per_hour": -1.0}, "training_per_hour must be a number >= 0; got -1.0"),
        ({"training_per_hour": 0.0}, "training_per_hour or data_per_hour must be > 0"),
        ({"ratios": [1, 1]}, "ratios and other_shapes must be different"),
        ({"ratios": [32, 64]}, "ratios must hold 2 or more within rule = 20"),
        (
            {"other_shapes": [{"shape": "a", "widths": []}]},
            r"other_shapes\[0\]\['widths'\]: list should have",
        ),
        ({"amounts": [8192, 4096]}, "amounts must be a list of .* that rise"),
        ({"amounts": [5000, 8192, 9000]}, "amounts must be multiples of 4096; got 5000"),
        ({"seeds": []}, r"seeds must be a list of one or more .*; got \[\]"),
        ({"test_start": 8192}, "amounts must be at most test_start = 8192"),
    ],
)
def test_a_bad_parameter_is_named_before_training(tmp_path, given, parameters, message):
    with pytest.raises(ValueError, match=message):
        run_cells("02b_shape_and_data", tmp_path, "plan", **given | parameters)


def test_both_studies_share_the_sizes_that_are_in_both(tmp_path, given):
    names = run_cells("02b_shape_and_data", tmp_path, "plan", profile="quick", **given)
    plan = names["plan"]
    assert plan.flops.between(0.97 * plan.level, 1.03 * plan.level).all()
    marks = {spec.marks for spec in (*names["shape_specs"], *names["size_specs"])}
    assert len(marks) == 1
