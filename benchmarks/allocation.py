"""The allocation at scale (Eq 9): time, proven gap and memory, held against other ways.

Problems are of Pisinger's kinds (1995) in reals, and of a law's diminishing returns: `large` in
tests/allocation/made.py. Ours and the other ways take turns on the same problems. "strong" has
revenue = cost + a constant a size, so that totals move in steps of the constant: the bound of the
relaxation lies between two of them, and no search of a core closes that gap. A million scenarios
are read from a memory-mapped file, in a process of their own, whose peak counts the file's pages.
Times are the process's CPU seconds: ours runs on one core, so that this is what the clock of a
quiet machine shows, and other work on the machine does not count.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.report import row
from lib.allocation import baselines
from lib.allocation.knapsack import allocate, allocate_chunks
from lib.infra.child_process import in_child
from lib.infra.machine import peak_memory_mb
from tests.allocation import made

KINDS = ("random", "weak", "strong", "subset sum", "concave")
SEEDS = (0, 1, 2)
SMALL = 1_000  # problems searched exhaustively
MILP_SECONDS = 30.0
MANY, STEP = 1_000_000, 10_000  # scenarios of 100 sizes, and in one chunk


def equal_to_exhaustive_search():
    """Share of small problems with options at random that agree, and how many have a solution."""
    equal, solved = [], 0
    for seed in range(SMALL):
        problem = made.small(np.random.default_rng(seed), whole=seed % 2 == 0)
        best = made.exhaustive(**problem)
        try:
            found = allocate(**problem).revenue
        except ValueError:
            found = None
        solved += best is not None
        equal.append(found == best if None in (found, best) else abs(found - best) < 1e-9)
    return float(np.mean(equal)), solved


def timed(kind, seed, relative_gap):
    """CPU seconds and relative gap on 1,000 scenarios of 1,000 sizes."""
    problem = made.large(kind, 1000, 1000, seed)
    start = time.process_time()
    answer = allocate(*problem, 0, relative_gap=relative_gap)
    return time.process_time() - start, answer.relative_gap


def other_ways(kind, seed):
    """Ours, greedy, proportional and, on the first seed, the plain MILP: (CPU seconds, answer)."""
    revenue, cost, budget = made.large(kind, 1000, 1000, seed)
    today = np.argmin(np.abs(cost - np.median(cost, axis=1)[:, None]), axis=1)
    ways = {
        "ours": lambda: allocate(revenue, cost, budget, 0, relative_gap=1e-6),
        "greedy": lambda: baselines.take_greedily(revenue, cost, budget, 0),
        "proportional": lambda: baselines.scale_proportionally(revenue, cost, budget, 0, today),
    }
    if seed == SEEDS[0]:
        ways["plain MILP"] = lambda: baselines.plain_milp(
            revenue, cost, budget, 0, seconds=MILP_SECONDS
        )
    return baselines.timed(ways)


def ten_thousand(kind):
    """CPU seconds, relative gap and peak MB on 10,000 scenarios of 1,000 sizes."""
    problem = made.large(kind, 10_000, 1000)
    start = time.process_time()
    answer = allocate(*problem, 0, relative_gap=1e-6)
    return time.process_time() - start, answer.relative_gap, peak_memory_mb()


def write_million(folder, kind):
    """The files of a million scenarios of 100 sizes, and their budget."""
    files = [
        np.lib.format.open_memmap(f"{folder}/{name}.npy", "w+", np.float64, (MANY, 100))
        for name in ("revenue", "cost")
    ]
    budget = 0.0
    for start in range(0, MANY, STEP):
        *values, share = made.large(kind, STEP, 100, seed=start)
        for file, part in zip(files, values, strict=True):
            file[start : start + STEP] = part
        budget += share
    return budget


def million(folder, budget):
    """CPU seconds, relative gap and peak MB on a million scenarios, from their files."""
    revenue, cost = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("revenue", "cost"))
    start_time = time.process_time()
    answer = allocate_chunks(
        lambda: (
            (revenue[start : start + STEP], cost[start : start + STEP])
            for start in range(0, MANY, STEP)
        ),
        budget,
        0.0,
        relative_gap=1e-6,
    )
    return time.process_time() - start_time, answer.relative_gap, peak_memory_mb()


def of_thousands():
    """Rows of 1,000 scenarios x 1,000 sizes: seconds, gaps, other ways."""
    rows = []
    for kind in KINDS:
        near = [timed(kind, seed, 1e-6) for seed in SEEDS]
        whole = [timed(kind, seed, 0.0) for seed in SEEDS]
        rows += [
            row(f"1,000 x 1,000 {kind}: to a gap of 1e-6", "CPU s", [s for s, _ in near], 1.0),
            row(f"1,000 x 1,000 {kind}: that gap", "of revenue", [g for _, g in near], 1e-6),
            row(f"1,000 x 1,000 {kind}: to the end", "CPU s", [s for s, _ in whole], 10.0),
            row(f"1,000 x 1,000 {kind}: gap at the end", "of revenue", [g for _, g in whole], 0.0),
        ]
    for kind in ("random", "weak", "concave"):
        found = [other_ways(kind, seed) for seed in SEEDS]
        for name in ("greedy", "proportional", "plain MILP"):
            pairs = [(one["ours"], one[name]) for one in found if name in one]
            earned = [
                answer.revenue / ours.revenue if answer else 0.0 for (_, ours), (_, answer) in pairs
            ]
            rows.append(
                row(
                    f"1,000 x 1,000 {kind}: {name}'s revenue over ours",
                    "ratio",
                    earned,  # 0: it found no choice in its time
                )
            )
            rows.append(
                row(
                    f"1,000 x 1,000 {kind}: {name}'s time over ours",
                    "ratio",
                    [seconds / ours for (ours, _), (seconds, _) in pairs],
                )
            )
    return rows


def main():
    """The rows of the report."""
    equal, solved = equal_to_exhaustive_search()
    rows = [
        row(
            f"small problems equal to exhaustive search ({solved} of {SMALL} have a solution)",
            "share",
            equal,
            1.0,
            "higher",
        ),
        *of_thousands(),
    ]
    for kind in ("random", "weak"):
        seconds, gap, peak = in_child("10,000 scenarios", ten_thousand, kind)
        name = f"10,000 x 1,000 {kind}"
        rows += [
            row(f"{name}: to a gap of 1e-6", "CPU s", seconds, 10.0),
            row(f"{name}: that gap", "of revenue", gap, 1e-6),
            row(f"{name}: peak memory, the problem's own 160 MB twice included", "MB", peak, 4000),
        ]
    with TemporaryDirectory() as folder:
        budget = write_million(Path(folder), "random")
        seconds, gap, peak = in_child("a million scenarios", million, folder, budget)
    return [
        *rows,
        row("1,000,000 x 100 random: to a gap of 1e-6", "CPU s", seconds, 180.0),
        row("1,000,000 x 100 random: that gap", "of revenue", gap, 1e-6),
        row("1,000,000 x 100 random: peak memory, mapped pages included", "MB", peak, 4000),
    ]
