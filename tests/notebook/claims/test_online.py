"""What notebook 07 says follows from its numbers; every claim can hold, fail, or stay open."""

import pytest

from lib.notebook.claims import online as claims
from lib.notebook.report import LIKE_SYSTEM, Report
from tests.notebook import made_online as made


def add(tmp_path, **changes):
    """Verdicts by the claims' names."""
    report = Report("07_online_pipeline", tmp_path)
    tables = {
        "costs": made.costs(),
        "anew": made.costs(),
        "drift": made.drift(),
        "slopes": made.slopes(),
        "late": made.late(),
        "closed": made.closed(),
    }
    names = {"base": "24-8", "freshest": "5 min", "served": "20 min", "day": "1440 min"}
    claims.add(report, **tables | changes, **names, draws=3)
    assert {claim.covers for claim in report.claims} == {LIKE_SYSTEM}
    return {claim.name: claim.verdict for claim in report.claims}


def test_each_claim_follows_from_its_interval(tmp_path):
    verdicts = add(tmp_path)
    assert len(verdicts) == 14
    assert verdicts["exports every 20 min lose R/R* against every 5 min"] == "no difference"
    assert verdicts["exports every 1 day lose R/R* against every 5 min"] == "holds"
    assert verdicts["training anew each day loses revenue against training online"] == "holds"
    assert verdicts["R/R* grows with FLOPs online"] == "holds"
    same = "a doubling of FLOPs gives more R/R* online than it did offline"
    assert verdicts[same] == "no difference"
    assert verdicts["all gradients 64 steps late lose R/R*"] == "holds"
    assert verdicts["the embeddings' gradients 64 steps late lose R/R*"] == "no difference"


@pytest.mark.parametrize(
    ("changes", "part", "verdict"),
    [
        ({"drift": made.drift(-0.02)}, "where the world drifts", "does not hold"),
        ({"drift": made.drift(0.0)}, "where the world drifts", "cannot be tested"),
        ({"slopes": made.slopes(online=-0.01)}, "grows with FLOPs", "does not hold"),
        ({"slopes": made.slopes(staleness=0.01)}, "bigger models lose more", "holds"),
        ({"closed": made.closed(0.0)}, "makes the log", "cannot be tested"),
        ({"anew": made.costs((0, 0, 0, 0, -0.01))}, "anew each day loses R/R*", "does not hold"),
    ],
)
def test_claims_can_fail(tmp_path, changes, part, verdict):
    found = [v for name, v in add(tmp_path, **changes).items() if part in name]
    assert found == [verdict]


def test_without_a_closed_loop_nothing_is_claimed_of_it(tmp_path):
    assert not [name for name in add(tmp_path, closed=made.closed().iloc[:0]) if "log" in name]


def test_the_answer_says_each_interval():
    costs, slopes = made.costs(), made.slopes()
    text = claims.answer(costs, slopes, "24-8", "5 min", "1440 min")
    assert "20 min 0.0000 (-0.0010 to 0.0010), 1 h 0.0020" in text and "2.00%" in text
    values = claims.values(costs, slopes, "24-8")
    assert values["costs"]["1440 min"] == 0.04 and values["slopes"]["online"] == 0.01
