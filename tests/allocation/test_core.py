import itertools

import numpy as np
import pytest

from lib.allocation.core import Core, fill, fill_jointly


def drawn(seed, scenarios=5, sizes=3):
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(scenarios), sizes)
    extra = rng.integers(-6, 10, len(ids)).astype(float)
    loss = rng.integers(0, 12, len(ids)) / 4
    return Core(ids, np.tile(np.arange(sizes), scenarios), loss, extra - loss, extra)


def combinations(core):
    """All choices of at most one size of a scenario, as lists of positions."""
    own = [[None, *np.flatnonzero(core.ids == i)] for i in np.unique(core.ids)]
    for picked in itertools.product(*own):
        yield [i for i in picked if i is not None]


@pytest.mark.parametrize("seed", range(30))
def test_one_budget_equals_all_combinations(seed):
    core, spare, price = drawn(seed), 7.0, 1.0
    best = max(core.gain[one].sum() for one in combinations(core) if core.extra[one].sum() <= spare)
    got = fill(core, spare, price, gap=price * spare, tau=np.inf, enough=0.0)
    assert core.gain[got.taken].sum() == pytest.approx(best)
    assert core.extra[got.taken].sum() <= spare
    assert len(set(core.ids[got.taken])) == len(got.taken)
    assert got.gap == pytest.approx(price * spare - best) and got.proven == got.gap


@pytest.mark.parametrize("seed", range(30))
def test_several_budgets_equal_all_combinations(seed):
    rng = np.random.default_rng(100 + seed)
    core, pool = drawn(seed), np.array([0, 0, 0, 1, 1])
    budgets = np.vstack([pool[core.ids] == 0, pool[core.ids] == 1, np.full(len(core.ids), True)])
    prices = np.array([0.5, 0.0, 1.0])
    extra = core.extra
    core = core._replace(gain=(prices @ budgets) * extra - core.loss)
    spare = rng.integers(1, 8, 3).astype(float)
    best = max(
        core.gain[one].sum()
        for one in combinations(core)
        if (budgets[:, one] @ extra[one] <= spare).all()
    )
    gap = float(prices @ spare)
    got = fill_jointly(core, budgets, spare, prices, gap, tau=np.inf, enough=0.0)
    assert core.gain[got.taken].sum() == pytest.approx(best)
    assert (budgets[:, got.taken] @ extra[got.taken] <= spare).all()
    assert got.gap == pytest.approx(gap - best) and got.proven == pytest.approx(got.gap)


def test_what_lies_beyond_tau_is_not_called_proven():
    core = drawn(1)
    got = fill(core, 7.0, 1.0, gap=7.0, tau=0.01, enough=0.0)
    assert got.proven <= 0.01


def test_few_states_still_give_a_true_bound(monkeypatch):
    monkeypatch.setattr("lib.allocation.core._STATES", (2,))
    for seed in range(20):
        core = drawn(seed, scenarios=6)
        best = max(core.gain[one].sum() for one in combinations(core) if core.extra[one].sum() <= 7)
        got = fill(core, 7.0, 1.0, gap=7.0, tau=np.inf, enough=0.0)
        assert got.proven <= 7 - best + 1e-12 <= got.gap + 2e-12
