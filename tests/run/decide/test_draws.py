"""The page's draws: what is left out is never chosen; a wrong file is named."""

import numpy as np
import pytest

from lib.design.decision import Decision
from lib.design.size_economics import SizeEconomics
from lib.design.size_grids import Sizes
from lib.logs.errors import InputError
from lib.run.decide.draws import Draws, kept_sizes, read_draws
from tests.run.decide import tables


def decided(draws, roi, roi_min, price, revenue, confidence):
    economics = SizeEconomics(
        Sizes(draws.size_parameters, draws.flops),
        draws.base,
        draws.lift,
        draws.lift_draws,
        draws.machine_cost * price,
        draws.machine_cost_draws * price,
        revenue_per_hour=revenue,
        roi=roi,
        roi_min=roi_min,
    )
    return Decision(economics, confidence=confidence)


def random_draws(rng, count=40, sizes=60):
    """Sizes of every kind: dearer and cheaper, better and worse, some not served, some alike."""
    lift = rng.normal(0, 0.01, (1, sizes)) + rng.normal(0, 0.005, (count, sizes))
    cost = 100 * np.exp(rng.normal(0, 0.5, (1, sizes)) + rng.normal(0, 0.1, (count, sizes)))
    cost[rng.random((count, sizes)) < 0.03] = np.inf
    lift[:, 5], cost[:, 5] = lift[:, 6], cost[:, 6]
    base = int(rng.integers(sizes))
    lift[:, base], cost[:, base] = 0, 100
    arrays = [np.float32(x).astype(float) for x in (lift[0], cost[0], lift, cost)]
    arrays[1][base] = 100
    return Draws(np.arange(2 * sizes).reshape(sizes, 2), np.arange(1.0, sizes + 1), *arrays, base)


@pytest.mark.parametrize("roi", ["incremental", "total"])
def test_what_is_left_out_changes_nothing(roi):
    rng = np.random.default_rng(0)
    left_out = 0
    for _ in range(12):
        draws = random_draws(rng)
        kept = kept_sizes(draws, (0.0, 0.04), [0.6, 0.9], roi)
        few = draws.take(kept)
        left_out += len(draws.flops) - len(kept)
        for roi_min in (0.0, 0.3, 1.0, 2.0, 4.0):
            for price in (0.4, 1.0):
                for confidence in (0.6, 0.9):
                    setting = (roi, roi_min, price, 100.0, confidence)
                    whole, part = decided(draws, *setting), decided(few, *setting)
                    table, own = whole.table(), part.table()
                    np.testing.assert_allclose(table.regret[kept], own.regret, rtol=1e-10)
                    np.testing.assert_array_equal(table.share_best[kept], own.share_best)
                    assert table.share_best.sum() == pytest.approx(own.share_best.sum())
                    if (whole.probability_of_bound >= confidence).any():
                        assert whole.choice == kept[part.choice]
    assert left_out > 100


def test_a_size_that_earns_less_for_more_is_left_out():
    lift = np.array([[0.0, 0.02, 0.01], [0.0, 0.02, 0.01]])
    cost = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    draws = Draws(np.ones((3, 2)), np.ones(3), lift[0], cost[0], lift, cost, 0)
    assert kept_sizes(draws, (0, 1), [0.9], "incremental").tolist() == [0, 1]
    assert draws.take(np.array([0, 2])).lift.tolist() == [0, 0.01]


def test_the_file_of_notebook_04(tmp_path):
    np.savez(tmp_path / "draws.npz", **tables.draws())
    draws = read_draws(tmp_path / "draws.npz")
    assert draws.base == 12 and draws.lift_draws.shape == (60, 40)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lift": None}, "draws.npz: array 'lift' is missing; found"),
        ({"base": np.array(40)}, "array 'base': found 40, expected an index of 40 sizes"),
        (
            {"lift_draws": np.zeros((60, 39))},
            r"array 'lift_draws': found the shape \(60, 39\), expected \(60, 40\)",
        ),
    ],
)
def test_a_wrong_file_is_named(tmp_path, changes, message):
    arrays = {name: x for name, x in (tables.draws() | changes).items() if x is not None}
    np.savez(tmp_path / "draws.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_draws(tmp_path / "draws.npz")


def test_no_file(tmp_path):
    with pytest.raises(InputError, match=r"draws.npz: expected arrays that numpy.savez wrote"):
        read_draws(tmp_path / "draws.npz")
