import numpy as np
import pandas as pd
import pytest

from lib.experiments.shape_study import breakpoint
from lib.experiments.shape_study.differences import Spread
from lib.laws.growth import Growth
from lib.notebook.claims import shape_and_data as claims
from lib.notebook.report import Report
from tests.notebook import shapes_and_data as made

WITHIN = Spread(0.002, 0.001, 0.004, 0.005, 0.01)
GROWTH = Growth(0.006, 0.004, 0.008)


@pytest.fixture
def report(tmp_path):
    return Report("02b_shape_and_data", tmp_path)


@pytest.fixture(scope="module")
def law():
    return made.law()


@pytest.fixture(scope="module")
def money(law):
    return made.money(law)


def test_the_answer_holds_the_run_s_numbers(law, money):
    lost = made.lost()
    found = made.broken_line(lost)
    said = claims.answer(lost, found, WITHIN, GROWTH, money[0], "R/R*")
    for row in lost[lost["shape"] == "ratio 32"].itertuples():
        assert f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f}) at {row.flops:,}" in said
    assert f"ratio of {found.value:.0f} (90 %: {found.low:.0f} to {found.high:.0f})" in said
    assert "a doubling of FLOPs adds +0.0060" in said and "0.0010 to 0.0040" in said
    better = money[0].loc[money[0]["return"].idxmax()]
    assert f"better spent on {better.spent_on} (probability {better.probability:.2f})" in said
    assert claims.values(found, WITHIN, law, money[0])["break"][0] == found.value


def verdicts(report):
    return [claim.verdict for claim in report.claims]


def test_a_shape_that_loses_and_one_that_does_not(report):
    lost = made.lost()
    claims.add_shapes(report, lost, made.broken_line(lost), WITHIN, GROWTH, "R/R*", 3)
    *shapes, broken, within = verdicts(report)
    assert shapes == 3 * ["holds"] and broken == "reproduces" and within == "holds"
    alike = made.lost(at=1000.0, scale=0.1)
    claims.add_shapes(report, alike, made.broken_line(alike), WITHIN, GROWTH, "R/R*", 3)
    assert "holds" not in verdicts(report)[:3] or report.claims[0].value < 1e-3


@pytest.mark.parametrize(
    ("high", "low", "verdict"),
    [(0.004, 0.001, "holds"), (0.01, 0.001, "cannot be tested"), (0.01, 0.008, "does not hold")],
)
def test_shapes_within_the_rule_against_a_doubling(report, high, low, verdict):
    lost = made.lost()
    within = WITHIN._replace(low=low, high=high)
    claims.add_shapes(report, lost, made.broken_line(lost), within, GROWTH, "R/R*", 3)
    assert verdicts(report)[-1] == verdict


def test_what_carries_over(report):
    lost = made.lost()
    properties = {"ratio": lost["drop"], "units": 1 / lost.narrowest}
    carried = breakpoint.compared(properties, lost.difference, lost.level)
    claims.add_carried_over(report, carried)
    assert verdicts(report) == ["holds"]
    claims.add_carried_over(report, carried.assign(error=1.0))
    assert verdicts(report) == ["cannot be tested"]


def test_g_beside_the_tests(report):
    lost = made.lost()
    expected = made.differences.expected_lifts(lost, made.g())
    claims.add_revenue(report, expected, lost.assign(difference=expected.lift))
    assert verdicts(report) == ["holds"]
    claims.add_revenue(report, expected, lost.assign(difference=-expected.lift))
    assert verdicts(report) == ["does not hold"]
    claims.add_revenue(report, expected, lost.assign(within_rule=True))
    assert len(report.claims) == 1


@pytest.mark.parametrize(("measured", "verdict"), [(0.91, "holds"), (0.95, "does not hold")])
def test_the_unseen_corner(report, law, measured, verdict):
    row = {"predicted": 0.9, "low": 0.88, "high": 0.92, "measured": measured}
    claims.add_joint_law(report, law, pd.DataFrame([row]), "R/R*", 0.9)
    assert verdicts(report)[0] == verdict and len(report.claims) == 2
    assert report.claims[0].value == pytest.approx(0.9 - measured)


def test_where_the_next_unit_goes(report, money):
    unit, by_price, _ = money
    for today, verdict in ((0.001, "holds"), (100.0, "does not hold")):
        claims.add_money(report, unit, by_price, today)
        assert verdicts(report) == [verdict]
    turn = claims.turning_price(by_price)
    assert 0.001 < turn < 100
    nearest = by_price.iloc[(np.log(by_price.training_over_serving / turn)).abs().argmin()]
    assert nearest.data_over_size == pytest.approx(1, rel=0.4)
    assert np.isnan(claims.turning_price(by_price[:3]))
