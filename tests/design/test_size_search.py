"""The few-measurement search on synthetic grids, and replays on a synthetic table."""

import functools

import numpy as np
import pandas as pd
import pytest

from benchmarks.cost_grid import (
    BASE,
    SOLVED,
    Measured,
    measured_sizes,
    replay,
    revenue_beyond_base,
    sub_grid,
)
from lib.cost.device import CPU_CORE
from lib.cost.roofline import Roofline
from lib.design.size_search import (
    DOUBTED,
    DOUBTED_BASE,
    FIRST,
    REPEATED,
    Goal,
    Requests,
    SearchResult,
    first_sizes,
    measure_with,
    search,
    sizes_with_base,
)
from lib.infra.timings import Timings
from lib.models.flop_count import matrix_flops
from lib.serving.queueing import load_at_limit

REQUESTS = Requests(candidates=300, latency_limit_ms=100.0, workers=2)
SIZES = sub_grid(60)
BASE_INDEX = SIZES.tolist().index(BASE)


class Machine:
    """Serves at the analytic model's times, but for noise and a bend it does not know."""

    def __init__(self, seed=0, noise=0.03, bend=0.1):
        rng = np.random.default_rng(seed)
        factors = {"request": 2.0, "launch": 1.5, "weights": 0.7, "activations": 1.3}
        ms = Roofline(CPU_CORE, factors).predict(SIZES, REQUESTS.form, REQUESTS.candidates)
        logs = np.log2(SIZES[:, :5])
        waves = (logs - logs.mean(axis=0)) @ rng.normal(size=5) / 2
        self.ms = ms * np.exp(bend * np.sin(waves))
        self.qps = load_at_limit(self.ms, REQUESTS.latency_limit_ms, workers=2)
        self.asked, self._rng, self._noise = [], rng, noise

    def __call__(self, size):
        self.asked.append(SIZES.tolist().index(size))
        return {"qps": float(self.qps[self.asked[-1]] * np.exp(self._rng.normal(0, self._noise)))}


@functools.cache
def goal(roi_min=1.0):
    return Goal(revenue_beyond_base(matrix_flops(SIZES)), BASE_INDEX, 100.0, 1.0, roi_min)


def found(machine, budget=8, roi_min=1.0, **options):
    return search(SIZES, goal(roi_min), machine, REQUESTS, budget=budget, progress=False, **options)


def test_goal_by_hand():
    """10 machines of 100 QPS; a size of 50 QPS needs 10 more, one of 80 QPS 2.5 more."""
    one = Goal(np.array([0.0, 8.0, 6.0]), 0, 10.0, 2.0, 1.0)
    qps = np.array([100.0, 50.0, 80.0])
    assert one.cost(qps).tolist() == [0, 20, 5]
    assert one.value(qps).tolist() == [0, -np.inf, 6]
    assert one._replace(roi_min=None).value(qps).tolist() == [0, -12, 1]
    assert one.value(np.array([100.0, 50.0, 0.0])).tolist() == [0, -np.inf, -np.inf]


def test_paper_revenue():
    """0 for the base, 0.85 % of 10,000 for the paper's size, rising with FLOPs."""
    revenue = revenue_beyond_base(np.array([7602688, 12600320, 35128320, 46e6]))
    assert revenue[0] == 0
    assert revenue[2] == pytest.approx(85)
    assert (np.diff(revenue) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("roi_min", [1.0, None])
def test_finds_the_optimum_of_an_exact_machine(roi_min):
    machine = Machine(noise=0.0, bend=0.0)
    value = goal(roi_min).value(machine.qps)
    result = found(machine, budget=10, roi_min=roi_min)
    assert value[result.best] >= 0.99 * value.max()
    assert len(result.rows) == len(machine.asked) <= 10


@pytest.mark.slow
def test_noise_and_a_bend_seldom_cost_anything():
    """8 of 60 measurements. Sizes near the best one are worth 10 % less: a coarse grid."""
    gaps = []
    for seed in range(4):
        machine = Machine(seed)
        truth = goal().value(machine.qps)
        gaps.append(1 - goal().revenue[found(machine, seed=seed).best] / truth.max())
    assert sorted(gaps)[2] <= 0.01


@pytest.mark.parametrize("budget", [4, 5, 7])
def test_budget_is_a_bound_and_only_measured_sizes_are_chosen(budget):
    machine = Machine()
    result = found(machine, budget=budget, probability_best=1.0, tolerance=0.0)
    assert len(machine.asked) == len(result.rows) <= budget
    assert result.best in machine.asked
    assert machine.asked[0] == BASE_INDEX


def test_same_seed_same_search():
    one, other = Machine(), Machine()
    assert found(one, seed=3)[:4] == found(other, seed=3)[:4]
    assert one.asked == other.asked


def test_goes_on_from_rows():
    whole, broken = Machine(noise=0.0), Machine(noise=0.0)
    result = found(whole, budget=8, seed=1)
    again = found(broken, budget=8, seed=1, rows=result.rows[:3])
    assert again.best == result.best
    assert again.rows == result.rows
    assert broken.asked == whole.asked[3:]


def test_a_size_that_fails_is_never_chosen():
    """The best size ends the engine, the second best gives no number: the third is found."""
    machine = Machine(noise=0.0, bend=0.0)
    order = np.argsort(-goal().value(machine.qps)).tolist()
    tried = []

    def measure(size):
        index = SIZES.tolist().index(size)
        tried.append(index)
        if index == order[0]:
            raise MemoryError("too large")
        return {"qps": np.nan} if index == order[1] else machine(size)

    result = found(measure, budget=14)
    assert order[0] in tried and order[1] in tried
    assert result.best not in order[:2]
    failures = [row["failure"] for row in result.rows if "failure" in row]
    assert failures == ["MemoryError: too large"] * tried.count(order[0])
    value = goal().value(machine.qps)
    assert value[result.best] >= 0.97 * value[order[2]]


def test_rows_say_why_each_size_was_measured():
    result = found(Machine(), budget=12, probability_best=1.0, tolerance=0.0)
    purposes = [row["purpose"] for row in result.rows]
    assert purposes[:4] == [FIRST] * 4
    base_rows = [row for row in result.rows if row["size_parameters"] == BASE]
    assert [row["purpose"] for row in base_rows] == [FIRST] + [DOUBTED_BASE] * (len(base_rows) - 1)
    measured = [str(row["size_parameters"]) for row in result.rows]
    for place, (purpose, size) in enumerate(zip(purposes, measured, strict=True)):
        assert (size in measured[:place]) == (purpose in REPEATED)


def test_a_search_explains_repeated_measurements():
    rows = [{"size_parameters": [4, size, 1], "purpose": FIRST} for size in (1, 2, 3)]
    rows += [{"size_parameters": [4, 2, 1], "purpose": DOUBTED}] * 2
    rows += [{"size_parameters": [4, 1, 1], "purpose": DOUBTED_BASE}]
    result = SearchResult(1, 0.58, 3.0, False, rows, None)
    assert result.explain().startswith(
        "6 measurements of 3 sizes. 3 of them measured a size once more (the best size so far: 2, "
        "the base: 1): whether"
    )
    assert result.explain().endswith("with a probability of 0.58.")
    assert "the budget was spent" in result.explain()
    settled = result._replace(rows=rows[:3], enough=True).explain()
    assert "once more" not in settled and "the asked probability was reached" in settled


def test_a_base_that_is_not_in_the_grid_is_put_in_front():
    sizes, base = sizes_with_base(SIZES, BASE)
    assert sizes is SIZES and base == BASE_INDEX
    own = [2048, 512, 256, 128, 64, 1]
    sizes, base = sizes_with_base(SIZES, own)
    assert (base, len(sizes), sizes[0].tolist()) == (0, len(SIZES) + 1, own)
    np.testing.assert_array_equal(sizes[1:], SIZES)
    with pytest.raises(ValueError, match=r"base must have 6 size parameters.*got \[64, 32, 1\]"):
        sizes_with_base(SIZES, [64, 32, 1])


def counted_task(task, path):
    """A sweep's task that leaves a mark each time it is carried out."""
    with open(task["marks"], "a") as marks:
        marks.write(f"{task['size_parameters']} {task['repeat']}\n")
    return {"qps": float(task["repeat"])}


def test_measurements_are_kept_and_repeats_are_measurements_of_their_own(tmp_path):
    task = {"marks": str(tmp_path / "marks")}
    first, second = (measure_with(Timings(tmp_path), counted_task, task) for _ in range(2))
    assert [first([4, 1]), first([4, 1]), first([8, 1])] == [{"qps": q} for q in (1, 2, 1)]
    assert [second([4, 1]), second([4, 1]), second([4, 1])] == [{"qps": q} for q in (1, 2, 3)]
    marks = (tmp_path / "marks").read_text().splitlines()
    assert marks == ["[4, 1] 1", "[4, 1] 2", "[8, 1] 1", "[4, 1] 3"]


def test_service_times_will_do():
    machine = Machine(noise=0.0)
    result = found(lambda size: {"service_ms": float(machine.ms[SIZES.tolist().index(size)])})
    assert result.best == found(Machine(noise=0.0)).best


def test_draws_of_revenue():
    """Twenty draws of a revenue that is known within 2 %."""
    sure = goal()
    factors = np.random.default_rng(0).normal(1, 0.02, (20, 1))
    unsure = sure._replace(revenue=factors * sure.revenue)
    machine = Machine(noise=0.0)
    result = search(SIZES, unsure, machine, REQUESTS, budget=8, draws=20, progress=False)
    assert sure.revenue[result.best] >= 0.97 * sure.value(machine.qps).max()


def test_first_sizes_are_apart():
    chosen = first_sizes(SIZES, BASE_INDEX, REQUESTS, CPU_CORE, 4, seed=0)
    assert chosen[0] == BASE_INDEX
    assert len(set(chosen)) == 4
    logs = np.log2(SIZES[chosen][:, [0, 1, 4]])
    assert (np.ptp(logs, axis=0) >= 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 2}, "initial must be at least 3 and at most the budget; got initial = 4"),
        ({"probability_best": 1.5}, r"probability_best must lie in 0 \.\. 1; got 1.5"),
        ({"rows": [{"size_parameters": [7, 1], "qps": 3.0}]}, r"rows hold the size \[7, 1\]"),
    ],
)
def test_search_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        found(Machine(), **options)


def test_a_base_that_cannot_be_served_is_an_error():
    with pytest.raises(ValueError, match=r"the base .* must be served; its row says .*no engine"):
        found(lambda size: {"qps": 0.0, "failure": "no engine"})


def test_too_few_sizes_that_can_be_served_are_an_error():
    """Whatever is not the base fails: the budget is spent, then it is said."""
    machine = Machine()

    def measure(size):
        if size != BASE:
            raise RuntimeError("no load passed")
        return machine(size)

    with pytest.raises(ValueError, match=r"3 sizes must be served .* of 8 measured, 1 were"):
        found(measure)


# ---- replays on a table ---------------------------------------------------


def table(seed=0):
    """What `benchmarks.cost_grid` keeps: the time of a request, three times."""
    machine = Machine(seed)
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.01, (3, len(SIZES))))
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "size_parameters": SIZES.tolist(),
                    "repeat": repeat,
                    "service_ms": machine.ms * noise[repeat],
                }
            )
            for repeat in range(3)
        ]
    )


def test_sub_grid_holds_the_sizes_asked_for():
    sizes = sub_grid(160).tolist()
    assert len(sizes) == len({tuple(size) for size in sizes})
    assert 155 <= len(sizes) <= 160
    assert BASE in sizes
    assert SOLVED in sizes
    assert np.all(np.diff(matrix_flops(sizes)) >= 0)


def test_replay_is_held_against_the_whole_table():
    rows = table()
    known = Measured(rows.sample(frac=1.0, random_state=0))
    np.testing.assert_array_equal(known.sizes[known.base], BASE)
    one = replay(rows, seed=0, share=0.2)
    assert one == replay(rows, seed=0, share=0.2)
    assert one["measurements"] <= 0.2 * len(SIZES)
    times = np.median(rows["service_ms"].to_numpy().reshape(3, -1), axis=0)
    loads = load_at_limit(times, REQUESTS.latency_limit_ms, workers=REQUESTS.workers)
    assert one["optimum"] == SIZES[goal().value(loads).argmax()].tolist()
    revenue = dict(zip(map(str, SIZES.tolist()), goal().revenue, strict=True))
    gap = 1 - revenue[str(one["chosen"])] / revenue[str(one["optimum"])]
    assert one["revenue_gap"] == pytest.approx(gap)
    assert np.median([replay(rows, seed=seed, share=0.2)["revenue_gap"] for seed in range(5)]) < 0.1
    broken = rows.assign(
        service_ms=rows["service_ms"].where(rows["size_parameters"].map(str) != str(one["optimum"]))
    )
    assert replay(broken, seed=0, share=0.2)["chosen"] != one["optimum"]


def test_the_kept_table_by_sizes(tmp_path):
    rows = table().assign(flops=lambda rows: rows["size_parameters"].map(matrix_flops))
    rows.to_csv(tmp_path / "grid.csv", index=False)
    sizes = measured_sizes(tmp_path / "grid.csv")
    assert sizes["size_parameters"].tolist() == SIZES.tolist()
    times = rows["service_ms"].to_numpy().reshape(3, -1)
    np.testing.assert_allclose(sizes["service_ms"], np.median(times, axis=0))
    with pytest.raises(SystemExit, match=r"python -m benchmarks\.cost_grid measures it"):
        measured_sizes(tmp_path / "absent.csv")
