import numpy as np
import pytest

from lib.design.size_grids import find_size, index_of, join_grids, size_grid
from lib.models.flop_count import matrix_flops


def grid_by_loop(ratio_from):
    """Appendix B.1 read aloud."""
    sizes = []
    for embedding in range(16, 3000, 16):
        a0 = 200 * embedding + 128
        for a1 in range(128, 1025, 128):
            if ratio_from == "input" and 20 * a1 < a0:
                continue
            if 2 * a0 * a1 > 143e6:
                continue
            for a2 in range(128, a1 + 1, 128):
                for a3 in range(128, a2 + 1, 128):
                    for a4 in range(128, a3 + 1, 128):
                        if 2 * (a0 * a1 + a1 * a2 + a2 * a3 + a3 * a4 + a4) <= 143e6:
                            sizes.append((a0, a1, a2, a3, a4, 1))
    return sizes


@pytest.mark.parametrize(("ratio_from", "count"), [("input", 1553), ("hidden", 9241)])
def test_grid_equals_a_loop(ratio_from, count):
    grid = size_grid(ratio_from=ratio_from)
    assert sorted(map(tuple, grid.size_parameters.tolist())) == sorted(grid_by_loop(ratio_from))
    assert len(grid.flops) == count  # the paper: "approximately 1000"


def test_published_sizes():
    flops = {(3328, 1024, 256, 256, 256, 1): 7602688, (16128, 1024, 512, 512, 512, 1): 35128320}
    grid = size_grid()
    in_grid = dict(zip(map(tuple, grid.size_parameters.tolist()), grid.flops.tolist(), strict=True))
    assert {size: in_grid[size] for size in flops} == flops
    assert matrix_flops(
        [[5128, 1024, 512, 512, 512, 1], [10128, 1024, 512, 512, 512, 1]]
    ).tolist() == [12600320, 22840320]  # "12.6M and 22.9M"


def test_a_small_grid_by_hand():
    grid = size_grid(
        flops_max=1000,
        embedding_min=2,
        embedding_step=1,
        sparse_features=3,
        dense_width=1,
        hidden_layers=2,
        units_min=4,
        units_step=4,
        first_layer_max=10,
        ratio_max=2,
    )
    # 13 inputs need a first layer of 7 units or more, which 8 is and 4 is not.
    assert grid.size_parameters.tolist() == [
        [7, 4, 4, 1],
        [7, 8, 4, 1],
        [7, 8, 8, 1],
        [10, 8, 4, 1],
        [10, 8, 8, 1],
        [13, 8, 4, 1],
        [13, 8, 8, 1],
        [16, 8, 4, 1],
        [16, 8, 8, 1],
    ]
    assert grid.flops[0] == 2 * (7 * 4 + 4 * 4 + 4)


def test_twin_tower_flops_by_hand():
    """First layers of both towers share the input; the rest is there twice."""
    assert matrix_flops([10, 8, 4, 2], "twin_tower") == 2 * (80 + 2 * (32 + 8) + 2)
    grid = size_grid(family="twin_tower", output_units=64)
    assert set(grid.size_parameters[:, -1]) == {64}
    np.testing.assert_array_equal(grid.flops, matrix_flops(grid.size_parameters, "twin_tower"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"output_units": 64}, "output_units of an mlp must be 1; got 64"),
        ({"family": "dlrm"}, "family must be 'mlp' or 'twin_tower'; got 'dlrm'"),
        ({"ratio_from": "output"}, "ratio_from must be 'input' or 'hidden'; got 'output'"),
        ({"units_step": 0}, "units_step must be > 0; got 0"),
        ({"first_layer_max": 64}, "first_layer_max must be at least units_min = 128; got 64"),
        ({"flops_max": 1e5}, "no size satisfies flops_max = 100000"),
    ],
)
def test_grid_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        size_grid(**wrong)


def test_every_size_is_found_where_it_stands():
    grid = size_grid()
    for index in range(0, len(grid.flops), 97):
        assert find_size(grid, grid.size_parameters[index].tolist(), "base") == index
        assert index_of(grid, grid.size_parameters[index].tolist(), "base") == index


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ([3328, 1024, 256, 256, 1], r"^base must hold the widths of 6 layers.*256, 256, 1\]$"),
        ([], r"^base must hold the widths of 6 layers.*got \[\]$"),
        ([3329, 1024, 256, 256, 256, 1], r"^base must be one of the grid's 1,553 sizes.*3329"),
    ],
)
def test_a_base_outside_of_the_grid_is_named(size, message):
    with pytest.raises(ValueError, match=message):
        index_of(size_grid(), size, "base")


def test_joined_grids_hold_the_sizes_of_each():
    grids = [
        size_grid(hidden_layers=2, family="twin_tower", output_units=units) for units in (32, 64)
    ]
    towers = join_grids(grids)
    assert len(towers.flops) == sum(len(grid.flops) for grid in grids)
    np.testing.assert_array_equal(towers.flops, matrix_flops(towers.size_parameters, "twin_tower"))
