"""Many trainings as one table: the longest first, equal sizes once, nothing twice."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.experiments import dlrm_study
from lib.experiments.dlrm_study import gains, resource_laws, tasks
from lib.experiments.dlrm_study import table as module
from lib.experiments.dlrm_study.streams import Stream
from lib.experiments.dlrm_study.table import (
    Training,
    counts_by_part,
    plan_trainings,
    rates_of,
    run,
    with_tuned_rates,
)
from lib.models.click_counts import click_counts
from lib.models.click_model import ClickModel
from tests.experiments.dlrm_study.small_streams import BASE, PLAN, simulated

STREAMS = [Stream("a", 0), Stream("b", 1, "b-auctions.npz")]
WAYS = dlrm_study.ways_to_scale(BASE, {"width": [2], "rows": [0.5]})
COUNTS = pd.DataFrame(
    {
        "parameters": [100, 10, 0, 20],
        "forward_flops": [0, 20, 5, 40],
        "serving_bytes": [1.0, 2.0, 3.0, 4.0],
        "training_bytes": [10.0, 20.0, 30.0, 40.0],
    },
    index=["embeddings", "bottom", "interaction", "top"],
)


@pytest.fixture
def recorded(monkeypatch):
    """Replaces trainings; the list of the tasks that were asked for.

    The loss of a width w is 1 / w, less .1 for the rates (0.4, 0.1).
    """
    asked = []

    def sweep(function, wanted, folder, **options):
        assert function is tasks.train_size
        asked.append(wanted)
        return [
            {
                "rows": [
                    {"samples": mark, "replica": r, "draw": stream["draw"], "data": stream["data"]}
                    | {"normalised_entropy": 1 / task["size"]["width"]}
                    | {"auc": 0.1 * (task["learning_rates"] == [0.4, 0.1])}
                    for stream in task["streams"]
                    for mark in task["marks"]
                    for r in range(task["replicas"])
                ],
                "counts": COUNTS.to_dict("index"),
                "seconds": 2.0,
                "samples": 300,
            }
            for task in wanted
        ]

    monkeypatch.setattr(module.sweep, "run", sweep)
    return asked


def test_what_is_planned():
    planned = plan_trainings(["mlp", "dlrm"], WAYS, STREAMS, PLAN, longest=[256])
    assert [(t.family, t.way, t.factor) for t in planned] == [
        ("dlrm", "width", 1.0),
        ("dlrm", "width", 2.0),
        ("dlrm", "rows", 0.5),
        ("dlrm", "rows", 1.0),
        ("mlp", "width", 1.0),
    ]
    # The base goes on for longer, to be asked what twice the data give.
    assert [list(t.plan.marks) for t in planned] == [
        [64, 128, 256],
        [64, 128],
        [64, 128],
        [64, 128, 256],
        [64, 128],
    ]
    assert planned[-1].size == BASE and PLAN.marks == [64, 128]


def test_equal_sizes_are_trained_once_the_longest_first(recorded):
    planned = plan_trainings(["dlrm"], WAYS, STREAMS, PLAN)
    table = run(planned, "folder")
    (asked,) = recorded
    assert [(t["size"]["width"], t["size"]["rows"]) for t in asked] == [(8, 32), (4, 32), (4, 16)]
    assert table.groupby(["way", "factor"], sort=False).size().to_dict() == {
        ("width", 1.0): 4,
        ("width", 2.0): 4,
        ("rows", 0.5): 4,
        ("rows", 1.0): 4,
    }
    np.testing.assert_array_equal(table.normalised_entropy, 1 / table.width)


def test_totals_by_hand(recorded):
    row = run([Training("dlrm", "rows", 1, BASE, STREAMS[:1], PLAN)], "folder").iloc[-1]
    assert (row.parameters, row.memory_bytes, row.embedding_parameters) == (130, 520, 100)
    assert (row.flops, row.top_flops, row.mlp_flops) == (65, 40, 60)
    assert (row.serving_bytes, row.training_bytes) == (10, 100)
    assert row.training_flops == 3 * 65 * 128 and row.samples_per_second == 150
    assert (row.seed, row.draw, row["rows"]) == (0, 0, 32)


def test_tuning_takes_the_best_rates_of_each_size(recorded, monkeypatch):
    """The wide size does best with the second rates, the others with the first."""
    sweep = module.sweep.run

    def by_rates(function, wanted, folder, **options):
        done = sweep(function, wanted, folder, **options)
        for task, result in zip(wanted, done, strict=True):
            likes = [0.4, 0.1] if task["size"]["width"] == 8 else [0.1, 0.1]
            for row in result["rows"]:
                row["normalised_entropy"] -= 0.1 * (task["learning_rates"] == likes)
        return done

    monkeypatch.setattr(module.sweep, "run", by_rates)
    planned = plan_trainings(["dlrm", "mlp"], WAYS, STREAMS, PLAN, longest=[256])
    tuned, report = with_tuned_rates(
        planned, [[0.1, 0.1], [0.4, 0.1]], Stream("tuning", 0), 64, "folder"
    )
    (asked,) = recorded
    assert len(asked) == len(report) == 2 * 4  # the base of a DLRM once, an MLP's too
    for task in asked:
        assert task["marks"] == [64] and [s["data"] for s in task["streams"]] == ["tuning"]
    assert [t.learning_rates for t in tuned] == [
        (0.4, 0.1) if t.size["width"] == 8 else (0.1, 0.1) for t in tuned
    ]
    assert [(t.way, t.factor, t.plan) for t in tuned] == [
        (t.way, t.factor, t.plan) for t in planned
    ]
    assert report.groupby(report["size"].map(str) + report.family).chosen.sum().tolist() == [1] * 4
    chosen = report[report.chosen & (report.family == "dlrm")]
    assert dict(zip(chosen["size"].map(lambda s: s["width"]), chosen.loss)) == pytest.approx(
        {4: 1 / 4 - 0.1, 8: 1 / 8 - 0.1}
    )


def test_of_one_candidate_nothing_is_trained(recorded):
    planned = plan_trainings(["dlrm"], WAYS, STREAMS, PLAN)
    tuned, report = with_tuned_rates(planned, [[0.3, 0.2]], None, 64, "folder")
    assert not recorded and report.empty
    assert {t.learning_rates for t in tuned} == {(0.3, 0.2)}


def test_several_rates_need_a_stream_of_their_own(recorded):
    planned = plan_trainings(["dlrm"], WAYS, STREAMS, PLAN)
    with pytest.raises(ValueError, match=r"a stream to choose on .* give one pair; got .*0\.3"):
        with_tuned_rates(planned, [[0.3, 0.2], [0.1, 0.2]], None, 64, "folder")
    assert not recorded


def test_a_size_has_the_rates_of_the_most_like_it():
    def training(family, rates, **changes):
        return Training(family, "rows", 1, BASE | changes, STREAMS, PLAN, rates)

    trainings = [
        training("mlp", (9, 9)),
        training("dlrm", (1, 1)),
        training("dlrm", (2, 2), width=16),
        training("dlrm", (3, 3), top=[32]),
    ]
    assert rates_of(trainings, BASE) == (1, 1)
    assert rates_of(trainings, BASE | {"width": 12}) == (2, 2)  # log2: nearer to 16 than to 4
    assert rates_of(trainings, BASE | {"top": [64], "width": 8}) == (3, 3)


def test_counts_by_part_are_the_model_s(streams):
    got = counts_by_part(BASE, streams[0]).set_index("part")
    fields = [(f"f{i}", 1000) for i in range(4)]
    want = click_counts(ClickModel("dlrm", fields, ["a", "b"], **BASE))
    pd.testing.assert_frame_equal(got.drop(index="whole"), want, check_dtype=False)
    np.testing.assert_allclose(got.loc["whole"], want.sum())


@pytest.fixture(scope="module")
def swept(tmp_path_factory, streams):
    """(folder, trainings, report of the tuning, table): two sizes with rates of their own."""
    folder = tmp_path_factory.mktemp("sweep")
    ways = dlrm_study.ways_to_scale(BASE, {"rows": [2]})
    planned = plan_trainings(["dlrm"], ways, streams, PLAN)
    (tuning,) = simulated(folder, seeds=[9])
    trainings, report = with_tuned_rates(
        planned, [[0.2, 0.1], [0.05, 0.01]], tuning, 64, folder, n_jobs=1
    )
    return folder, trainings, report, run(trainings, folder, n_jobs=1)


@pytest.mark.slow
def test_a_small_sweep_from_end_to_end(swept, streams):
    _, _, report, table = swept
    assert report.groupby(report["size"].map(str)).chosen.sum().tolist() == [1, 1]
    assert report.loss[report.chosen].max() <= report.loss.max()
    assert table[["factor", "samples", "draw"]].values.tolist() == [
        [factor, mark, draw] for factor in (1, 2) for draw in (0, 1) for mark in (64, 128)
    ]
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()
    assert set(table.data) == {stream.data for stream in streams}
    # Twice the rows of four tables of width 4, and not a FLOP more.
    base, large = (table[table.factor == factor].iloc[0] for factor in (1, 2))
    assert large.parameters - base.parameters == 4 * 32 * 4 and large.flops == base.flops
    assert gains.gains(table).way.tolist() == ["rows", "rows", "data"]
    assert gains.options(table, 128).today.sum() == 2
    assert resource_laws.joint_laws(table, 0).empty


@pytest.mark.slow
def test_a_second_run_trains_nothing(swept, streams, monkeypatch):
    folder, trainings, _, table = swept

    def train(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(tasks, "train_progressively", train)
    pd.testing.assert_frame_equal(run(trainings, folder, n_jobs=1), table)
    other = [dataclasses.replace(trainings[0], learning_rates=(0.3, 0.1))]
    with pytest.raises(AssertionError, match="trained again"):
        run(other, folder, n_jobs=1)
