"""The page: what it computes is what Python computes, in a real browser; what it tells."""

import base64
import json
import re

import numpy as np
import pytest

from lib.infra.intervals import interval_bounds
from lib.run.decide.draws import read_draws
from lib.run.decide.page import decision, page_sliders, sizes_of_page, write_page
from lib.run.decide.question import ask
from tests.run.decide import tables
from tests.run.decide.browser import Page, needs_browser, opened
from tests.run.decide.tables import finished, next_measurements, written


@pytest.fixture
def asked(tmp_path):
    (tmp_path / "given").mkdir()
    return ask(written(tmp_path / "given", prices={"currency": "EUR"}))


def payload(html):
    text = re.search(r'<script type="application/json" id="report">(.*?)</script>', html, re.S)
    return json.loads(text.group(1))


def test_the_page_stands_by_itself(asked, tmp_path):
    jobs = finished(tmp_path)
    next_measurements().to_csv(jobs[1].output / "next_measurements.csv", index=False)
    html = write_page(asked, jobs)
    page = Page(html)
    assert page.sources and all(source.startswith("data:") for source in page.sources)
    assert len(set(page.ids)) == len(page.ids) and set(page.labels) <= set(page.ids)
    assert not re.search(r"https?://(?!www\.w3\.org)", html)
    assert str(tmp_path) not in html
    assert "A/B test of [110, 64, 1]" in page.text and "9,950" in page.text
    assert "Answer of 04_roi_design <b>" in page.text  # as text, not as a tag
    assert "R/R* rises" in page.text
    assert asked.digests["costs"][1] in page.text
    assert "40,000 EUR of revenue an hour, 100 machines at 2.5 EUR an hour" in page.text


def test_the_same_bytes_for_the_same_input(asked, tmp_path):
    assert write_page(asked, finished(tmp_path / "a")) == write_page(
        asked, finished(tmp_path / "b")
    )


def test_revenue_over_the_horizon_is_that_of_the_draws(asked, tmp_path):
    """Growth changes it; what the reader gave is still told as given."""
    html = write_page(asked, finished(tmp_path, revenue_per_hour=np.array(44000.0)))
    revenue = {slider["name"]: slider["values"] for slider in payload(html)["sliders"]}
    assert 44000.0 in revenue["revenue_per_hour"]
    assert "40,000 EUR of revenue an hour" in Page(html).text


def test_no_further_measurement(asked, tmp_path):
    assert "No further measurement was ranked." in Page(write_page(asked, finished(tmp_path))).text


def test_texts_of_the_reader_s_cannot_end_the_script(tmp_path):
    (tmp_path / "given").mkdir()
    name = "</script><script>alert(1)</script>"
    question = ask(written(tmp_path / "given", prices={"currency": name}))
    html = write_page(question, finished(tmp_path))
    assert name not in html and payload(html)["currency"] == name


def test_draws_arrive_as_they_were(asked, tmp_path):
    jobs = finished(tmp_path)
    held = payload(write_page(asked, jobs))
    draws = read_draws(jobs[1].output / "draws.npz")
    kept = sizes_of_page(draws, asked, page_sliders(asked))
    values = np.frombuffer(base64.b64decode(held["machine_cost_draws"]), "<f4")
    np.testing.assert_array_equal(values.reshape(-1, len(kept)), draws.machine_cost_draws[:, kept])
    assert held["sizes"] == draws.size_parameters[kept].tolist()
    assert kept[held["base"]] == draws.base


def test_sliders_hold_the_reader_s_own_values(asked):
    for slider in page_sliders(asked):
        values = slider["values"]
        assert values[slider["start"]] == asked.values[slider["name"]]
        assert values == sorted(set(values))


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"roi_min": 3.0, "confidence": 0.6},
        {"roi_min": 0.0, "price_per_hour": 7.5},
        {"revenue_per_hour": 13300.0, "price_per_hour": 5.0, "confidence": 0.99},
    ],
)
@pytest.mark.parametrize("roi", ["incremental", "total"])
def test_the_browser_computes_what_python_does(tmp_path, wanted, roi):
    (tmp_path / "given").mkdir()
    question = ask(written(tmp_path / "given", prices={"roi": roi}))
    jobs = finished(tmp_path)
    path = tmp_path / "report.html"
    path.write_text(write_page(question, jobs), encoding="utf-8")
    address = "#" + "&".join(f"{name}={value}" for name, value in wanted.items())
    page = opened(path, tmp_path, address)
    # What the sliders stand at: the values nearest to the wanted ones.
    setting = {
        slider["name"]: min(slider["values"], key=lambda value: abs(value - wanted[slider["name"]]))
        for slider in page_sliders(question)
        if slider["name"] in wanted
    }
    draws = tables.draws()
    whole = decision(read_draws(jobs[1].output / "draws.npz"), question, **setting)
    chosen, base = whole.choice, int(draws["base"])
    assert page.attributes["body"]["data-choice"] == str(draws["size_parameters"][chosen].tolist())
    assert page.data["regret"] == pytest.approx(whole.regret[chosen], rel=1e-9, abs=1e-9)
    assert page.data["holds"] == pytest.approx(whole.probability_of_bound[chosen])
    assert page.data["best"] == pytest.approx(whole.table().share_best[chosen])
    assert page.data["near"] == pytest.approx(whole.near_best[chosen])
    revenue, cost = (
        values[chosen] - values[base] for values in (whole.expected_revenue, whole.expected_cost)
    )
    assert page.data["revenue"] == pytest.approx(revenue, rel=1e-9, abs=1e-9)
    assert page.data["cost"] == pytest.approx(cost, rel=1e-9, abs=1e-9)
    assert page.data["net"] == pytest.approx(revenue - cost, rel=1e-9, abs=1e-9)
    low, high = interval_bounds(whole.revenue_of(chosen) - whole.revenue_of(base), 0.9)
    assert page.data["revenue-low"] == pytest.approx(low, rel=1e-9, abs=1e-9)
    assert page.data["revenue-high"] == pytest.approx(high, rel=1e-9, abs=1e-9)
