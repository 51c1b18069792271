"""What notebook 06 says follows from its numbers; every claim can hold, fail, or stay open."""

import numpy as np
import pandas as pd
import pytest

from lib.design import best_under
from lib.laws.power_law_plus_constant import Bounds, Intervals
from lib.notebook.claims import click_models as claims
from lib.notebook.report import LIKE_SYSTEM, THIS_SYSTEM, Report
from tests.notebook import made_click_models as made


@pytest.fixture
def report(tmp_path):
    return Report("06_dlrm_scaling", tmp_path)


def add(report, laws=None, steam=None, verdicts=None, dataset="simulated", further=None):
    """Claims by their names."""
    steam = made.steam() if steam is None else steam
    claims.add(report, laws or {}, made.compared(), steam, 1000, verdicts, dataset, 0.9, further)
    return {claim.name: claim for claim in report.claims}


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (made.FITS, "holds"),
        (made.MISFITS, "does not hold"),
        (made.FITS._replace(flat=0.3), "does not hold"),  # nothing falls
        (made.UNDECIDED, "cannot be tested"),
    ],
)
def test_a_law_is_followed_or_not(report, evidence, verdict):
    law = made.made_law("rows", evidence=evidence)
    (claim,) = [c for name, c in add(report, {"rows": law}).items() if "power law" in name]
    assert claim.verdict == verdict and "in rows of a table" in claim.name
    assert claim.value == pytest.approx(law.law.exponent_, rel=1e-5)
    assert claim.interval == pytest.approx(law.intervals.exponent[:2], rel=1e-5)


def test_laws_that_are_not_there_are_not_claimed(report):
    got = add(report, {"top_mlp": made.made_law("top_mlp")})
    assert not [name for name in got if "power law" in name]


def test_a_way_is_out_of_steam_or_not(report):
    got = {name: c.verdict for name, c in add(report).items() if "out of steam" in name}
    assert list(got.values()) == ["holds", "does not hold", "cannot be tested"]
    assert (
        next(iter(got))
        == "scaling rows is out of steam: doubled, the loss falls by less than 0.02%"
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.003, "holds"),
        (-0.003, -0.001, "does not hold"),
        (-0.003, 0.001, "cannot be tested"),
        (-1e-4, 1e-4, "no difference"),
        (np.nan, np.nan, "cannot be tested"),  # one draw
    ],
)
def test_data_gain_more_than_a_part_or_not(report, low, high, verdict):
    steam = made.steam(less_than_data=(low + high) / 2, less_low=low, less_high=high)
    got = add(report, steam=steam)
    assert got["doubling the data gains more than doubling width"].verdict == verdict


def test_families_stand_beside_the_dlrm(report):
    got = {name: c.verdict for name, c in add(report).items() if "than a DLRM" in name}
    assert got == {
        "DCN v2 has a lower loss than a DLRM of the same sizes": "holds",
        "MLP has a lower loss than a DLRM of the same sizes": "no difference",
        "logistic regression has a lower loss than a DLRM of the same sizes": "does not hold",
    }


@pytest.mark.parametrize(("measured", "verdict"), [(0.71, "holds"), (0.69, "does not hold")])
def test_the_law_foresees_what_it_has_not_seen_or_not(report, measured, verdict):
    got = add(report, further=made.further(measured))
    (claim,) = [c for name, c in got.items() if "foresees" in name]
    assert claim.verdict == verdict and "after 10,000,000 samples" in claim.name
    assert (claim.value, claim.interval) == (measured, [0.70, 0.72])
    assert "2 worlds" in claim.source


@pytest.mark.parametrize(
    ("found", "verdict", "share"),
    [
        (("data", "data"), "holds", 1.0),
        (("data", "parameters"), "does not hold", 0.5),
        (("data", "nothing"), "does not hold", 0.5),
        (("data", "undecided"), "cannot be tested", 0.5),
        (("parameters", "undecided"), "does not hold", 0.0),  # whatever the other turns out
        (("nothing", "undecided"), "does not hold", 0.0),
    ],
)
def test_data_win_everywhere_or_not(report, found, verdict, share):
    got = add(report, verdicts=made.verdicts(*found, samples=(500, 1000)))
    every = [c for name, c in got.items() if "every stream" in name]
    assert [(c.verdict, c.value) for c in every] == [(verdict, share)] * 2
    assert "after 1,000 samples" in every[1].name and "of 2 streams" in every[1].source


def test_what_an_interval_covers_is_the_data_s(report):
    assert {c.covers for c in add(report).values()} == {LIKE_SYSTEM}
    report.claims.clear()
    assert {c.covers for c in add(report, dataset="criteo").values()} == {THIS_SYSTEM}


def answer(steam=None, verdicts=None, laws=None):
    steam = made.steam() if steam is None else steam
    return claims.answer(laws or {}, made.ranked(), steam, 1000, verdicts, "simulated")


def test_the_answer_holds_the_run_s_numbers():
    law = made.made_law()
    text = answer(laws={"data": law})
    assert text.startswith(
        "On simulated clicks, after 1,000 samples, doubling the data lowers the loss by 1.00% "
        "(0.90% to 1.10%), doubling the best part of the model, its width, by 0.40% "
        "(0.30% to 0.50%)"
    )
    assert "out of steam (less than 0.02%): rows." in text
    exponent = law.intervals.exponent
    assert f"exponent {law.law.exponent_:.2f} ({exponent.low:.2f} to {exponent.high:.2f})" in text


def test_nothing_may_be_out_of_steam():
    text = answer(made.steam(out_of_steam=[None, False, None]))
    assert "no way of scaling is shown to be out of steam" in text


def test_the_answer_counts_streams_at_most_samples():
    table = made.verdicts("data", "data", "parameters", "nothing", samples=(1000,))
    earlier = made.verdicts(*["undecided"] * 4, samples=(500,))
    text = answer(verdicts=pd.concat([earlier, table]))
    assert "Of 4 simulated streams, after 1,000 samples" in text
    assert "in 2, less in 1; 0 are undecided, and in 1 neither counts." in text
    assert "streams" not in answer()


def test_values_are_plain():
    law = made.made_law()
    assert claims.values({"data": law}, made.steam()) == {
        "exponents": {"data": law.law.exponent_},
        "constants": {"data": law.law.constant_},
        "gain_over_data": {"rows": 0.001, "width": 0.4, "all_mlps": 0.03},
    }


def questions(laws, best=None, verdicts=None, floor=None):
    return claims.questions(laws, made.steam(), best, verdicts, floor).split("\n\n")


def test_the_four_questions():
    laws = {
        "data": made.made_law(evidence=made.FITS, held_out=made.FORESEEN),
        "rows": made.made_law("rows", evidence=made.MISFITS, held_out=made.MISSED),
        "width": made.made_law(
            "width",
            evidence=made.UNDECIDED,
            intervals=made.NOT_IDENTIFIED,
            left=Bounds(0.01, 0.9, False),
        ),
    }
    predicted, far_off, limits, implications = questions(laws, floor=0.65)
    assert (
        "a straight line does: samples. It does not fit, or nothing falls: rows of a" in predicted
    )
    assert "straight line in the logarithm: width of embeddings." in predicted
    assert "within their interval, for samples; they missed it for rows of a table" in far_off
    assert "(0.7100 predicted, 0.7200 measured)" in far_off
    constant, left = laws["data"].intervals.constant, laws["data"].left
    assert f"samples alone: {laws['data'].law.constant_:.3f} ({constant.low:.3f} to" in limits
    assert "width of embeddings" not in limits and "truth's own loss is 0.6500" in limits
    assert f"next doubling takes: samples {left.low:.0%} to {left.high:.0%}" in limits
    assert "rows 0.00 (-0.00 to 0.00), width 0.40 (0.30 to 0.50)" in implications
    assert "today's cost" not in implications and "differ" not in implications


def test_what_is_not_settled_is_said():
    open_ = made.made_law(
        evidence=made.UNDECIDED, intervals=made.NOT_IDENTIFIED, left=Bounds(0.01, 0.9, False)
    )
    predicted, far_off, limits, _ = questions({"data": open_})
    assert "a straight line does: none." in predicted
    assert "for none; they missed it for none" in far_off  # no size was left out
    assert "for no resource do the points settle one" in limits
    assert "is not settled for any of them" in limits and "truth" not in limits
    assert "not identified" in answer(laws={"data": open_})
    half = Intervals(Bounds(0.3, 0.5, True), Bounds(0.0, 0.7, False))
    text = answer(laws={"data": made.made_law(intervals=half)})
    assert "(0.30 to 0.50), constant" in text and text.count("not identified") == 1


def test_the_best_of_a_budget_and_the_share_of_streams():
    best = best_under(made.priced(), [1.0, 2.0])
    table = made.verdicts("data", "undecided", samples=(500, 1000))
    *_, implications = questions({}, best, table)
    assert (
        "At 2 times today's cost (prices made up) the best is width x 4 with 1,000" in implications
    )
    assert "+3.00% revenue, 50% of the cost for serving, 38% for training, 12% for" in implications
    assert (
        "data win in 50% of the streams after 500, 50% of the streams after 1,000" in implications
    )


def test_a_report_of_all_claims_can_be_written(report):
    laws = {"data": made.made_law(), "compute": made.made_law("compute")}
    add(report, laws, verdicts=made.verdicts("data", "undecided"), further=made.further())
    report.say(answer(laws=laws), **claims.values(laws, made.steam()))
    table = report.write()
    assert len(table) == 2 + 2 * 3 + 3 + 1 + 1 and table.name.is_unique
