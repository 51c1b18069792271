"""Every committed benchmark can be shown, and says which of its targets were missed."""

import json

import pytest

from docs.benchmarks_shown import BENCH, markdown_table, number
from tests import ROOT

ROW = {
    "figure": "a|b",
    "unit": "ms",
    "ours": 12.345,
    "low": 10.0,
    "high": 15000.0,
    "baseline": 20.0,
    "baseline_name": "theirs",
    "target": 10.0,
    "better": "lower",
    "met": False,
}


def test_a_row_by_hand(tmp_path):
    rows = {"machine": {"cpu": "CPU", "cores": 2}, "rows": [ROW]}
    (tmp_path / "made.json").write_text(json.dumps(rows))
    lines = markdown_table("made", tmp_path).splitlines()
    assert lines[2] == r"| a\|b | 12.3 (10 to 15,000) | ms | 20 theirs | at most 10 | **missed** |"
    assert lines[-1] == "*Measured on: CPU, 2 cores.*"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "none"), (0, "0"), (0.97557, "0.976"), (-1234.5, "-1,230"), (2e-7, "2e-07")],
)
def test_numbers_have_three_digits(value, shown):
    assert number(value) == shown


def test_every_benchmark_is_on_the_page():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for path in BENCH.glob("*.json"):
        assert f"```{{benchmark}} {path.stem}\n" in page
        rows = json.loads(path.read_text())["rows"]
        assert markdown_table(path.stem).count("\n| ") == len(rows) + 1
