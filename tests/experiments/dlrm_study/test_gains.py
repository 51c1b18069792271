"""Gains by doubling, by hand: two draws, so that Student's interval is sd x 6.31 / sqrt 2."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.experiments.dlrm_study import gains
from tests.experiments.dlrm_study.made_table import grid, table

T = stats.t(1).ppf(0.95)


def of_draws(points):
    """A table of (way, factor, samples) -> the losses of its draws."""
    return table(
        {
            (*key, draw, 0): loss
            for key, losses in points.items()
            for draw, loss in enumerate(losses)
        }
    )


@pytest.fixture
def measured():
    return of_draws(
        {
            ("rows", 1, 100): (0.8, 0.5),
            ("rows", 1, 200): (0.76, 0.45),  # 5 % and 10 % less
            ("rows", 2, 100): (0.76, 0.485),  # 5 % and 3 % less
            ("rows", 4, 100): (0.72, 0.45),  # 10 % and 10 % less, by two doublings
            ("width", 1, 100): (0.8, 0.5),
            ("width", 1, 200): (0.76, 0.45),
            ("width", 2, 100): (0.8, 0.5),
        }
    )


def row(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    (found,) = frame.itertuples()
    return found


def test_gains_by_hand(measured):
    got = gains.gains(measured)
    assert got[["way", "factor", "samples"]].values.tolist() == [
        ["rows", 2.0, 100],
        ["rows", 4.0, 100],
        ["width", 2.0, 100],
        ["data", 2.0, 100],
    ]
    rows, four = row(got, way="rows", factor=2), row(got, way="rows", factor=4)
    assert rows.gain == pytest.approx(0.04) and rows.draws == 2
    assert [rows.low, rows.high] == pytest.approx([0.04 - T * 0.01, 0.04 + T * 0.01])
    assert [four.gain, four.low, four.high] == pytest.approx([0.05] * 3)  # a doubling
    data, width = row(got, way="data"), row(got, way="width")
    assert [data.gain, data.high] == pytest.approx([0.075, 0.075 + T * 0.025])
    assert [width.gain, width.low, width.high] == [0, 0, 0]


def test_what_doublings_cost(measured):
    """The base: 200 FLOPs a sample, 3 times that to train; 64 x 8 embeddings."""
    got = gains.gains(measured)
    rows, width, data = (row(got, way=way, factor=2) for way in ("rows", "width", "data"))
    assert (rows.extra_flops, rows.extra_bytes, rows.extra_traffic) == (0, 4 * 64 * 8, 0)
    assert width.extra_flops == 3 * 50 * 100 and width.extra_traffic == 50 * 8
    assert (data.extra_flops, data.extra_samples, data.extra_bytes) == (3 * 200 * 100, 100, 0)
    assert row(got, way="rows", factor=4).extra_bytes == 3 * 4 * 64 * 8


def test_returns_rank_by_gain_per_flop(measured):
    got = gains.returns(gains.gains(measured), 100)
    assert got.way.tolist() == ["data", "width", "rows"]  # what costs no FLOPs has no such figure
    data, rows = row(got, way="data"), row(got, way="rows")
    assert data.gain_per_flops == pytest.approx(0.075 / 60_000)
    assert data.gain_per_samples == pytest.approx(0.075 / 100)
    assert np.isnan([rows.gain_per_flops, rows.gain_per_samples, data.gain_per_bytes]).all()
    assert rows.gain_per_bytes == pytest.approx(0.04 / 2048)
    four = gains.returns(gains.gains(measured), 100, factor=4.0)
    assert row(four, way="rows").gain_per_bytes == pytest.approx(2 * 0.05 / (3 * 2048))


def test_out_of_steam_by_hand(measured):
    got = gains.out_of_steam(measured, 100)
    rows, width = row(got, way="rows"), row(got, way="width")
    assert rows.gain == pytest.approx(0.04)
    assert [rows.ratio, rows.ratio_low] == pytest.approx([0.65, 0.65 - T * 0.35])  # 1 and .3
    assert [rows.less_than_data, rows.less_high] == pytest.approx([0.035, 0.035 + T * 0.035])
    assert width.less_than_data == pytest.approx(0.075)


@pytest.mark.parametrize(
    ("falls", "verdict"),
    [
        ((0.1e-4, 0.1e-4), True),  # the whole interval below what counts
        ((-1e-3, -1e-3), True),
        ((1e-3, 1.01e-3), False),
        ((0.0, 4e-3), None),
        ((1e-5,), None),  # of one draw, no interval
    ],
)
def test_a_way_is_out_of_steam_where_the_whole_interval_says_so(falls, verdict):
    draws = len(falls)
    points = {("rows", 1, 100): [0.5] * draws, ("rows", 1, 200): [0.49] * draws}
    points["rows", 2, 100] = [0.5 * (1 - fall) for fall in falls]
    (found,) = gains.out_of_steam(of_draws(points), 100).out_of_steam
    assert found is verdict


def test_a_way_without_a_doubling_has_no_verdict(measured):
    less = measured[(measured.way != "width") | (measured.factor == 1)]
    assert gains.out_of_steam(less, 100).way.tolist() == ["rows"]


def test_seeds_are_one_draw():
    """Two seeds of a draw are averaged first: intervals are over draws."""
    made = grid(
        {"rows": [1, 2]},
        [100, 200],
        lambda way, factor, samples, draw, seed: 0.5 + 0.1 * seed - 0.06 * (factor == 2),
        seeds=2,
    )
    rows = row(gains.gains(made), way="rows", samples=100)
    assert rows.draws == 3 and [rows.gain, rows.low, rows.high] == pytest.approx([0.06 / 0.55] * 3)


def test_the_loss_of_true_probabilities_comes_first(measured):
    assert gains.loss_column(measured) == "expected_normalised_entropy"
    real = measured.drop(columns="expected_normalised_entropy")
    assert gains.loss_column(real) == "normalised_entropy"
    partly = measured.assign(
        expected_normalised_entropy=measured.expected_normalised_entropy.where(measured.draw == 0)
    )
    assert gains.loss_column(partly) == "normalised_entropy"


def test_last_common_is_of_what_was_measured_least():
    """Of doublings alone: 200 samples for rows, 100 for data, whatever four times the rows have."""
    frame = pd.DataFrame(
        [("rows", 2, 100), ("rows", 2, 200), ("rows", 4, 50), ("data", 2, 50), ("data", 2, 100)],
        columns=["way", "factor", "samples"],
    )
    assert gains.last_common(frame) == 100


def test_architectures_by_hand():
    points = {("rows", 1, n, draw, 0): 0.6 + 0.1 * draw for n in (100, 200) for draw in (0, 1)}
    dlrm = table(points | {("rows", 2, 100, 0, 0): 0.1, ("rows", 1, 400, 0, 0): 0.1})
    better = table({key: loss - 0.01 for key, loss in points.items()}, family="dcn_v2")
    worse = table(
        {key: loss + 0.02 + 0.01 * key[3] for key, loss in points.items() if key[2] == 200},
        family="mlp",
        auc=0.7,
    )
    got = gains.architectures(pd.concat([dlrm, worse, better], ignore_index=True))
    assert got.family.tolist() == ["dcn_v2", "dlrm", "mlp"]
    assert set(got.samples) == {200}
    assert got.loss.tolist() == pytest.approx([0.64, 0.65, 0.675])
    # Paired by draw, so that the level of a draw is in no difference.
    assert got.better.tolist() == pytest.approx([0.01, 0, -0.025])
    assert [got.better_low[0], got.better_high[0]] == pytest.approx([0.01, 0.01])
    assert got.better_high[2] == pytest.approx(-0.025 + T * 0.005)
    assert got.high[1] == pytest.approx(0.65 + T * 0.05) and got.auc[2] == 0.7


def test_options_name_sizes_and_today(measured):
    got = gains.options(measured, 200)
    assert set(got.option) == {"base", "rows x 2", "rows x 4", "width x 2"}
    base = got[got.option == "base"]
    assert sorted(base.samples) == [100, 100, 200, 200]  # once, though it stands in both ways
    assert got[got.today].samples.tolist() == [200, 200] and set(base.way) == {"data"}
    wide = got[(got.option == "width x 2") & (got.draw == 1)].iloc[0]
    assert wide.revenue == 1.5 and wide.training_flops_a_sample == 3 * 250
    assert (wide.embedding_parameters, wide.serving_bytes) == (64 * 16, 160)
