import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.design.roi_choice import best_size, highest_roi, share_best
from lib.design.size_grids import size_grid
from lib.models.flop_count import matrix_flops

money = st.integers(-3, 3).map(float)  # few values: many ties
pairs = st.lists(st.tuples(money, st.sampled_from([-1.0, 0.0, 1.0, 2.0, np.inf])), min_size=1)


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
    found = dict(zip(map(tuple, grid.size_parameters.tolist()), grid.flops.tolist(), strict=True))
    assert {size: found[size] for size in flops} == flops
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


@given(pairs, st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_best_size_equals_a_loop(sizes, roi_min):
    revenue, cost = map(np.array, zip(*sizes, strict=True))
    feasible = [i for i, (r, c) in enumerate(sizes) if c < np.inf and r >= roi_min * c]
    if not feasible:
        with pytest.raises(ValueError, match="no size reaches roi_min"):
            best_size(revenue, cost, roi_min)
        return
    best = best_size(revenue, cost, roi_min)
    assert best in feasible
    assert (-revenue[best], cost[best]) == min((-revenue[i], cost[i]) for i in feasible)


def test_total_and_incremental_roi_differ():
    revenue, cost = np.array([100.0, 101.0, 102.0]), np.array([10.0, 11.0, 15.0])
    assert best_size(revenue, cost, roi_min=2) == 2  # 102 / 15 = 6.8
    assert best_size(revenue - 100, cost - 10, roi_min=1) == 1  # 1 / 1, but 2 / 5


def test_share_best_by_hand():
    revenue = [[1, 2, 3], [1, 2, 3], [1, 5, 3], [0, 0, 0]]
    cost = [[1, 1, 1], [1, 1, 4], [1, 1, 1], [1, 1, 1]]
    np.testing.assert_allclose(share_best(revenue, cost, roi_min=1), [0, 2 / 4, 1 / 4])


def test_share_best_of_one_draw_is_best_size():
    rng = np.random.default_rng(0)
    revenue, cost = rng.uniform(size=(20, 50)), rng.uniform(size=50)
    chosen = [best_size(draw, cost, roi_min=1) for draw in revenue]
    np.testing.assert_allclose(
        share_best(revenue, cost, roi_min=1), np.bincount(chosen, minlength=50) / 20
    )


@pytest.mark.parametrize(
    ("revenue", "cost", "roi_min", "message"),
    [
        ([1, 2], [1, 2, 3], 1, r"of one shape; got \(2,\) and \(3,\)"),
        ([1, np.nan], [1, 2], 1, "revenue must be finite; got nan"),
        ([1, 2], [1, np.nan], 1, "cost must be a number"),
        ([1, 2], [1, 2], -1, "roi_min must be a number >= 0; got -1"),
        ([], [], 1, "at least one size"),
        ([1, 3], [2, 4], 1, r"no size reaches roi_min = 1; the highest ROI is 0.75 \(size 1\)"),
    ],
)
def test_best_size_refuses(revenue, cost, roi_min, message):
    with pytest.raises(ValueError, match=message):
        best_size(revenue, cost, roi_min)


def test_share_best_refuses_one_dimension():
    with pytest.raises(ValueError, match=r"must be \[draws, sizes\]"):
        share_best([1, 2], [1, 2], 1)


def test_highest_roi_without_any():
    assert "no size has a positive" in highest_roi(np.array([1.0]), np.array([np.inf]))
