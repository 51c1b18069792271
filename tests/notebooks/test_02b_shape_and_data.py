"""Notebook 02b: what it refuses before anything is trained."""

import pytest

from lib.logs.features import save_features
from tests import ROOT
from tests.notebooks.cells import run_cells
from tests.small_log import FEATURES

STUDY = str(ROOT / "outputs/quick/01_metric_validation/study.csv")


@pytest.fixture(scope="module")
def given(tmp_path_factory, log):
    path = tmp_path_factory.mktemp("features") / "features.yaml"
    save_features(path, FEATURES)
    return {"logs": str(log), "features": str(path), "trainings": STUDY, "system": ""}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"levels": []}, r"levels must not be empty; got \[\]"),
        ({"ratios": [1, -4]}, r"ratios must be > 0; got \[1, -4\]"),
        ({"base_hidden": [9, 1]}, r"base_hidden must be one of \[8, 4, 4, 4, 1\], .*\[9, 1\]"),
        ({"budgets": [0.0]}, r"budgets must be > 0; got \[0.0\]"),
        ({"world": "M seed 9"}, "world must be one of 'notebook 00', .*; got 'M seed 9'"),
        ({"interval": 1.0}, "interval must lie between 0 and 1; got 1.0"),
        ({"training_per_hour": -1.0}, "Prices: training must be finite and >= 0; got -1.0"),
        ({"training_per_hour": 0.0}, "training or data must cost something"),
        ({"ratios": [1, 1]}, "shapes must have different names"),
        ({"ratios": [32, 64]}, "two or more must be within the rule of 20"),
        ({"other_shapes": [{"shape": "a", "widths": []}]}, "widths must be one or more numbers"),
        ({"amounts": [8192, 4096]}, r"marks must rise up to train_impressions"),
        ({"amounts": [5000, 8192]}, r"marks must be multiples of 4096; got \[5000, 8192\]"),
        ({"seeds": []}, r"seeds must be one or more and different; got \[\]"),
        ({"test_start": 8192}, "the test must not overlap the training"),
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
