"""The command, from tables to the page, by the notebooks themselves."""

import json

import pandas as pd
import pytest

from lib.__main__ import main
from tests.run.decide import tables
from tests.run.decide.browser import CHROMIUM, Page, opened
from tests.run.decide.tables import written


def test_a_question_that_cannot_be_answered_ends_in_one_line(tmp_path, capsys):
    path = written(tmp_path, ab_tests=tables.ab_tests(revenue_lift="0.85%"))
    assert main(["decide", str(path), "--folder", str(tmp_path / "mine")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("decide: ") and "column 'revenue_lift', row 0" in line
    assert not (tmp_path / "mine").exists()


def test_no_such_file(tmp_path, capsys):
    assert main(["decide", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml: cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.slow
def test_from_tables_to_the_page(tmp_path, capsys):
    """A known law and a known G: the interval of what the choice earns holds what is true."""
    path = written(tmp_path, prices={"budget": 100.0}, scenarios=tables.scenarios())
    folder = tmp_path / "mine"
    command = ["decide", str(path), "--folder", str(folder), "-p", "draws", "200"]
    assert main(command) == 0
    report = folder / "report.html"
    html = report.read_text(encoding="utf-8")
    assert len(html) < 5e6 and str(tmp_path) not in html
    assert main(command) == 0  # runs nothing again
    assert report.read_text(encoding="utf-8") == html
    assert "running" not in capsys.readouterr().out
    assert "home [16, 4, 1] 1,010 40 no search [32, 4, 1] 2,060 60 no" in Page(html).text
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    page = opened(report, tmp_path)
    choice = page.attributes["body"]["data-choice"]
    results = folder / "outputs/decision/04_roi_design"
    summary = json.loads((results / "summary.json").read_text())
    assert f"{json.loads(choice)} earns most" in summary["answer"]
    row = pd.read_csv(results / "decision.csv").set_index("size_parameters").loc[choice]
    # Draws are kept in single precision.
    assert page.data["regret"] == pytest.approx(row.regret, rel=1e-4, abs=1e-3)
    assert page.data["holds"] == pytest.approx(row.probability_of_bound)
    assert page.data["revenue"] == pytest.approx(row.expected_revenue, rel=1e-5)
    gain = tables.metric(row.flops) - tables.metric(tables.FLOPS[3])
    true = tables.PRICES["revenue_per_hour"] * tables.GAIN * gain
    assert page.data["revenue-low"] < true < page.data["revenue-high"]
    # 04 counts "best in" over all sizes, the page over those it holds: the same.
    assert page.data["best"] == pytest.approx(row.share_best)
