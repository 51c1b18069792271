"""The offline metrics on a million impressions of ten ads, beside other libraries' NDCG.

Everything is timed in turn in one process, round by round, so that a busy moment of the
machine falls on all alike; a figure is the median over rounds, its spread the lowest and
highest, a ratio is taken within each round.
"""

import tracemalloc
from time import perf_counter

import keras_rs
import numpy as np
from sklearn.metrics import ndcg_score
from tqdm import trange

from benchmarks.report import row, show
from lib import metrics

IMPRESSIONS, ADS, ROUNDS = 1_000_000, 10, 7
M = K = 2
# scikit-learn takes about a minute for a million impressions when it treats ties, and keras-rs
# many seconds.
TREATED, OF_KERAS = IMPRESSIONS // 50, IMPRESSIONS // 10


def data(impressions=IMPRESSIONS, seed=0):
    """scores without ties, scores with ties in most impressions, v, ecpm: [impressions, ADS]."""
    rng = np.random.default_rng(seed)
    v = rng.permuted(np.tile(np.arange(float(ADS)), (impressions, 1)), axis=1)
    scores = v + 3 * rng.standard_normal(v.shape)
    ecpm = rng.lognormal(size=v.shape) * (v >= ADS / 2)  # half never reached Ranking
    return scores, np.round(scores), v, ecpm


def seconds(scores, tied, v, ecpm):
    """Seconds of every kind of work in every round, name -> [ROUNDS]."""
    treated, tenth = slice(TREATED), slice(OF_KERAS)
    works = {
        "all": lambda: metrics.evaluate(scores, v, ecpm, M, K),
        "all, ties": lambda: metrics.evaluate(tied, v, ecpm, M, K),
        "r_over_r_star": lambda: metrics.r_over_r_star(scores, v, ecpm, M),
        "ndcg": lambda: metrics.ndcg(scores, v),
        "recall": lambda: metrics.recall(scores, v, M, K),
        "opa": lambda: metrics.opa(scores, v),
        "revenue_ndcg": lambda: metrics.revenue_ndcg(scores, v, ecpm),
        "joint_recall": lambda: metrics.joint_recall(scores, v, ecpm, 2 * M, M, K),
        "ndcg, ties": lambda: metrics.ndcg(tied, v),
        "scikit-learn, ties": lambda: ndcg_score(v, tied, ignore_ties=True),
        "scikit-learn": lambda: ndcg_score(v, scores, ignore_ties=True),
        "scikit-learn treating ties": lambda: ndcg_score(v[treated], tied[treated]),
        "keras-rs": lambda: keras_rs_ndcg(v[tenth], scores[tenth]),
        "copy of one argument": lambda: np.copyto(copy, v),
    }
    copy = np.empty_like(v)
    taken = {name: [] for name in works}
    for _ in trange(ROUNDS, desc="rounds"):
        for name, work in works.items():
            started = perf_counter()
            work()
            taken[name].append(perf_counter() - started)
    taken = {name: np.array(times) for name, times in taken.items()}
    taken["scikit-learn treating ties"] *= IMPRESSIONS / TREATED
    taken["keras-rs"] *= IMPRESSIONS / OF_KERAS
    return taken


def keras_rs_ndcg(v, scores):
    """Mean NDCG by keras-rs, which shuffles ties and sums in float32."""
    metric = keras_rs.metrics.NDCG()
    metric.update_state(v, scores)
    return float(metric.result())


def difference(scores, v, impressions=1000):
    """Largest difference from scikit-learn's NDCG: of single impressions, and of the mean."""
    ours = metrics.ndcg(scores, v, gain="linear")
    each = [abs(ours[i] - ndcg_score(v[i : i + 1], scores[i : i + 1])) for i in range(impressions)]
    return max(*each, abs(ours.mean() - ndcg_score(v, scores, ignore_ties=True)))


def difference_from_keras_rs(scores, v):
    """Difference of the mean NDCG with exponential gain from that of keras-rs."""
    v, scores = v[:OF_KERAS], scores[:OF_KERAS]
    return abs(metrics.ndcg(scores, v).mean() - keras_rs_ndcg(v, scores))


def peak_memory(scores, v, ecpm, impressions):
    """Bytes that `evaluate` allocates at its peak, beyond its arguments."""
    tracemalloc.start()
    metrics.evaluate(scores[:impressions], v[:impressions], ecpm[:impressions], M, K)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def time_rows(taken):
    """Seconds and ratios for a million impressions."""
    four = sum(taken[name] for name in ("r_over_r_star", "ndcg", "recall", "opa"))
    ignoring, treating = taken["scikit-learn"], taken["scikit-learn treating ties"]
    lists = f"{IMPRESSIONS:,} impressions x {ADS} ads"
    own, theirs = "NDCG, ties treated", "scikit-learn, ties ignored"
    rows = [
        row(f"all metrics together (evaluate), {lists}", "s", taken["all"], target=2.0),
        row("all metrics together, scores with ties", "s", taken["all, ties"], target=2.0),
        row("R/R*, NDCG, Recall, OPA called one by one", "s", four, target=2.0),
    ]
    rows += [
        row(f"{name} alone", "s", taken[name])
        for name in ("r_over_r_star", "recall", "opa", "revenue_ndcg", "joint_recall")
    ]
    return [
        *rows,
        row(own, "s", taken["ndcg"], baseline=np.median(ignoring), name=theirs),
        row(f"{own}: time over {theirs}", "ratio", taken["ndcg"] / ignoring, target=1.0),
        row(
            f"{own}: the same, scores with ties",
            "ratio",
            taken["ndcg, ties"] / taken["scikit-learn, ties"],
            target=1.0,
        ),
        row(
            f"{own}: time over scikit-learn, ties treated (from {TREATED:,} impressions)",
            "ratio",
            taken["ndcg, ties"] / treating,
            target=1.0,
            baseline=np.median(treating),
            name="scikit-learn, s",
        ),
        row(
            f"{own}: time over keras-rs, ties shuffled (from {OF_KERAS:,} impressions)",
            "ratio",
            taken["ndcg"] / taken["keras-rs"],
            target=1.0,
            baseline=np.median(taken["keras-rs"]),
            name="keras-rs, s",
        ),
    ]


def memory_rows(taken, scores, v, ecpm):
    """What a further impression costs, and how far the time is from that of reading it."""
    half = peak_memory(scores, v, ecpm, IMPRESSIONS // 2)
    whole = peak_memory(scores, v, ecpm, IMPRESSIONS)
    further = (whole - half) / (IMPRESSIONS - IMPRESSIONS // 2)
    read = taken["copy of one argument"] * 3 / 2  # a copy reads one argument and writes one
    print(f"memory bandwidth, copying: {2 * v.nbytes / np.median(read * 2 / 3) / 1e9:.1f} GB/s\n")
    return [
        row(
            "evaluate: peak memory beyond its arguments",
            "MiB",
            whole / 2**20,
            baseline=3 * v.nbytes / 2**20,
            name="the arguments",
        ),
        # Values of 7 kinds are returned to it, held twice while their blocks are joined.
        row(
            "evaluate: memory of a further impression",
            "bytes",
            further,
            target=120.0,
            baseline=3 * 8 * ADS,
            name="its arguments",
        ),
        row("evaluate: time over that of reading its arguments once", "ratio", taken["all"] / read),
    ]


def main():
    """Prints the table, returns the rows of the report."""
    scores, tied, v, ecpm = data()
    metrics.evaluate(scores[:1000], v[:1000], ecpm[:1000], M, K)  # warm up before timing
    taken = seconds(scores, tied, v, ecpm)
    rows = [
        *time_rows(taken),
        *memory_rows(taken, scores, v, ecpm),
        row(
            "NDCG, linear gain: largest difference from scikit-learn, no ties",
            "NDCG",
            difference(scores, v),
            target=1e-12,
        ),
        # It sums a hundred thousand lists in float32.
        row(
            "NDCG: difference of the mean from keras-rs, no ties",
            "NDCG",
            difference_from_keras_rs(scores, v),
            target=1e-5,
        ),
    ]
    show(rows)
    return rows
