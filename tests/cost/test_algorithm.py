"""Algorithm 1: by hand, invariants, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.cost.algorithm import (
    HERE,
    cost_per_hour,
    machines_interval,
    priced,
    priced_or_recorded,
    required_machines,
)

positive = st.floats(1e-3, 1e6)


def test_required_machines_by_hand():
    """20 machines of 100 QPS are 2,000 QPS; at 70 each, that takes 28.6 machines."""
    assert required_machines(100, 20, 70) == pytest.approx(2000 / 70)
    assert required_machines(100, 20, 70, whole=True) == 29
    np.testing.assert_allclose(
        required_machines(100, 20, [[200, 100], [0, 1]]), [[10, 20], [np.inf, 2000]]
    )


@given(positive, positive, positive)
def test_machines_carry_the_same_traffic(qps_base, machines_base, qps):
    machines = required_machines(qps_base, machines_base, qps)
    assert machines * qps == pytest.approx(machines_base * qps_base)
    assert required_machines(qps_base, machines_base, qps_base) == machines_base


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 20, 5), "qps_base must be > 0; got 0"),
        ((100, -1, 5), "machines_base must be > 0; got -1"),
        ((100, 20, [5, -2]), "qps must be >= 0; got -2"),
        ((100, 20, [np.nan, -2]), "qps must be >= 0; got -2"),
    ],
)
def test_required_machines_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        required_machines(*arguments)


def test_interval_by_hand():
    machines, low, high = machines_interval((100, 90, 105), 20, (50, 50, 53))
    less = np.sqrt(np.log(100 / 90) ** 2 + np.log(53 / 50) ** 2)
    np.testing.assert_allclose([machines, low, high], [40, 40 * np.exp(-less), 40 * 1.05])


def test_interval_holds_the_ratio_of_noisy_tests():
    """Tests err by 10 and 20 % (standard deviation of logs), both intervals are of 90 %."""
    rng = np.random.default_rng(0)
    sd = np.array([0.1, 0.2])
    base, size = np.exp(rng.normal(0, sd, (20000, 2)) + np.log([100, 50])).T
    around = np.exp(1.645 * np.array([[0, 0], -sd, sd]))
    machines = [
        machines_interval(one * around[:, 0], 20, other * around[:, 1])
        for one, other in zip(base[:2000], size[:2000], strict=True)
    ]
    assert np.mean([low <= 40 <= high for _, low, high in machines]) == pytest.approx(0.9, abs=0.02)


def test_priced_by_hand():
    rows = [
        {"size_parameters": size, "qps": qps, "qps_low": qps, "qps_high": 1.1 * qps}
        for size, qps in (([8, 4, 1], 10.0), ([4, 2, 1], 40.0), ([99, 9, 1], 0.0))
    ]
    table = priced(rows, base=[4, 2, 1], machines_base=6, price_per_hour=2.5)
    np.testing.assert_allclose(table["machines"], [24, 6, np.inf])
    np.testing.assert_allclose(table["machines_low"], [24 / 1.1, 6, np.inf])
    np.testing.assert_allclose(table["machines_high"], [24 * 1.1, 6, np.inf])
    np.testing.assert_allclose(table["cost_per_hour"], [60, 15, np.inf])
    with pytest.raises(ValueError, match=r"one row must hold the base size \[1, 1\]; found 0"):
        priced(rows, base=[1, 1], machines_base=6, price_per_hour=1)


def measured(**columns):
    """Two sizes measured alike but for the given columns."""
    return pd.DataFrame(
        {
            "size_parameters": [[4, 2, 1], [8, 2, 1]],
            "machine": "A",
            "engine": "E",
            "candidates": 100,
            "qps": [40.0, 10.0],
            "qps_low": [40.0, 10.0],
            "qps_high": [44.0, 11.0],
            **columns,
        }
    )


@pytest.mark.parametrize(
    ("column", "values"),
    [("machine", ["A", "B"]), ("engine", ["E", "F"]), ("candidates", [100, 200])],
)
def test_priced_refuses_a_mix(column, values):
    mix = measured(**{column: values})
    with pytest.raises(
        ValueError,
        match=f"column {column} must be the same in all rows; found "
        f"{values[0]!r} and {values[1]!r}",
    ):
        priced(mix, [4, 2, 1], 6, 1)
    assert priced(mix, [4, 2, 1], 6, 1, mixed=[column])["machines"].tolist() == [6, 24]


def test_priced_keeps_a_size_that_could_not_be_measured():
    table = measured(
        qps=[40.0, np.nan],
        qps_low=[40.0, np.nan],
        qps_high=[44.0, np.nan],
        failure=["", "MemoryError: no room"],
    )
    found = priced(table, [4, 2, 1], 6, 1, whole=True)
    assert found["machines"][0] == 6
    assert (
        found[["machines", "machines_low", "machines_high", "cost_per_hour"]].iloc[1].isna().all()
    )
    with pytest.raises(ValueError, match=r"\[8, 2, 1\] could not be measured \(MemoryError"):
        priced(table, [8, 2, 1], 6, 1)


def test_priced_by_another_rate():
    table = measured().rename(columns=lambda name: name.replace("qps", "steps_per_second"))
    assert priced(table, [4, 2, 1], 6, 1, rate="steps_per_second")["machines"].tolist() == [6, 24]


def test_price_must_be_positive():
    with pytest.raises(ValueError, match="price_per_hour must be > 0; got 0"):
        cost_per_hour(3, 0)


def load_row(form, size, qps, **columns):
    load = {"qps": qps, "qps_low": 0.9 * qps, "qps_high": 1.1 * qps}
    return {
        "form": form,
        "size_parameters": size,
        "candidates": 5,
        "failure": "",
        **load,
        **columns,
    }


BASES = {"naive": [4, 2, 1], "twin_tower": [4, 2]}
RECORDED = pd.DataFrame(
    [load_row("naive", [4, 2, 1], 10.0), load_row("twin_tower", [4, 2], 40.0, candidates=9)]
)


def test_costs_are_those_measured_here_where_the_bases_are():
    rows = [load_row("naive", [4, 2, 1], 20.0), load_row("twin_tower", [4, 2], 30.0)]
    rows.append(load_row("naive", [8, 2, 1], np.nan, failure="busy"))  # another size may fail
    table = priced_or_recorded(rows, BASES, 6, 1.0, RECORDED)
    assert table.source.tolist() == 3 * [HERE]
    assert table.qps.tolist()[::2] == [20.0, 30.0]


@pytest.mark.parametrize(("qps", "failure"), [(np.nan, "busy"), (0.0, "")])
def test_where_a_base_is_lost_all_rows_are_the_recorded_ones(qps, failure):
    rows = [
        load_row("naive", [4, 2, 1], 20.0),
        load_row("twin_tower", [4, 2], qps, candidates=9, failure=failure),
    ]
    table = priced_or_recorded(rows, BASES, 6, 1.0, RECORDED)
    assert table.qps.tolist() == [10.0, 40.0] and (table.machines == 6).all()
    reason = failure or "a request takes longer than the limit"
    assert set(table.source) == {
        f"recorded: [4, 2] (twin_tower) could not be measured here: {reason}"
    }


def test_a_lost_base_without_a_recorded_table_that_fits_is_refused():
    rows = [
        load_row("naive", [4, 2, 1], 20.0),
        load_row("twin_tower", [4, 2], np.nan, failure="busy"),
    ]
    with pytest.raises(ValueError, match=r"the base size \[4, 2\] could not be measured \(busy\)"):
        priced_or_recorded(rows, BASES, 6, 1.0)
    with pytest.raises(ValueError, match=r"same candidates as the rows, \{.*5\}; found \{.*9\}"):
        priced_or_recorded(rows, BASES, 6, 1.0, RECORDED)
