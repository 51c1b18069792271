"""Each way scales its own part, and nothing else."""

import pytest

from lib.experiments.dlrm_study.sizes import WAYS, scaled, ways_to_scale

BASE = {"rows": 64, "width": 4, "tables_per_field": 1, "bottom": [8], "top": [16, 6]}
CHANGED = {
    "rows": {"rows": 128},
    "width": {"width": 8},
    "tables_per_field": {"tables_per_field": 2},
    "top_mlp": {"top": [32, 12]},
    "all_mlps": {"bottom": [16], "top": [32, 12]},
}


@pytest.mark.parametrize("way", WAYS)
def test_doubled_by_hand(way):
    before = {name: list(v) if isinstance(v, list) else v for name, v in BASE.items()}
    assert scaled(BASE, way, 2) == BASE | CHANGED[way]
    assert BASE == before


@pytest.mark.parametrize("way", WAYS)
def test_once_is_the_base(way):
    assert scaled(BASE, way, 1.0) == BASE


def test_layers_keep_a_unit():
    assert scaled(BASE, "all_mlps", 0.01) == BASE | {"bottom": [1], "top": [1, 1]}


@pytest.mark.parametrize(
    ("way", "factor", "message"),
    [
        ("depth", 2, "way must be one of rows, width, .*; got 'depth'"),
        ("rows", 1 / 3, "rows = 64 times 0.33.* must be a whole number >= 1; got 21.3"),
        ("width", 0.125, "width = 4 times 0.125 must be a whole number >= 1; got 0.5"),
        ("tables_per_field", 0, "tables_per_field = 1 times 0 must be a whole number >= 1; got 0"),
    ],
)
def test_bad_input_is_named(way, factor, message):
    with pytest.raises(ValueError, match=message):
        scaled(BASE, way, factor)


def test_the_base_is_in_every_way_once():
    got = ways_to_scale(BASE, {"rows": [4, 0.5], "width": [1, 2]})
    assert [(way, factor) for way, factor, _ in got] == [
        *(("rows", f) for f in (0.5, 1.0, 4.0)),
        *(("width", f) for f in (1.0, 2.0)),
    ]
    assert [size for _, factor, size in got if factor == 1] == [BASE, BASE]
    assert got[0][2] == BASE | {"rows": 32}
