"""What notebook 00 says follows from its numbers."""

import numpy as np
import pandas as pd
import pytest

from lib.logs.reader import LogSummary
from lib.notebook.claims import logs
from lib.notebook.report import Report

TIME = np.datetime64("2024-01-01")
SUMMARY = LogSummary(1000, 10_100, 8, 12, TIME, TIME, ranked_share=0.6)


def last_round(change, error=0.001):
    return pd.Series({"oracle_gap": -0.1, "change": change, "change_se": error})


def verdicts(tmp_path, *given):
    report = Report("00_logs", tmp_path)
    logs.add(report, *given)
    return {claim.name.split()[0]: claim.verdict for claim in report.claims}


def test_a_log_of_ones_own_has_no_loop(tmp_path):
    assert "simulated" not in logs.answer(SUMMARY, 0.5)
    assert "40% of the ads never reached Ranking" in logs.answer(SUMMARY, 0.5)
    assert verdicts(tmp_path, SUMMARY) == {"n": "reproduces", "ads": "holds"}


@pytest.mark.parametrize(
    ("change", "converged"), [(0.0, True), (0.011, True), (-0.011, True), (0.013, False)]
)
def test_converged_is_a_last_round_of_one_percent(tmp_path, change, converged):
    text = logs.answer(SUMMARY, 0.5, last_round(change))
    assert text.endswith("it has converged." if converged else "it has not yet converged.")
    expected = "holds" if converged else "does not hold"
    assert verdicts(tmp_path, SUMMARY, last_round(change))["the"] == expected


def test_lists_of_another_length_do_not_reproduce_ten(tmp_path):
    summary = LogSummary(1000, 25_000, 25, 25, TIME, TIME, ranked_share=1.0)
    assert verdicts(tmp_path, summary) == {"n": "does not hold", "ads": "does not hold"}
