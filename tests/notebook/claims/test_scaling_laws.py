"""What notebook 02 says follows from its numbers."""

import numpy as np
import pandas as pd
import pytest

from lib.experiments.study import skill
from lib.infra.intervals import binomial_share
from lib.laws import BNSL, fit_without_largest, growth_per_doubling
from lib.laws.diagnosis import BackTest
from lib.laws.growth import Growth
from lib.laws.next_size import Difference
from lib.notebook.claims import scaling_laws as claims
from lib.notebook.report import Report

FLOPS = np.repeat(np.geomspace(1e3, 1e6, 8), 3)


@pytest.fixture
def report(tmp_path):
    return Report("02_bnsl_fitting", tmp_path)


@pytest.fixture(scope="module")
def fit():
    noise = np.random.default_rng(0).normal(size=len(FLOPS))
    y = 0.92 - 0.1 * (FLOPS / 1e3) ** -0.4 + 0.003 * noise
    return fit_without_largest(FLOPS, y, 2, direction="rising", bound=1.0)


@pytest.fixture(scope="module")
def growth(fit):
    return growth_per_doubling(fit.full_law.x_, fit.full_law.y_)


def verdicts(report):
    return [claim.verdict for claim in report.claims]


def test_the_answer_holds_the_numbers(fit, growth):
    text = claims.answer(fit, growth, "R/R*", "rising")
    first, last = fit.table["mean"].iloc[[0, -1]]
    assert text.startswith(
        f"From 1,000 to 1,000,000 FLOPs R/R* goes from {first:.3f} to {last:.3f}, "
        f"{growth.per_doubling:+.4f} a doubling on average"
    )
    gain, low, high = fit.full_law.gain(2e6, 1e6)
    assert "which supposes growth, expects the next doubling" in text
    assert f"to add {gain:+.4f} ({low:+.4f} to {high:+.4f})" in text
    assert f"differ by about {fit.repeat_sd:.4f}" in text


def test_without_growth_or_repeats_nothing_is_expected(fit):
    flat = Growth(0.001, -0.01, 0.012)
    alone = fit_without_largest(FLOPS[::3], fit.table["mean"], 2)
    text = claims.answer(alone, flat, "NDCG", "rising")
    assert "no growth can be told from noise" in text and "the next doubling" not in text
    assert text.endswith("One training a size: its noise is not known here.")


def test_r_squared_of_a_law_counts_its_sizes(report, fit, growth):
    claims.add_law(report, fit, growth, "R/R*", "rising", 0.9)
    first = report.claims[0]
    assert first.published == 0.996 and first.interval[0] < first.value < first.interval[1]
    claims.add_law(report, fit, Growth(0.0, -1, 1), "R/R*", "rising", 0.9)
    assert report.claims[-3].published is None  # without growth there is no law to hold against it


@pytest.mark.parametrize(
    ("predicted", "half", "verdict"),
    [
        (0.901, 0.004, "holds"),
        (0.901, 0.011, "cannot be tested"),  # a doubling is worth 0.01
        (0.908, 0.009, "cannot be tested"),
        (0.92, 0.009, "does not hold"),
    ],
)
def test_a_size_is_predicted_within_what_a_doubling_is_worth(report, fit, predicted, half, verdict):
    table = fit.table.assign(predicted=predicted, low=predicted - half, high=predicted + half)
    table["mean"] = 0.9
    changed = type(fit)(fit.law, fit.power_law, fit.full_law, table)
    claims.add_law(report, changed, Growth(0.01, 0.009, 0.011), "R/R*", "rising", 0.9)
    assert verdicts(report)[1:] == [verdict] * 2
    assert report.claims[1].value == pytest.approx(predicted - 0.9, abs=1e-6)


def test_a_law_s_warnings_are_sentences(fit):
    sizes = np.unique(FLOPS)
    law = BNSL().fit(sizes, 0.92 - 0.1 * (sizes / 1e3) ** -0.4)
    law._back_tests = [BackTest(1e5, 1, 0.1), BackTest(1e4, 1, 0.2)]
    text = claims.law_warnings(law)
    assert text.startswith("No warnings: laws of the first sizes miss the next by 0.1, 0.2 times")
    few = BNSL().fit(FLOPS[:15], fit.full_law.y_[:15])
    assert "no back-test" in claims.law_warnings(few)
    y = fit.full_law.y_ - 0.2 * (FLOPS == FLOPS[-1])  # the largest size breaks the law
    law = BNSL(direction="rising").fit(FLOPS, y)
    text = claims.law_warnings(law).splitlines()
    assert len(text) == len(law.warnings_) > 0
    assert all(line.startswith("- ") and line[2].isupper() and line[-1] == "." for line in text)


def test_next_sizes_are_compared_as_the_run_found_them(fit):
    """Errors of three laws at six sizes: by hand, one better, one worse, one undecided."""
    average = np.array([0.010, -0.011, 0.012, 0.010, -0.011, 0.012])
    errors = {
        "average of laws": average,
        "better": average / 2,
        "worse": -2 * average,
        "as good": average + np.sign(average) * [0.01, -0.01, 0.01, -0.01, 0.01, -0.01],
    }
    table = pd.concat(
        pd.DataFrame({"law": law, "x": range(6), "error": error, "r_squared": 1.0})
        for law, error in errors.items()
    )
    text = claims.next_sizes_compared(table, fit, 0.9)
    assert text.startswith(
        "Over 6 next sizes better misses by least (0.0055 on average), worse by most (0.0220); the "
        "average of laws (0.0110) is number 2 of 4. "
    )
    assert "misses by less than worse. The average of laws misses by more than better." in text
    assert "cannot tell it from as good." in text
    error = fit.repeat_sd / np.sqrt(3)
    assert f"itself off by about {error:.4f} (standard error)." in text
    alone = fit_without_largest(FLOPS[::3], fit.table["mean"], 2)
    once = claims.next_sizes_compared(table[table.x == 0], alone, 0.9)
    assert once.startswith("Over 1 next size better") and "standard error" not in once
    assert once.endswith("cannot tell it from any other. (Student's t of paired differences, 90%.)")
    assert "as good (and 1 alike) by most (0.0200)" in once


@pytest.mark.parametrize(
    ("inside", "count", "verdict"),
    [(4, 4, "cannot be tested"), (19, 20, "holds"), (1, 4, "does not hold")],
)
def test_intervals_need_twenty_next_sizes(report, inside, count, verdict):
    rival = {"basin-hopping, t = 6": Difference(-0.003, -0.005, -0.001, count)}
    claims.add_next_sizes(report, binomial_share(inside, count), rival, 0.9)
    assert verdicts(report) == ["holds", verdict]
    assert report.claims[0].interval == [0.001, 0.005] and report.claims[0].value == 0.003


def online(**columns):
    row = {"model": ["w"], "by_law": 0.0034, "low": 0.0031, "high": 0.0036, "revenue_lift": 0.0038}
    return pd.DataFrame(row | columns)


@pytest.mark.parametrize(
    ("columns", "verdict"),
    [
        ({}, "reproduces"),  # whatever its error, within 0.1 % of revenue
        ({"revenue_lift": 0.005}, "cannot be tested"),  # how sure the test was is not known
        ({"revenue_lift": 0.006, "revenue_lift_se": 0.0005}, "does not hold"),
        ({"revenue_lift": 0.004, "revenue_lift_se": 0.0005}, "reproduces"),
        ({"revenue_lift": 0.006, "revenue_lift_se": 0.003}, "cannot be tested"),
    ],
)
def test_a_test_without_an_error_decides_nothing(report, columns, verdict):
    claims.add_lifts(report, online(**columns), "reference", 0.9)
    assert verdicts(report) == [verdict]
    assert (", its error not given" in report.claims[0].source) == (
        columns == {"revenue_lift": 0.005}
    )


def test_skill_says_how_it_errs(report):
    lifts = pd.DataFrame(
        {
            "world": list("ABC"),
            "measured": [0.02, -0.01, 0.03],
            "by_measured_metric": [0.03, 0.0, 0.04],
            "predicted": [0.021, -0.009, 0.031],
            "inside": True,
        }
    )
    claims.add_skill(report, skill(lifts), lifts)
    claims.add_skill(report, skill(lifts[:1]), lifts[:1])
    (claim,) = report.claims
    assert claim.verdict == "cannot be tested"  # one world
    report.claims.clear()
    claims.add_skill(report, skill(lifts), lifts)
    assert verdicts(report) == ["holds"]
    assert "Bias +0.10%: -0.90% by the law's metric, +1.00% by G" in report.claims[0].source


@pytest.mark.parametrize(
    ("growth", "direction", "verdict"),
    [
        (Growth(0.01, 0.002, 0.018), "rising", "holds"),
        (Growth(0.01, -0.002, 0.018), "rising", "cannot be tested"),
        (Growth(-0.01, -0.018, -0.002), "rising", "does not hold"),
        (Growth(-0.01, -0.018, -0.002), "falling", "holds"),
    ],
)
def test_growth_is_asked_of_a_line(report, growth, direction, verdict):
    claims.add_growth(report, growth, "R/R*", direction, 27, 0.9)
    assert verdicts(report) == [verdict]


def test_growth_in_other_systems(report):
    growth = pd.Series({"a": 0.010, "b": 0.012, "c": 0.011})
    claims.add_growth_elsewhere(report, growth[:2], "R/R*", "rising", 0.9)
    assert report.claims == []  # two systems say nothing of a third
    claims.add_growth_elsewhere(report, growth, "R/R*", "rising", 0.9)
    claims.add_growth_elsewhere(report, growth, "loss", "falling", 0.9)
    assert [claim.value for claim in report.claims] == pytest.approx([0.011, -0.011])
    assert verdicts(report) == ["holds", "does not hold"]
    assert {claim.covers for claim in report.claims} == {"another system like it"}
