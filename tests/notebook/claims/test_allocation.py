import dataclasses

import pytest

from lib.allocation import allocate_table, ways_compared
from lib.experiments.matching_study import Additivity
from lib.notebook.claims import allocation
from lib.notebook.report import Report
from lib.simulation import ABTest
from tests.notebook.allocations import MONEY, chosen, own_scenarios, stages

ANSWER = chosen(stages())


def adding(tower, model, both, error):
    tests = [ABTest("new", lift, 0.001, 10, 10, *[0.0] * 4) for lift in (tower, model, both)]
    return Additivity("64-32", "128-32", *tests, both - tower - model, error)


def test_the_answer_holds_the_run_s_numbers():
    said = allocation.answer(ANSWER, 1234, adding(0.0025, -0.0041, 0.003, 0.0004))
    for name, size in ANSWER.size_parameters.items():
        assert f"{name} {size}" in said
    assert "1,234 pairs" in said
    assert f"{ANSWER.lift:+.2%} revenue (90 %: {ANSWER.low:+.2%} to {ANSWER.high:+.2%})" in said
    assert "tower 64-32 and Pre-ranking 128-32 have the sizes nearest" in said
    assert "worth +0.25% (± 0.10%) and -0.41%" in said and "together +0.30%" in said
    assert "+0.46% (± 0.04%) beyond the sum" in said
    assert "simulation" not in allocation.answer(ANSWER, 1234)


@pytest.mark.parametrize(
    ("both", "error", "verdict"),
    [
        (0.0031, 0.0004, "holds"),  # 0.01 % +- 0.08 %: within 0.1 %
        (0.0036, 0.0004, "cannot be tested"),
        (0.0031, 0.001, "cannot be tested"),
        (0.0046, 0.0004, "does not hold"),
    ],
)
def test_lifts_add_up_where_nothing_else_fits(tmp_path, both, error, verdict):
    report = Report("05_allocation", tmp_path)
    allocation.add(report, ANSWER, 1e4, adding(0.001, 0.002, both, error))
    assert report.claims[-1].name.startswith("lifts of the two stages add up")
    assert report.claims[-1].verdict == verdict


def test_without_a_test_nothing_is_claimed_of_additivity(tmp_path):
    report = Report("05_allocation", tmp_path)
    allocation.add(report, ANSWER, 1e4)
    assert len(report.claims) == 1


def test_a_gap_is_not_hidden(tmp_path):
    report = Report("05_allocation", tmp_path)
    with pytest.raises(AssertionError, match="the solver's gap is zero"):
        allocation.add(report, dataclasses.replace(ANSWER, gap=1.0), 1e4)


def test_the_answer_names_the_other_ways_and_what_money_would_earn():
    ways = ways_compared(stages(), 0, **MONEY)
    said = allocation.answer(ANSWER, 1234, ways=ways)
    lift = ways.set_index("way")["lift"]
    assert f"One factor for all base models would earn {lift['proportional']:+.2%}" in said
    assert f"more for machines would earn {ANSWER.shadow_price:.2f}." in said


def test_the_answer_of_a_table_of_scenarios():
    rows, best = allocate_table(own_scenarios(), 300)
    said = allocation.answer_of_scenarios(best, rows)
    left = int((~rows.today).sum())
    assert f"20 scenarios, of which {left} leave today's size, earn {best.revenue:,.2f}" in said
    assert f"One unit of budget more would earn {best.shadow_price:.4g}." in said
    assert allocation.values_of_scenarios(best)["cost"] == best.cost
