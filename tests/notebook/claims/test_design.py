import numpy as np
import pytest

from lib.notebook.claims import design
from lib.notebook.report import LIKE_SYSTEM, THIS_SYSTEM, Report
from tests.notebook.economics import GRID, grid_economics, paper_size


def test_the_answer_holds_the_run_s_numbers():
    economics = grid_economics()
    best, said = economics.best(), design.answer(economics)
    low, high = np.quantile(economics.lift_draws[:, best], [0.05, 0.95])
    assert str(GRID.size_parameters[best].tolist()) in said
    assert f"{economics.lift[best]:+.2%} revenue (90 %: {low:+.2%} to {high:+.2%})" in said
    assert design.values(economics)["share_best"] == economics.share_best[best]


@pytest.mark.parametrize(
    ("factors", "settled"), [((1.0, 1.0, 1.0, 0.2), True), ((1.0, 0.2, 0.2, 0.2), False)]
)
def test_a_choice_is_settled_where_most_draws_make_it(factors, settled):
    economics = grid_economics(draws=4)
    draws = economics.lift * np.array(factors)[:, None]
    changed = grid_economics(draws=4, lift_draws=draws)
    assert ("not settled" not in design.answer(changed)) == settled


@pytest.mark.parametrize(("low", "verdict"), [(0.2, "holds"), (-0.2, "cannot be tested")])
def test_the_best_earns_more_if_its_interval_says_so(tmp_path, low, verdict):
    economics = grid_economics(draws=2)
    draws = economics.lift * np.array([low, 1.0])[:, None]
    report = Report("04_roi_design", tmp_path)
    design.add(
        report, grid_economics(draws=2, lift_draws=draws), "input", LIKE_SYSTEM, paper_size()
    )
    verdicts = {claim.name: claim.verdict for claim in report.claims}
    assert verdicts["the best size earns more than the base"] == verdict
    assert verdicts["sizes in the grid of B.1"] == "does not hold"  # 1,553
    assert len(verdicts) == 3


def test_the_paper_s_size_is_held_against_the_paper_only_if_the_grid_holds_it(tmp_path):
    report = Report("04_roi_design", tmp_path)
    design.add(report, grid_economics(), "input", THIS_SYSTEM)
    assert [claim.published for claim in report.claims] == [1000, None]
