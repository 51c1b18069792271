"""Lines of tables: the same names as where they are used, which brings TensorFlow."""

import pytest

from lib.run.check import lines


def fields(model):
    return set(model.model_fields)


def test_names_are_those_of_what_is_built_from_them():
    from lib.experiments.converged_system import SystemParameters
    from lib.experiments.study.plan import LABEL_COLUMNS, Variant

    assert fields(lines.Variant) == fields(Variant) - {"logs", "features"} | {*LABEL_COLUMNS}
    assert fields(lines.System) == fields(SystemParameters) - {"world", "seed", "world_changes"}
    assert fields(lines.SystemOfWorld) == fields(SystemParameters) - {"seed"}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("loss", "relax", "relaxed"),
        ("family", "twin_tower", "tower"),
        ("log", "stale", "old"),
        ("epochs", 2, 0),
        ("tau", 0.5, 0.0),
        ("tau_v", None, -1.0),
        ("learning_rate", 0.1, 0),
        ("label_noise", 0.0, -0.1),
        ("score_noise", 1.0, -1),
        ("batch_impressions", 64, 0),
        ("hidden", [4, 1], [0, 1]),
        ("without", ["bid"], "bid"),
        ("seed", 3, 0.5),
    ],
)
def test_a_variant_is_refused_where_the_study_would_refuse_it(field, good, bad):
    from pydantic import ValidationError

    from lib.experiments.study.plan import Variant

    base = {"logs": "", "features": "", "hidden": [4, 1], "train_impressions": 64}
    base |= {"test_start": 64, "test_impressions": 32}
    lines.VARIANTS.check("variants", [{"model": "a", field: good}])
    Variant(model="a", **base | {field: good})
    with pytest.raises(ValueError, match=rf"^variants\[0\]\['{field}'\]"):
        lines.VARIANTS.check("variants", [{"model": "a", field: bad}])
    with pytest.raises(ValidationError):
        Variant(model="a", **base | {field: bad})


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (lines.VARIANTS, [], "variants: list should have at least 1 item"),
        (lines.VARIANTS, [{}], r"variants\[0\]\['model'\] is missing; got \{\}"),
        (lines.VARIANTS, [{"model": "a", "hiden": [4, 1]}], r"\['hiden'\]: no such name is known"),
        (lines.VARIANTS, [{"model": "a", "data_share": 1.5}], "less than or equal to 1; got 1.5"),
        (lines.WORLDS, [{"world": "Z", "seeds": [0]}], r"\['world'\]: input should be 'A', 'B'"),
        (lines.DIALS, [{"dial": "drift", "world": "D", "seeds": []}], r"\['seeds'\]: list should"),
        (lines.WORLD_STUDY, {"visits": 2}, r"\['base'\] is missing"),
        (lines.FACTORS, {"rows": []}, "must be one or more of rows, width"),
        (lines.FACTORS, {"depth": [2]}, "must be one or more of rows, width"),
        (lines.SHAPES, [{"shape": "a", "widths": [0]}], "greater than 0; got 0"),
    ],
)
def test_a_line_that_is_none(kind, value, message):
    with pytest.raises(ValueError, match=message) as refused:
        kind.check("variants", value)
    assert "\n" not in str(refused.value)


def test_a_part_that_a_study_has_not():
    for kind in (lines.WORLD_STUDY, lines.DIAL_STUDY, lines.HELD_OUT):
        kind.check("study", {})
