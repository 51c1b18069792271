"""Every parameter of every notebook has a kind, which the committed values are of."""

import pytest

from lib.run.check.kinds import check_values
from lib.run.check.parameters import KINDS, kinds_of
from tests.run.check.given import FILES, NOTEBOOKS, defaults, quick, values_of


def test_every_notebook_has_its_kinds():
    assert sorted(KINDS) == [path.stem for path in NOTEBOOKS]
    assert kinds_of("99_unknown") == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_has_a_kind(path):
    assert kinds_of(path.stem).keys() == defaults(path.stem).keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_committed_passes(path):
    check_values(values_of(path), kinds_of(path.stem))


# One that no value of the parameter's type can be right about, by the type of what is committed.
BAD = {int: [-1], float: [-1.5, float("nan")], str: [3], list: [[-1], "a"], dict: [[1], "a"]}
ALLOWED = {  # -1 says something there, or any number does
    ("02_bnsl_fitting", "bound"),
    ("02_bnsl_fitting", "breaks"),
    ("05_allocation", "budget"),
    *((stem, "n_jobs") for stem in KINDS),
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_refuses_what_it_cannot_be(path):
    """A campaign: notebook x parameter x bad value, one line that names both."""
    for name, kind in kinds_of(path.stem).items():
        default = defaults(path.stem)[name]
        for bad in [*BAD.get(type(default), ["a"]), None]:
            if (path.stem, name) in ALLOWED and isinstance(bad, int | float):
                continue
            with pytest.raises(ValueError) as refused:
                kind.check(name, bad)
            said = str(refused.value)
            assert said.startswith(name) and "got" in said and "\n" not in said, said


@pytest.mark.parametrize(
    ("stem", "name", "value", "words"),
    [
        ("00_logs", "learning_rate", -0.03, "a number > 0"),
        ("00_logs", "world", "Z", "one of 'A', 'B', 'C', 'D', 'M', 'small'"),
        ("02_bnsl_fitting", "held_out", -1, "a whole number >= 0"),
        ("02_bnsl_fitting", "dataset", "criteo", "one of '', 'trivago', 'movielens'"),
        ("02_bnsl_fitting", "direction", "auto", "one of 'rising', 'falling'"),
        ("02_bnsl_fitting", "other_breaks", [-1], "a list of whole numbers >= 0"),
        ("03_cost_simulation", "candidates", 0, "a whole number >= 1"),
        ("03_cost_simulation", "engine", "onnx", "one of 'onnxruntime'"),
        ("03_cost_simulation", "resolution", 1.0, "a number > 1"),
        ("03_cost_simulation", "base", [3328, 1024], "the last of them 1"),
        ("04_roi_design", "latency_limit_ms", 0.0, "a number > 0"),
        ("04_roi_design", "candidates", -100, "a whole number >= 1"),
        ("04_roi_design", "workers", 0, "a whole number >= 1"),
        ("04_roi_design", "draws", 0, "a whole number >= 1"),
        ("04_roi_design", "revenue_per_hour", -1.0, "a number > 0"),
        ("04_roi_design", "interval", 90.0, "a number between 0 and 1"),
        ("04_roi_design", "traffic_growth", -1.0, "a number > -1"),
        ("05_allocation", "seeds", [], "a list of one or more"),
        ("05_allocation", "sizes", [], "a list of one or more sizes"),
        ("05_allocation", "output_units", [0], "a list of one or more whole numbers >= 1"),
        ("05c_deployed", "metric", "auc", "one of 'r_over_r_star'"),
        ("06_dlrm_scaling", "memory_share", 1.5, "a number > 0 and <= 1"),
        ("06_dlrm_scaling", "backend", "slurm", "one of 'loky', 'dask', 'ray'"),
        ("07_online_pipeline", "n_jobs", 0, "a whole number >= 1, or -1"),
    ],
)
def test_a_bad_value_is_named(stem, name, value, words):
    with pytest.raises(ValueError, match=rf"^{name} must be .*; got ") as refused:
        check_values(quick(stem, **{name: value}), kinds_of(stem))
    assert words in str(refused.value)
