"""Serving costs: engines and forms in turn, the load test's repeats, the models of a time.

The base model of the paper answers requests of 1,500 candidates. Engines and forms take
turns, so that whatever else the machine does meets all of them; ratios are of one turn.
`cost_grid` holds the searches that need few measurements.
"""

import functools
import time

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.report import row
from lib.cost.service_time import ServiceTimeModel
from lib.infra import machine
from lib.infra.child_process import in_child
from lib.models.flop_count import matrix_flops
from lib.serving import engines
from lib.serving.graphs import export
from lib.serving.load import load_tests

BASE, CANDIDATES, LATENCY_LIMIT_MS = [3328, 1024, 256, 256, 256, 1], 1500, 100.0
ENGINES = ("onnxruntime", "openvino", "tensorflow_xla")
FORMS = {"naive": export.naive, "optimised": export.first_layer_optimised}
TURNS, RUNS = 9, 6


def requests(layers, ads, user):
    """The same request as either form takes it."""
    return {
        "naive": {"user": user, "ads": ads},
        "optimised": {"user": user, "ad_parts": export.ad_parts(layers, ads).astype("f")},
    }


def engines_in_turn(threads):
    """(milliseconds of a request by (engine, form), each [turns]; FLOP/s of a large matrix product,
    [turns]; largest difference of scores, as a share of the largest)."""
    layers, rng = export.random_weights(BASE, 0), np.random.default_rng(0)
    ads = rng.standard_normal((CANDIDATES, BASE[0] // 2), np.float32)
    inputs = requests(layers, ads, rng.standard_normal((1, BASE[0] // 2), np.float32))
    running = {
        (name, form): engines.build(name, graph(layers), threads=threads)
        for name in ENGINES
        for form, graph in FORMS.items()
    }
    scores = {(name, form): engine.run(inputs[form]) for (name, form), engine in running.items()}
    times, peaks = {key: [] for key in running}, []
    for _ in tqdm(range(TURNS), desc=f"turns, {threads} threads", leave=False):
        machine.matrix_product_peak.cache_clear()
        peaks.append(machine.matrix_product_peak(threads))
        time.sleep(0.3)  # until NumPy's threads have stopped to wait for another product
        for (name, form), engine in running.items():
            times[name, form].append(median_ms(functools.partial(engine.run, inputs[form])))
    reference = scores["onnxruntime", "naive"]
    difference = max(
        float(np.abs(values - reference).max() / np.abs(reference).max())
        for values in scores.values()
    )
    return {key: np.array(value) for key, value in times.items()}, np.array(peaks), difference


def median_ms(run):
    """Median milliseconds of `RUNS` calls, after one that warms up."""
    run()
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def engine_rows():
    """First-layer optimisation against the naive form, and the share of the machine's peak."""
    rows = []
    for threads in sorted({1, machine.cores()}):
        # A process each: TensorFlow keeps the number of threads that it started with.
        times, peaks, difference = in_child("engines in turn", engines_in_turn, threads)
        gflop = CANDIDATES * matrix_flops(BASE) / 1e9  # of a naive request
        table = pd.DataFrame(
            [
                {
                    "engine": name,
                    "naive ms": np.median(times[name, "naive"]),
                    "optimised ms": np.median(times[name, "optimised"]),
                    "ratio": np.median(times[name, "naive"] / times[name, "optimised"]),
                    "share of peak": np.median(1e12 * gflop / times[name, "naive"] / peaks),
                }
                for name in ENGINES
            ]
        )
        print(
            f"\n{threads} threads, {CANDIDATES} candidates, peak {np.median(peaks) / 1e9:.0f} "
            f"GFLOP/s, scores differ by {difference:.1e}:\n{table.round(3).to_string(index=False)}"
        )
        ratios = {name: times[name, "naive"] / times[name, "optimised"] for name in ENGINES}
        fastest = min(ENGINES, key=lambda name: np.median(times[name, "optimised"]))
        rows.append(
            row(
                f"first-layer optimised against naive, {fastest}, {threads} threads",
                "ratio",
                ratios[fastest],
                4.5,
                "higher",
                baseline=3.6,
                name="ONNX Runtime, known",
            )
        )
        shares = {name: 1e12 * gflop / times[name, "naive"] / peaks for name in ENGINES}
        most = max(ENGINES, key=lambda name: np.median(shares[name]))
        rows.append(
            row(
                f"share of the matrix-product peak, naive, {most}, {threads} threads",
                "share",
                shares[most],
                0.95,
                "higher",
                baseline=np.median(shares["onnxruntime"]),
                name="ONNX Runtime, this run",
            )
        )
        rows.append(
            row(
                f"scores of all engines and forms apart, {threads} threads",
                "share of the largest",
                [difference],
                1e-4,
                "lower",
            )
        )
    return rows


def load_rows(times=5):
    """The base under the load test, several times: its interval against the repeats."""
    rows, seconds = [], []
    for seed in tqdm(range(times), desc="load tests of the base", leave=False):
        start = time.perf_counter()
        rows.append(
            load_tests.measure_size(
                BASE,
                candidates=CANDIDATES,
                latency_limit_ms=LATENCY_LIMIT_MS,
                seed=seed,
                engine="openvino",
                workers=machine.cores(),
                max_seconds=50.0,
            )
        )
        seconds.append(time.perf_counter() - start)
    table = pd.DataFrame(rows)
    print(
        "\n",
        table[
            [
                "qps",
                "qps_low",
                "qps_high",
                "p50_ms",
                "p95_ms",
                "p99_ms",
                "offline_qps",
                "repeats",
                "memory_mb",
            ]
        ]
        .round(2)
        .to_string(),
    )
    inside = [
        (low <= others) & (others <= high)
        for others, low, high in zip(
            (np.delete(table.qps.to_numpy(), i) for i in range(times)),
            table.qps_low,
            table.qps_high,
            strict=True,
        )
    ]
    spread = np.abs(table.qps / table.qps.median() - 1)
    # Of all pairs: a test has only four others, the median of their shares says little.
    return [
        row(
            "QPS of the base at p99: other load tests inside the interval",
            "share",
            [np.mean(inside)],
            0.9,
            "higher",
        ),
        row(
            "QPS of the base at p99: median deviation from the median",
            "share",
            spread,
            0.10,
            "lower",
        ),
        row(
            "the base with guarantee",
            "s",
            seconds,
            60.0,
            "lower",
            baseline=1800.0,
            name="the paper, on a GPU",
        ),
    ]


def model_rows(sizes=8, draws=20):
    """A service-time model of few sizes against all other sizes of the measured sub-grid."""
    from benchmarks.cost_grid import measured_sizes

    table, errors = measured_sizes(), []
    for seed in range(draws):
        known = np.random.default_rng(seed).permutation(len(table)) < sizes
        model = ServiceTimeModel().fit(table[known])
        predicted = np.array(
            [
                float(model.predict(np.array(row.size_parameters), row.form, row.candidates))
                for row in table[~known].itertuples()
            ]
        )
        errors.append(np.median(np.abs(predicted / table.service_ms[~known] - 1)))
    return [
        row(
            f"service time of sizes not fitted to, fitted to {sizes}: median error",
            "share",
            errors,
            0.10,
            "lower",
        )
    ]


def main():
    """Prints the tables, returns the rows of the report."""
    rows = [*engine_rows(), *load_rows(), *model_rows()]
    print(
        "\n",
        pd.DataFrame(rows)[["figure", "ours", "low", "high", "target", "met"]]
        .round(4)
        .to_string(index=False),
    )
    return rows
