import numpy as np
import pytest

from lib.allocation import surface
from lib.infra.intervals import mean_interval
from lib.notebook.claims import two_stages
from lib.notebook.report import LIKE_SYSTEM, THIS_SYSTEM, Report
from tests.notebook.two_stages import choices, errors, requests


def test_several_draws_have_students_interval_and_one_its_test_s_error():
    several = two_stages.over_draws([0.01, 0.02, 0.03], [9.0] * 3)
    assert several[:3] == mean_interval([0.01, 0.02, 0.03]) and several.covers == LIKE_SYSTEM
    one = two_stages.over_draws([0.01], [0.002])
    assert one.covers == THIS_SYSTEM
    assert (one.high - one.value) / 0.002 == pytest.approx(1.645, abs=1e-3)
    assert np.isnan(two_stages.over_draws([0.01]).low)
    assert str(two_stages.over_draws([0.0, 0.0])) == "+0.00% (no interval)"


def test_a_rule_s_mean_over_budgets_is_taken_within_each_draw():
    table = choices()
    found = two_stages.of_rule(table, surface.EQ_9, "loss")
    means = [
        table.loss[(table.rule == surface.EQ_9) & (table.draw == draw)].mean() for draw in range(3)
    ]
    assert found[:3] == pytest.approx(tuple(mean_interval(means)))
    assert two_stages.of_rule(table, surface.EQ_9, "loss", 1.0).value == pytest.approx(
        0.004, abs=3e-4
    )


def test_the_answer_holds_the_run_s_numbers():
    said = two_stages.answer(choices(), requests(), [100, 200, 400])
    assert "(Eq 9, 9 arms) loses +0.4" in said and "all 119 arms" in said
    assert "(12 arms) loses +0.2" in said and "fitted from 18 arms +0.0" in said
    assert "always has the fewest candidates tested, 100." in said
    assert "sizes of Pre-ranking +0.30%" in said
    assert "90 % intervals, of 3 draws of the system" in said
    once = two_stages.answer(choices(1), requests(1), [50, 100, 200])
    assert "one system's users" in once and "always" not in once


def verdicts(tmp_path, *tables):
    report = Report("05b_two_stages", tmp_path)
    two_stages.add(report, *tables)
    return {claim.name: claim.verdict for claim in report.claims}, report.claims


def test_claims_follow_the_tables(tmp_path):
    found, claims = verdicts(tmp_path, choices(), requests(), errors())
    assert len(found) == 8 + 1 + 4
    assert found["testing every arm earns more than adding lifts (Eq 9), today's cost"] == "holds"
    same = "testing every arm earns more than the fitted surface"
    assert found[f"{same}, today's cost"] == "no difference"
    assert (
        found[
            "testing every arm earns more than adding lifts, that of candidates too, today's cost"
        ]
        == "holds"
    )
    assert {claim.covers for claim in claims} == {LIKE_SYSTEM}
    assert set(found.values()) == {"holds", "no difference"}


def test_noise_decides_nothing_and_worse_does_not_hold(tmp_path):
    found, claims = verdicts(tmp_path, choices(1), requests(1, lift=-0.003), errors(1))
    assert found["testing every arm earns more than the fitted surface, today's cost"] == (
        "cannot be tested"
    )
    assert found[
        "choosing sizes of Pre-ranking by request earns more than one option for all of the same "
        "cost"
    ] == ("does not hold")
    assert found[claims[8].name] == "cannot be tested"  # one draw has no error of its own
    assert {claim.covers for claim in claims} == {THIS_SYSTEM}


def test_values_are_the_claims_numbers():
    values = two_stages.values(choices(), requests(), errors())
    assert values["draws"] == 3 and values["loss"][surface.EVERY_ARM][0] == 0
    assert values["error of untested arms"][surface.FITTED] == pytest.approx(0.001)


def test_a_difference_of_nothing_says_why(tmp_path):
    alike = choices(spread=0.0).assign(loss=0.0, loss_se=0.0)
    _, claims = verdicts(tmp_path, alike, requests(), errors())
    assert claims[2].verdict == "cannot be tested" and claims[2].interval == [None, None]
    assert claims[2].source.endswith("both chose the same arms throughout")
    _, claims = verdicts(tmp_path, choices(1), requests(1), errors(1))
    assert claims[0].source.endswith("the choices held fixed")
