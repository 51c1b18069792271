import numpy as np
import pandas as pd
import pytest

from lib.design.decision import Decision, choices
from lib.design.next_measurements import measure_each, rank_measurements
from lib.notebook.claims import design
from lib.notebook.report import LIKE_SYSTEM, THIS_SYSTEM, Report
from tests.notebook.economics import GRID, grid_economics, paper_size


def ranked(decision, noise=0.001):
    sizes = decision.contenders(4)
    signals = decision.economics.lift_draws[:, sizes]
    return rank_measurements(decision, measure_each("A/B test", signals, sizes, noise), hours=10.0)


def made(**changes):
    decision = Decision(grid_economics(draws=200, **changes))
    return decision, ranked(decision), choices({"serving": decision})


def test_the_answer_holds_the_run_s_numbers():
    decision, table, steps = made()
    choice, said = decision.choice, design.answer(decision, table, steps)
    low, high = np.quantile(decision.economics.lift_draws[:, choice], [0.05, 0.95])
    lift = decision.expected_revenue[choice] / 1e4
    assert str(GRID.size_parameters[choice].tolist()) in said
    assert f"{lift:+.2%} revenue (90 %: {low:+.2%} to {high:+.2%})" in said
    assert f"Its expected regret is {decision.regret[choice] / 1e4:.2%} of revenue" in said
    assert f"A/B test with {table.size_parameters[0]}" in said
    assert said.endswith("Only the cost of serving was counted.")
    values = design.values(decision, table)
    assert values["size_parameters"] == GRID.size_parameters[choice].tolist()
    assert values["perfect_information_per_hour"] == decision.regret.min()


def test_the_answer_says_what_serving_alone_would_choose():
    decision, table, steps = made()
    both = pd.concat([steps, steps.assign(decision="+ training")])
    assert "alone the choice would be the same" in design.answer(decision, table, both)
    other = pd.concat([steps.assign(size_parameters=[[1, 2, 3]]), steps])
    assert "alone the choice would be [1, 2, 3]" in design.answer(decision, table, other)


def test_measurements_that_say_nothing_are_not_recommended():
    decision, _, steps = made()
    said = design.answer(decision, ranked(decision, np.inf), steps)
    assert "No single measurement would change the decision" in said


def test_certain_draws_leave_no_regret():
    lift = grid_economics().lift
    decision, table, steps = made(lift_draws=np.tile(lift, (200, 1)))
    assert "no size has a smaller one" in design.answer(decision, table, steps)
    assert decision.regret[decision.choice] == 0


@pytest.mark.parametrize(("low", "verdict"), [(0.2, "holds"), (-0.2, "cannot be tested")])
def test_the_choice_earns_more_if_its_interval_says_so(tmp_path, low, verdict):
    economics = grid_economics(draws=2)
    draws = economics.lift * np.array([low, 1.0])[:, None]
    report = Report("04_roi_design", tmp_path)
    decision = Decision(grid_economics(draws=2, lift_draws=draws), confidence=0.4)
    steps = choices({"serving": decision, "+ training": decision})
    design.add(report, decision, "input", LIKE_SYSTEM, paper_size(), steps)
    verdicts = {claim.name: claim.verdict for claim in report.claims}
    assert verdicts["the choice earns more than the base"] == verdict
    assert verdicts["sizes in the grid of B.1"] == "does not hold"  # 1,553
    assert verdicts["all costs together lead to another choice than serving's alone"] == (
        "does not hold"
    )
    assert len(verdicts) == 5


def test_the_base_as_the_choice_earns_no_more(tmp_path):
    draws = np.full((10, len(GRID.flops)), -0.01)
    draws[:, grid_economics().base] = 0.0
    report = Report("04_roi_design", tmp_path)
    decision = Decision(grid_economics(draws=10, lift_draws=draws))
    design.add(report, decision, "", THIS_SYSTEM)
    verdicts = {claim.name: claim.verdict for claim in report.claims}
    assert verdicts["the choice earns more than the base"] == "does not hold"
    assert "sizes in the grid of B.1" not in verdicts  # of the reader's own


def test_the_paper_s_size_is_held_against_the_paper_only_if_the_grid_holds_it(tmp_path):
    report = Report("04_roi_design", tmp_path)
    design.add(report, Decision(grid_economics()), "input", THIS_SYSTEM)
    assert [claim.published for claim in report.claims] == [1000, None, None]


def test_the_paper_s_case_is_claimed_by_each_model_of_cost(tmp_path):
    report = Report("04_roi_design", tmp_path)
    first = {"price": [0.0], "low": [0.02], "high": [0.01], "possible": [False], "rival": [3]}
    design.add_paper_case(report, {"FLOPs": pd.DataFrame(first)})
    (claim,) = report.claims
    assert claim.verdict == "does not hold" and claim.value == 0.5
