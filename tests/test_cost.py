import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.cost import (
    ServiceTimeModel,
    cost_per_hour,
    load_at_limit,
    load_costs,
    machines_interval,
    priced,
    request_work,
    required_machines,
)
from lib.sizes import matrix_flops

positive = st.floats(1e-3, 1e6)
SIZES = [[3328, 256, 128, 128, 128, 1], [3328, 1024, 256, 256, 256, 1],
         [3328, 1024, 1024, 1024, 1024, 1], [9728, 512, 512, 256, 128, 1],
         [16128, 1024, 512, 512, 512, 1], [19328, 1024, 128, 128, 128, 1],
         [6528, 768, 768, 384, 128, 1], [12928, 768, 128, 128, 128, 1]]
MS = np.array([0.2, 1e-7, 1e-8, 2e-7])  # a request, a FLOP once, a FLOP, a byte


# ---- Algorithm 1 ----------------------------------------------------------


def test_required_machines_by_hand():
    """20 machines of 100 QPS are 2,000 QPS; at 70 each, that takes 28.6 machines."""
    assert required_machines(100, 20, 70) == pytest.approx(2000 / 70)
    assert required_machines(100, 20, 70, whole=True) == 29
    np.testing.assert_allclose(required_machines(100, 20, [[200, 100], [0, 1]]),
                               [[10, 20], [np.inf, 2000]])


@given(positive, positive, positive)
def test_machines_carry_the_same_traffic(qps_base, machines_base, qps):
    machines = required_machines(qps_base, machines_base, qps)
    assert machines * qps == pytest.approx(machines_base * qps_base)
    assert required_machines(qps_base, machines_base, qps_base) == machines_base


@pytest.mark.parametrize(("arguments", "message"), [
    ((0, 20, 5), "qps_base must be > 0; got 0"),
    ((100, -1, 5), "machines_base must be > 0; got -1"),
    ((100, 20, [5, -2]), "qps must be >= 0; got -2"),
    ((100, 20, np.nan), "qps must be >= 0; got nan"),
])
def test_required_machines_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        required_machines(*arguments)


def test_interval_holds_the_extremes():
    machines, low, high = machines_interval((100, 90, 105), 20, (50, 50, 53))
    np.testing.assert_allclose([machines, low, high], [40, 20 * 90 / 53, 20 * 105 / 50])


def test_priced_by_hand():
    rows = [{"size_parameters": size, "qps": qps, "qps_low": qps, "qps_high": 1.1 * qps}
            for size, qps in (([8, 4, 1], 10.0), ([4, 2, 1], 40.0), ([99, 9, 1], 0.0))]
    table = priced(rows, base=[4, 2, 1], machines_base=6, price_per_hour=2.5)
    np.testing.assert_allclose(table["machines"], [24, 6, np.inf])
    np.testing.assert_allclose(table["machines_low"], [24 / 1.1, 6, np.inf])
    np.testing.assert_allclose(table["machines_high"], [24 * 1.1, 6, np.inf])
    np.testing.assert_allclose(table["cost_per_hour"], [60, 15, np.inf])
    with pytest.raises(ValueError, match=r"one row must hold the base size \[1, 1\]; found 0"):
        priced(rows, base=[1, 1], machines_base=6, price_per_hour=1)


def test_price_must_be_positive():
    with pytest.raises(ValueError, match="price_per_hour must be > 0; got 0"):
        cost_per_hour(3, 0)


# ---- service time ---------------------------------------------------------


def test_work_of_the_papers_base():
    """Appendix A: the first layer leaves a request but for the user's half of it."""
    size, candidates = [3328, 1024, 256, 256, 256, 1], 1500
    naive = request_work(size, "naive", candidates)
    optimised = request_work(size, "first_layer_optimised", candidates)
    assert naive[2] == candidates * 7602688 == candidates * matrix_flops(size)
    first = 2 * 3328 * 1024
    np.testing.assert_array_equal(
        optimised, [1, first / 2, candidates * (7602688 - first), candidates * 1024 * 4])
    tower = request_work([3328, 1024, 64], "twin_tower", candidates, user_width=1000)
    np.testing.assert_array_equal(tower, [1, 2 * (1000 * 1024 + 1024 * 64),
                                          2 * 64 * candidates, 4 * 64 * candidates])


def test_work_of_a_grid_is_that_of_its_rows():
    for form in ("naive", "first_layer_optimised", "twin_tower"):
        np.testing.assert_array_equal(request_work(SIZES, form, 300),
                                      [request_work(size, form, 300) for size in SIZES])


def rows(noise, seed=0, sizes=SIZES, form="first_layer_optimised", candidates=300):
    """Measured sizes of a machine that does what the model says, but for noise."""
    rng = np.random.default_rng(seed)
    times = request_work(sizes, form, candidates) @ MS * np.exp(rng.normal(0, noise, len(sizes)))
    return [{"form": form, "size_parameters": size, "candidates": candidates, "service_ms": ms,
             "qps": 0.8 * float(load_at_limit(ms, 200.0, workers=2)), "latency_limit_ms": 200.0,
             "workers": 2} for size, ms in zip(sizes, times, strict=True)]


@pytest.mark.parametrize("form", ["first_layer_optimised", "naive"])
def test_recovers_a_machine_without_noise(form):
    model = ServiceTimeModel().fit(rows(0.0, form=form))
    others = [[6528, 384, 384, 384, 384, 1], [12928, 1024, 1024, 512, 256, 1]]
    np.testing.assert_allclose(model.predict(others, form, 1500),
                               request_work(others, form, 1500) @ MS, rtol=1e-6)
    np.testing.assert_allclose(model.leave_one_out_, 0, atol=1e-6)
    if form == "first_layer_optimised":
        np.testing.assert_allclose(list(model.coefficients_.values()), MS * (1, 1e9, 1e9, 1e9))


def test_twin_tower_over_two_counts_of_candidates():
    tower = [[*size[:-1], 64] for size in SIZES]
    table = [*rows(0.0, sizes=tower[:4], form="twin_tower", candidates=2000),
             *rows(0.0, sizes=tower[4:], form="twin_tower", candidates=50_000)]
    model = ServiceTimeModel().fit(pd.DataFrame(table))
    expected = request_work(tower, "twin_tower", 10_000) @ MS
    np.testing.assert_allclose(model.predict(tower, "twin_tower", 10_000), expected, rtol=1e-6)


def test_predicted_qps_is_the_measured_one():
    measured = rows(0.0)
    model = ServiceTimeModel().fit(measured)
    assert model.load_ratio_ == pytest.approx(0.8)
    qps = model.qps(SIZES, "first_layer_optimised", 300, 200.0, workers=2)
    np.testing.assert_allclose(qps, [row["qps"] for row in measured], rtol=1e-6)
    assert model.qps(SIZES[2], "first_layer_optimised", 10**6, 200.0) == 0  # beyond the limit


def test_intervals_cover_new_measurements():
    """Six noisy sizes, a seventh predicted: nominal 90 %, over 300 machines."""
    hits = []
    for seed in range(300):
        seven = rows(0.05, seed)
        left_out = seven.pop(seed % len(seven))
        model = ServiceTimeModel().fit(seven)
        mean, low, high = model.predict(left_out["size_parameters"], left_out["form"], 300,
                                        interval=0.9)
        assert low <= mean <= high
        hits.append(low <= left_out["service_ms"] <= high)
    assert 0.85 <= np.mean(hits) <= 0.98


def test_interval_of_qps_is_ordered():
    model = ServiceTimeModel().fit(rows(0.05))
    qps, low, high = model.qps(SIZES, "first_layer_optimised", 300, 200.0, interval=0.9)
    assert (low < qps).all()
    assert (qps < high).all()


def test_resampled_models_spread_about_the_fit():
    model = ServiceTimeModel().fit(rows(0.05))
    draws = np.array([refit.predict(SIZES, "first_layer_optimised", 300)
                      for refit in model.resampled(200, seed=1)])
    again = np.array([refit.predict(SIZES, "first_layer_optimised", 300)
                      for refit in model.resampled(200, seed=1)])
    np.testing.assert_array_equal(draws, again)
    ratio = draws / model.predict(SIZES, "first_layer_optimised", 300)
    np.testing.assert_allclose(np.median(ratio, axis=0), 1, atol=0.05)
    assert (ratio.std(axis=0) > 0.005).all()


@pytest.mark.parametrize(("change", "message"), [
    (lambda table: table.drop(columns="service_ms"), "column service_ms is missing; got form"),
    (lambda table: table[:3], "at least 4 measured sizes .* got 3"),
    (lambda table: table.assign(service_ms=[1, 2, -1, *[1] * 5]), "got -1 in row 2"),
    (lambda table: table.assign(form="slow"), "form must be 'naive'.* got 'slow'"),
])
def test_fit_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        ServiceTimeModel().fit(change(pd.DataFrame(rows(0.0))))


def test_predict_refuses_an_interval_in_per_cent():
    with pytest.raises(ValueError, match=r"interval must lie in 0 \.\. 1; got 90"):
        ServiceTimeModel().fit(rows(0.0)).predict(SIZES, "naive", 300, interval=90)


def test_load_at_limit_falls_with_a_tighter_limit():
    loads = [float(load_at_limit(10.0, limit)) for limit in (1000, 100, 20, 11, 10, 5)]
    assert loads == sorted(loads, reverse=True)
    assert loads[0] < 100
    assert loads[-2:] == [0, 0]


@pytest.mark.parametrize("limit_ms", [30.0, 100.0, 400.0])
def test_load_at_limit_against_a_simulated_queue(limit_ms):
    """Poisson arrivals, 10 ms of service, one worker: p99 is the limit, or a little less."""
    qps = float(load_at_limit(10.0, limit_ms))
    gaps = np.random.default_rng(0).exponential(1000 / qps, 400_000)
    walk = np.append(0.0, np.cumsum(10.0 - gaps))  # Lindley's recursion, unrolled
    waiting = walk - np.minimum.accumulate(walk)
    assert 0.85 * limit_ms <= np.quantile(waiting + 10.0, 0.99) <= limit_ms


# ---- a reader's own table -------------------------------------------------


def costs():
    return pd.DataFrame({
        "family": "mlp", "size_parameters": [[4, 2, 1], [8, 2, 1]], "engine": "tensorrt",
        "precision": "fp16", "machine": "T4", "candidates": 1500, "latency_limit_ms": 30.0,
        "qps": [900.0, 700.0], "qps_low": [900.0, 690.0], "qps_high": [950.0, 740.0],
        "machines": [20.0, 25.7], "cost_per_hour": [10.0, 12.9], "note": ["ours", "ours"]})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_costs_of_a_file(tmp_path, suffix):
    path = tmp_path / f"costs.{suffix}"
    costs().to_csv(path, index=False) if suffix == "csv" else costs().to_parquet(path)
    pd.testing.assert_frame_equal(load_costs(path), costs(), check_dtype=False)


@pytest.mark.parametrize(("column", "value", "message"), [
    ("qps", -1.0, "column qps, row 1: .*greater than or equal to 0; got .*-1.0"),
    ("qps", 800.0, r"column qps, row 1: must lie in qps_low \.\. qps_high; got 800.0"),
    ("family", "cnn", "column family, row 1: .*'mlp'.*; got 'cnn'"),
    ("size_parameters", [], "column size_parameters, row 1: .*at least 2"),
    ("size_parameters", [4, -2], "column size_parameters, row 1: .*greater than 0"),
    ("machines", 0.0, "column machines, row 1: .*greater than 0"),
    ("cost_per_hour", np.nan, "column cost_per_hour, row 1"),
])
def test_costs_refuse_a_value(tmp_path, column, value, message):
    table = costs()
    table[column] = [table[column][0], value]
    table.to_parquet(tmp_path / "costs.parquet")
    with pytest.raises(ValueError, match=f"costs.parquet: {message}"):
        load_costs(tmp_path / "costs.parquet")


def test_costs_refuse_a_table(tmp_path):
    path = tmp_path / "costs.csv"
    costs().drop(columns="machines").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"costs\.csv: column machines is missing; found family"):
        load_costs(path)
    costs()[:0].to_csv(path, index=False)
    with pytest.raises(ValueError, match="has no rows"):
        load_costs(path)
    costs().assign(size_parameters="4 2 1").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"column size_parameters, row 0: .*got '4 2 1'"):
        load_costs(path)
    with pytest.raises(ValueError, match=r"must be \.parquet or \.csv"):
        load_costs(tmp_path / "costs.xlsx")
