"""The map: which streams, what four times each resource gives there, and who wins."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.experiments.dlrm_study import worlds
from lib.experiments.dlrm_study.streams import Stream
from lib.experiments.dlrm_study.worlds import SCALED, TURNED, cell_gains, cells, where_data_wins
from tests.experiments.dlrm_study.made_table import table
from tests.experiments.dlrm_study.small_streams import BASE, PLAN

T = stats.t(1).ppf(0.95)


def test_halves_cross_at_the_study_s_stream():
    given = {"popularity_exponent": 1.0, "noise": 0.1}
    got = cells(given, [0.5, 1.0], [1.0, 2.0], [0.0, 1e4], [0.1, 0.5])
    keys = [tuple(cell[name] for name in TURNED) for cell in got]
    assert keys == [
        (0.5, 1.0, 0.0, 0.1),
        (0.5, 2.0, 0.0, 0.1),
        (1.0, 1.0, 0.0, 0.1),  # the study's own, in both halves once
        (1.0, 2.0, 0.0, 0.1),
        (1.0, 1.0, 0.0, 0.5),
        (1.0, 1.0, 1e4, 0.1),
        (1.0, 1.0, 1e4, 0.5),
    ]


def of_cells(losses):
    """A table of `survey`: cell -> (base, four times the data, four times each part) by draw."""
    frames = []
    for cell, (base, data, parts) in losses.items():
        points = {}
        for draw in range(len(base)):
            points["data", 1, 100, draw, 0] = base[draw]
            points["data", 1, 400, draw, 0] = data[draw]
            for way, loss in zip(SCALED, parts, strict=True):
                points[way, 4, 100, draw, 0] = loss[draw]
        turned = dict.fromkeys(TURNED, 0.5) | {"noise": cell / 10}
        frames.append(table(points).assign(cell=cell, **turned))
    return pd.concat(frames, ignore_index=True)


def test_gains_of_a_cell_by_hand():
    """Two draws: data gain 10 and 20 %, rows 5 and 5, width 8 and 10, MLPs nothing."""
    surveyed = of_cells({3: ((1.0, 0.5), (0.9, 0.4), [(0.95, 0.475), (0.92, 0.45), (1.0, 0.5)])})
    got = cell_gains(surveyed).set_index("way")
    assert list(got.index) == ["data", *SCALED] and set(got.samples) == {100}
    assert got.gain.tolist() == pytest.approx([0.15, 0.05, 0.09, 0.0])
    assert [got.low["data"], got.high["data"]] == pytest.approx([0.15 - T * 0.05, 0.15 + T * 0.05])
    # Paired: data less rows is 5 and 15 %.
    assert [got.less_than_data["rows"], got.less_low["rows"]] == pytest.approx(
        [0.1, 0.1 - T * 0.05]
    )
    (found,) = where_data_wins(got.reset_index(), surveyed).itertuples()
    assert (found.cell, found.best, found.noise) == (3, "width", 0.3)
    assert found.ratio == pytest.approx(0.09 / 0.15) and found.verdict == "undecided"


@pytest.mark.parametrize(
    ("data", "width", "verdict", "ratio"),
    [
        ((0.9, 0.9), (0.95, 0.96), "data", 0.45),
        ((0.97, 0.98), (0.9, 0.9), "parameters", 4.0),
        ((0.9, 0.9), (0.85, 0.95), "undecided", 1.0),
        ((0.9999, 0.9999), (0.99995, 0.99995), "nothing", 0.5),
        ((1.01, 1.01), (1.0, 1.0), "nothing", np.inf),  # more data do harm
    ],
)
def test_verdicts(data, width, verdict, ratio):
    bad = (1.01, 1.01)
    surveyed = of_cells({0: ((1.0, 1.0), data, [bad, width, bad])})
    (found,) = where_data_wins(cell_gains(surveyed), surveyed).itertuples()
    assert (found.verdict, found.best) == (verdict, "width")
    assert found.ratio == pytest.approx(ratio)


def test_of_one_draw_nothing_is_decided():
    surveyed = of_cells({0: ((1.0,), (0.5,), [(0.9,)] * 3)})
    assert where_data_wins(cell_gains(surveyed), surveyed).verdict.tolist() == ["undecided"]


def test_a_survey_trains_the_base_for_four_times_as_long(tmp_path, monkeypatch):
    """Each cell on streams of its own; scaled sizes stop at a quarter."""
    asked = {}

    def streams(parameters, seeds, rows, folder, **options):
        asked.update(parameters=parameters, rows=rows)
        return [
            [Stream(f"{number}-{seed}", draw) for draw, seed in enumerate(seeds)]
            for number in range(len(parameters))
        ]

    def run(trainings, folder, **options):
        asked["trainings"] = trainings
        return pd.DataFrame(
            [
                {"data": s.data, "draw": s.draw, "way": t.way, "samples": mark}
                for t in trainings
                for s in t.streams
                for mark in t.plan.marks
            ]
        )

    monkeypatch.setattr(worlds, "simulated_streams", streams)
    monkeypatch.setattr(worlds, "run", run)
    both = cells({}, [0.5, 2.0], [1.0], [], [])
    plan = PLAN.with_marks([64, 128, 256])
    got = worlds.survey(both, {"fields": 4}, BASE, plan, [5, 6], lambda size: (0.3, 0.1), tmp_path)
    assert asked["parameters"] == [{"fields": 4, **cell} for cell in both]
    assert asked["rows"] == 256 + PLAN.validation_rows
    trainings = asked["trainings"]
    assert [(t.way, t.factor, list(t.plan.marks)) for t in trainings[:4]] == [
        ("data", 1, [64, 128, 256]),
        *((way, 4, [64]) for way in SCALED),
    ]
    assert trainings[1].size == BASE | {"rows": 128}
    assert {t.learning_rates for t in trainings} == {(0.3, 0.1)} and len(trainings) == 8
    assert got.groupby("cell").data.unique().map(list).to_dict() == {
        0: ["0-5", "0-6"],
        1: ["1-5", "1-6"],
    }
    assert got.groupby("cell").popularity_exponent.unique().map(list).to_dict() == {
        0: [0.5],
        1: [2.0],
    }
