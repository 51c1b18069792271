import itertools

import pytest

from lib.experiments.shape_study.shapes import hidden_at, largest_drop, narrowest, shapes_at
from lib.models.flop_count import matrix_flops


@pytest.mark.parametrize(
    ("widths", "flops"),
    list(
        itertools.product(
            (
                [1],
                [1, 1, 1, 1],
                [4, 1, 1, 1],
                [64, 1, 1, 1],
                [8, 4, 2, 1],
                [1, 2, 4],
                [32, 1, 32, 32],
            ),
            (6288, 34368, 1e7),
        )
    ),
)
def test_flops_are_met_to_within_a_unit_of_the_widest_layer(widths, flops):
    hidden = hidden_at(widths, 86, flops)
    widest = max(range(len(widths)), key=lambda i: widths[i])
    around = [86, *hidden]
    a_unit = 2 * (around[widest] + around[widest + 2])
    assert abs(matrix_flops(around) - flops) <= a_unit / 2
    assert len(hidden) == len(widths) + 1 and hidden[-1] == 1


def test_proportions_are_kept_where_rounding_allows_it():
    hidden = hidden_at([32, 1, 4, 2], 100, 1e9)
    for layer, width in zip(hidden[:-1], [32, 1, 4, 2], strict=True):
        assert layer / hidden[1] == pytest.approx(width, rel=0.01)


def test_the_paper_s_shapes():
    assert largest_drop([3328, 1024, 32, 32, 32, 1]) == 32
    assert largest_drop([3328, 128, 128, 128, 128, 1]) == 26  # the input is a layer
    assert largest_drop([86, 128, 128, 1]) == 1  # and the output is none
    assert narrowest([3328, 1024, 32, 64, 1]) == 32


def test_a_table_of_shapes():
    others = [{"shape": "neck last", "widths": [32, 32, 32, 1]}]
    table = shapes_at([6288, 34368], [1, 4, 32], others, 86)
    assert list(table["shape"]) == 2 * ["ratio 1", "ratio 4", "ratio 32", "neck last"]
    assert table.model.is_unique
    assert table.is_ratio.tolist() == 2 * [True, True, True, False]
    assert table.within_rule.tolist() == (table["drop"] <= 20).tolist()
    assert table.flops.between(0.97 * table.level, 1.03 * table.level).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hidden_at([], 86, 6288), r"widths must be one or more numbers > 0; got \[\]"),
        (lambda: hidden_at([4, 0], 86, 6288), r"numbers > 0; got \[4, 0\]"),
        (lambda: hidden_at([1, 1], 86, 40), "as few as 40 FLOPs; the smallest have 176"),
        (lambda: shapes_at([6288], [4, 32], [], 86), "two or more must be within the rule of 20"),
        (lambda: shapes_at([6288], [4, 4], [], 86), "shapes must have different names"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
