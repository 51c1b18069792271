"""Kinds of values: what passes, and how a refusal reads."""

import math

import pytest

from lib.run.check import kinds
from lib.serving.engines import ENGINES


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("COUNT", [1, 7], [0, -1, 1.0, True, "1", None]),
        ("WHOLE", [0, 3], [-1, 0.5, False]),
        ("POSITIVE", [1e-9, 3], [0, -0.1, math.nan, math.inf, "1e-3", True]),
        ("NOT_NEGATIVE", [0.0, 5], [-1e-9, math.nan, math.inf]),
        ("NUMBER", [-3.0, 0], [math.nan, math.inf, "a"]),
        ("FRACTION", [0.5], [0, 1, 1.5, 90.0, math.nan]),
        ("SHARE", [1.0, 0.1], [0.0, 1.1]),
        ("RATE", [-0.5, 0.2], [-1.0, math.inf]),
        ("BATCH", [1, 64, 4096], [0, 60, 8192]),
        ("JOBS", [1, 2, -1], [0, -2, 1.5]),
        ("TRUTH", [True, False], [0, "yes"]),
        ("NAMED", ["a"], ["", 3]),
        ("METRIC", ["ndcg"], ["ndgc", ""]),
        ("PART_BYTES", [2, 4], [1, 8]),
        ("BREAKS", ["auto", 0, 6], ["none", -1, 7, 1.5]),
        ("SEEDS", [[0], [0, 1]], [[], [0, 0], [-1], [0.5], 0]),
        ("COUNTS", [[1, 1]], [[], [0], [1, "a"]]),
        ("RISING", [[1, 2]], [[], [2, 1], [1, 1]]),
        ("MORE_COUNTS", [[], [1]], [[0]]),
        ("SHARES_OR_NONE", [[], [0.0, 1.0]], [[1.1], [-0.1]]),
        ("MLP_LAYERS", [[1], [8, 4, 1]], [[], [8, 4], [8, 0, 1]]),
        ("MLP", [[12, 8, 1]], [[1], [12, 8], [12, 8.5, 1]]),
        ("ALL_LAYERS", [[[8], [8, 4]]], [[], [[]], [[8], [8]]]),
        ("FAMILIES", [["dlrm"]], [[], ["dlm"], ["dlrm", "dlrm"]]),
        ("RATES", [[[0.1, 0.2]]], [[], [[0.1]], [[0.1, 0]]]),
        ("BUDGETS", [{}, {"a": 1.0}], [{"a": "b"}, {"a": math.inf}, []]),
        ("LENGTHS", [{}, {"history": 20}], [{"history": 0}]),
    ],
)
def test_what_passes(kind, good, bad):
    kind = getattr(kinds, kind)
    for value in good:
        kind.check("name", value)
    for value in bad:
        with pytest.raises(ValueError, match=r"^name must be ") as refused:
            kind.check("name", value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (kinds.POSITIVE, -0.1, "rate must be a number > 0; got -0.1"),
        (kinds.DIRECTION, "up", "rate must be one of 'rising', 'falling'; got 'up'"),
        (kinds.COUNTS, [3, 0], "rate must be a list of one or more whole numbers >= 1; got [3, 0]"),
    ],
)
def test_a_refusal_names_parameter_value_and_expectation(kind, value, message):
    with pytest.raises(ValueError) as refused:
        kind.check("rate", value)
    assert str(refused.value).startswith(message)


def test_a_place_in_a_list_and_a_long_value():
    with pytest.raises(ValueError, match=r"\(see sizes\[1\]\[0\]\)$"):
        kinds.ALL_LAYERS.check("sizes", [[8, 4], [0, 4]])
    with pytest.raises(ValueError, match=r"got \[0, 0, .*\.\.\.") as refused:
        kinds.SEEDS.check("seeds", [0] * 1000)
    assert len(str(refused.value)) < 200


def test_options_are_those_of_the_modules_that_use_them():
    from lib.experiments.scaling_study import MOST_BREAKS
    from lib.experiments.train_and_evaluate import TrainingSpec

    assert kinds.MOST_BREAKS == MOST_BREAKS
    assert TrainingSpec.model_fields["window"].default == kinds.WINDOW
    for name, engine in ENGINES.items():
        kinds.ENGINE.check("engine", name)
        for precision in engine.precisions:
            kinds.PRECISION.check("precision", precision)
