import dataclasses

import pytest

from lib.experiments.matching_study import Additivity
from lib.notebook.claims import allocation
from lib.notebook.report import Report
from lib.simulation import ABTest
from tests.notebook.allocations import chosen, stages

ANSWER = chosen(stages())


def adding(base, oracle, error):
    tests = [ABTest("tower", lift, error, 10, 10, *[0.0] * 4) for lift in (base, oracle)]
    return Additivity(*tests)


def test_the_answer_holds_the_run_s_numbers():
    said = allocation.answer(ANSWER, 1234, adding(0.0025, -0.0041, 0.001))
    for name, size in ANSWER.size_parameters.items():
        assert f"{name} {size}" in said
    assert "1,234 pairs" in said
    assert f"{ANSWER.lift:+.2%} revenue (90 %: {ANSWER.low:+.2%} to {ANSWER.high:+.2%})" in said
    assert "+0.25% (± 0.10%) with the trained" in said and "-0.41%" in said
    assert "simulation" not in allocation.answer(ANSWER, 1234)


@pytest.mark.parametrize(
    ("oracle", "verdict"), [(0.0025, "holds"), (0.0052, "holds"), (0.0054, "does not hold")]
)
def test_lifts_add_up_within_two_standard_errors(tmp_path, oracle, verdict):
    """Two errors of 0.001: that of the difference is 0.00141."""
    report = Report("05_allocation", tmp_path)
    allocation.add(report, ANSWER, 1e4, adding(0.0025, oracle, 0.001))
    assert report.claims[-1].name == "lifts of the two stages add up"
    assert report.claims[-1].verdict == verdict


def test_without_a_test_nothing_is_claimed_of_additivity(tmp_path):
    report = Report("05_allocation", tmp_path)
    allocation.add(report, ANSWER, 1e4)
    assert len(report.claims) == 2


def test_a_gap_is_not_hidden(tmp_path):
    report = Report("05_allocation", tmp_path)
    allocation.add(report, dataclasses.replace(ANSWER, gap=1.0), 1e4)
    assert report.claims[1].verdict == "does not hold"
