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
    assert verdicts(tmp_path, SUMMARY) == {}


def test_a_log_without_money_says_which_metrics_remain(tmp_path):
    summary = LogSummary(1000, 10_100, 8, 12, TIME, TIME, ranked_share=0.0)
    text = logs.answer(summary, np.nan)
    assert "no ad has an eCPM above 0" in text and "nan" not in text
    assert "ndcg, recall and opa remain" in text
    assert verdicts(tmp_path, summary) == {}


@pytest.mark.parametrize(
    ("change", "ending", "verdict"),
    [
        (0.0, "it has converged.", "holds"),
        (-0.0079, "it has converged.", "holds"),
        (0.0081, "converged cannot be told.", "cannot be tested"),
        (-0.0119, "converged cannot be told.", "cannot be tested"),
        (0.0121, "it has not yet converged.", "does not hold"),
    ],
)
def test_converged_is_a_last_round_surely_within_one_percent(tmp_path, change, ending, verdict):
    """Two standard errors are 0.2 %."""
    assert logs.answer(SUMMARY, 0.5, last_round(change)).endswith(ending)
    assert verdicts(tmp_path, SUMMARY, last_round(change)) == {"the": verdict}


@pytest.mark.parametrize(
    ("ads", "ranked_share", "match"), [(25_000, 0.6, "n is about 10"), (10_000, 1.0, "never")]
)
def test_the_simulated_log_is_made_as_the_paper_s(tmp_path, ads, ranked_share, match):
    summary = LogSummary(1000, ads, 8, 25, TIME, TIME, ranked_share=ranked_share)
    assert verdicts(tmp_path, summary) == {}  # of a log of one's own nothing is asked
    with pytest.raises(AssertionError, match=match):
        verdicts(tmp_path, summary, last_round(0.0))
