"""The paper's case: Eq 8 solved for each of many bounds says where its size is the answer."""

import numpy as np
import pandas as pd
import pytest

from lib.design.paper_case import answer_region, least_price, lifts_by_one
from lib.design.roi_choice import best_size
from lib.design.size_grids import index_of, size_grid

GRID = size_grid()
BASE, PAPER = (
    index_of(GRID, [3328, 1024, 256, 256, 256, 1]),
    index_of(GRID, [16128, 1024, 512, 512, 512, 1]),
)
LIFT = lifts_by_one(-(GRID.flops**-0.4), BASE, PAPER, 0.0085)
INPUTS = GRID.size_parameters[:, 0] / GRID.size_parameters[BASE, 0]


def serving(rng):
    upper = GRID.size_parameters[:, 1:-1].sum(axis=1)
    return (upper / upper[BASE]) ** 1.5 * rng.lognormal(0, 0.02, len(upper)) ** (
        np.arange(len(upper)) != BASE
    )


@pytest.mark.parametrize("price", [0.0, 0.2, 1.0])
def test_the_region_is_where_eq_8_answers_with_the_size(price):
    cost = serving(np.random.default_rng(1))
    (region,) = answer_region(LIFT, cost, INPUTS, PAPER, [price]).itertuples()
    extra = cost - 1 + price * (INPUTS - 1)
    # k = lambda x cost / revenue: with both 1, k is the bound itself.
    edges = [edge for edge in (region.low, region.high) if np.isfinite(edge)]
    for k in [*np.geomspace(1e-5, 1, 200), *(0.999 * edge for edge in edges)]:
        answer = best_size(LIFT, extra, k) == PAPER
        assert answer == (region.low < k <= region.high), (k, region)


def test_a_wider_input_at_no_price_leaves_no_bound():
    """Cost that does not know the input: a wider one earns more at the same cost."""
    widths = (GRID.size_parameters[:, 1:-1].sum(axis=1) / 1792.0) ** 1.2
    region = answer_region(LIFT, widths, INPUTS, PAPER, np.linspace(0, 2, 21))
    assert not region.possible[0]
    wider = GRID.size_parameters[region.rival[0]]
    assert wider[0] > 16128


def test_the_least_price():
    region = pd.DataFrame({"price": [0.0, 0.1, 0.2], "possible": [False, True, True]})
    assert least_price(region) == 0.1
    assert least_price(region.iloc[:1]) == np.inf


def test_equal_lifts_go_to_the_lower_cost():
    region = answer_region([0.0, 0.01, 0.01], [1.0, 2.0, 1.5], [1.0, 1.0, 1.0], 1, [0.0])
    assert not region.possible[0] and region.rival[0] == 2


def test_refuses():
    with pytest.raises(ValueError, match="must earn more than the base and be served"):
        answer_region([0.0, -0.01], [1.0, 2.0], [1.0, 1.0], 1, [0.0])
    with pytest.raises(ValueError, match="above the base's; got"):
        lifts_by_one([0.9, 0.8], 0, 1, 0.01)
