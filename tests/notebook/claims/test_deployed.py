import numpy as np
import pandas as pd
import pytest

from lib.notebook.claims import deployed
from lib.notebook.report import Report
from tests.notebook.made_choices import made_choices, made_options


def behind(more=0.05, draws=5):
    """Two sizes a draw, which earn `more` behind the tower; draws differ a little."""
    rows = [(draw, 0.001 * i) for draw in range(draws) for i in (1, 2)]
    table = pd.DataFrame(rows, columns=["draw", "behind_log"])
    return table.assign(behind_today=table.behind_log + more + 0.0001 * table.draw)


def claimed(tmp_path, choices, **changes):
    report = Report("05c_deployed", tmp_path)
    deployed.add(report, choices, behind(draws=choices.draw.nunique(), **changes))
    return {claim.name: claim for claim in report.claims}


def test_the_answer_holds_the_run_s_numbers():
    choices = made_choices(inside=[True, False] * 5)
    options = made_options()
    said = deployed.answer(choices, options, behind())
    size, pair = (choices[choices.decision == name] for name in ("size", "pair"))
    assert f"was predicted to earn {size.predicted.mean():+.2%}" in said
    assert f"earned {size.measured.mean():+.2%} in the mean of 5 draws" in said
    assert f"{size.inside.sum()} of 5 lie inside the 90 % interval" in said
    assert "(5 of them stay with today)" in said and said.count("stay") == 1
    wrong = (size.predicted - size.measured).abs().mean()
    assert f"off by {wrong:.2%} where predicting no gain is off by" in said
    assert "would have earned 0.05% more (at most 0.1% in 5 of 5)" in said
    others = options[(options.decision == "size") & ~options.today]
    assert f"of all sizes {others.inside.mean():.0%} lie inside" in said
    assert "+0.15% over all other sizes" in said and "models earn +5.17%" in said
    assert deployed.values(choices)["pair"]["inside"] == pair.inside.sum()


@pytest.mark.parametrize(
    ("hits", "verdict"), [(5, "holds"), (4, "holds"), (3, "does not hold"), (0, "does not hold")]
)
def test_one_draw_of_five_may_miss(tmp_path, hits, verdict):
    good = np.arange(5).repeat(2) < hits
    choices = made_choices(inside=good).assign(regret=np.where(good, 0.001, 0.0011))
    claims = claimed(tmp_path, choices)
    assert len(claims) == 7
    for name, claim in claims.items():
        if "in 4 of 5 draws" in name:
            assert (claim.verdict, claim.value) == (verdict, hits / 5)


def test_fewer_draws_decide_nothing(tmp_path):
    claims = claimed(tmp_path, made_choices(draws=1, inside=True))
    assert {claim.verdict for claim in claims.values()} == {"cannot be tested"}


@pytest.mark.parametrize(
    ("wrong", "verdict"), [(0.0, "holds"), (0.02, "does not hold"), (0.01, "cannot be tested")]
)
def test_predictions_are_held_against_predicting_nothing(tmp_path, wrong, verdict):
    measured = np.array([0.009, 0.01, 0.011, 0.0095, 0.0105]).repeat(2)
    choices = made_choices(inside=True, regret=0.0).assign(
        measured=measured, predicted=measured + wrong
    )
    claim = next(c for name, c in claimed(tmp_path, choices).items() if "errs less" in name)
    assert claim.verdict == verdict
    assert claim.value == pytest.approx(0.01 - wrong)


@pytest.mark.parametrize(
    ("more", "verdict"), [(0.05, "holds"), (-0.05, "does not hold"), (-0.0002, "no difference")]
)
def test_lifts_behind_both_matchings_are_held_against_each_other(tmp_path, more, verdict):
    choices = made_choices(inside=True)
    claim = list(claimed(tmp_path, choices, more=more).values())[-1]
    assert claim.value == pytest.approx(more + 0.0002) and claim.verdict == verdict
