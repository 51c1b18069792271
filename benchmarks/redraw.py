"""Do intervals hold what they say when everything is drawn again?

    python -m benchmarks redraw

Many small systems, each with a closed loop, a log, a population of trained models and their tests
of its own: of worlds that differ, and of worlds in which only loop, log, trainings and tests are
drawn again. An interval of notebooks 01, 02 and 04 is computed in every one of them, and held
against the value that all the others give. Systems that are finished are kept (`lib.infra.sweep`):
an interrupted run goes on where it stopped.
"""

import dataclasses

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.report import row, show
from lib.experiments import study
from lib.infra.files import replacing
from lib.infra.intervals import interval_bounds
from lib.laws.growth import growth_per_doubling
from lib.laws.held_out import fit_without_largest
from lib.run.places import root
from lib.validation.metric_comparison import compare_metrics
from lib.validation.revenue_model import fit_to_models
from lib.validation.systems import AcrossSystems

INTERVAL = 0.9
TARGET = (0.80, 0.95)  # share of re-draws that intervals called 90 % should hold
CHAIN, CHAINS = 3, 500  # systems that an interval comes from, as in quick; random such chains

# Fixed before the first run: most of notebook 01's variants, in a world of a quarter of its users.
WORLDS = 51  # worlds that differ in everything
AGAIN = {0: 15}  # worlds drawn again: seed of the world -> how often
CHANGES = {"users": 1000, "ads": 1000}
BASE = {
    "hidden": [32, 8, 8, 8, 1],
    "rounds": 3,
    "impressions_per_round": 8192,
    "log_impressions": 24576,
    "train_impressions": 16384,
    "learning_rate": 0.03,
    "batch_impressions": 64,
    "test_users": 1000,
    "test_visits": 2,
}
VARIANTS = [
    {"model": "base again", "kind": "none", "seed": 100},
    {"model": "8-4-4-4", "kind": "size", "hidden": [8, 4, 4, 4, 1]},
    {"model": "16-4-4-4", "kind": "size", "hidden": [16, 4, 4, 4, 1]},
    {"model": "64-16-16-16", "kind": "size", "hidden": [64, 16, 16, 16, 1]},
    {"model": "128-32-32-32", "kind": "size", "hidden": [128, 32, 32, 32, 1]},
    {"model": "30 % of the data", "kind": "data", "data_share": 0.3},
    {"model": "no ids of user and ad", "kind": "features", "without": ["user_id", "ad_id"]},
    {"model": "relax loss", "kind": "loss", "loss": "relax"},
    {"model": "softmax loss", "kind": "loss", "loss": "softmax"},
]
VISITS, SEEDS = 8, [0]
METRICS = ("r_over_r_star", "ndcg", "recall", "opa")
METRIC = METRICS[0]
TARGETS = {  # what an interval is held against -> its column among the estimates
    "the same figure": "value",
    "what they measured": "measured",
    "what their tests measured": "tested",
}
KEPT = ("world", "dial", "value", "model", "set", "kind", "seed", "flops", "trainings")
# A machine for every half of the base's FLOPs beside a fixed half, and what revenue pays for it.
MACHINES_BASE, REVENUE_PER_HOUR = 100.0, 10_000.0


# ---- what is run ----------------------------------------------------------------------------


def worlds() -> list[dict]:
    """All systems: {"world": name, "preset", "seed", "changes"}."""
    different = [_world(f"world {seed}", seed, {}) for seed in range(WORLDS)]
    again = [
        _world(f"world {world} again {draw}", 1000 * (world + 1) + draw, {"seed": world})
        for world, draws in AGAIN.items()
        for draw in range(draws)
    ]
    return different + again


def _world(name, seed, changes):
    return {"world": name, "preset": "small", "seed": seed, "changes": {**CHANGES, **changes}}


def trained_and_tested(n_jobs: int | None = None) -> pd.DataFrame:
    """A row a training of every system; kept in outputs/bench/redraw_trainings.csv."""
    _, trainings = study.run(
        worlds(),
        VARIANTS,
        folder=root() / "outputs" / "bench" / "cache" / "redraw",
        base=BASE,
        seeds=SEEDS,
        cuts=[2],
        visits=VISITS,
        n_jobs=n_jobs,
    )
    columns = [
        *(name for name in KEPT if name in trainings),
        *(f"{name}{end}" for name in METRICS for end in ("", "_se")),
        *("revenue_lift", "revenue_lift_se"),
    ]
    trainings = trainings[columns]
    with replacing(root() / "outputs" / "bench" / "redraw_trainings.csv") as temporary:
        trainings.to_csv(temporary, index=False, float_format="%.8g")
    return trainings


# ---- the intervals of one system --------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure of one system with its interval.

    Attributes:
      name: what it is; notebook: where it is printed.
      value, low, high: in the unit of the name.
      of_measurement: whether the interval is for one further measurement, such as a
        training that nobody has made, and not for what many of them have in the mean.
      measured: in this system, what the figure predicts (of a size's lift, what it earns beyond
        the base trained again); NaN where it predicts nothing.
      tested: that lift as the test has it, over the base that wrote the log.
    """

    notebook: str
    name: str
    value: float
    low: float
    high: float
    of_measurement: bool = False
    measured: float = np.nan
    tested: float = np.nan


def estimates(trainings: pd.DataFrame) -> list[Estimate]:
    """All that notebooks 01, 02 and 04 print an interval for, of one system's trainings."""
    return [*_of_metrics(trainings), *_of_law(trainings), *_of_sizes(trainings)]


def _of_metrics(trainings):
    primary = study.population_of(trainings).primary
    comparison = compare_metrics(primary, METRICS, draws=1000)
    for metric in METRICS:
        bounds = comparison.interval(metric, interval=INTERVAL)
        yield Estimate("01", f"R² of {metric}", comparison.value(metric), *bounds)
    for rival in METRICS[1:]:
        difference = comparison.difference(METRIC, rival, interval=INTERVAL)
        yield Estimate("01", f"R² of {METRIC} less that of {rival}", *difference)
    for statistic in ("lift_of_selected", "regret"):
        bounds = comparison.interval(METRIC, statistic, INTERVAL)
        yield Estimate(
            "01", f"{statistic} by {METRIC}", comparison.value(METRIC, statistic), *bounds
        )
    fit = fit_to_models(primary, METRIC)
    low, high = fit.slope_interval(INTERVAL)
    yield Estimate("01", f"lift of 1 of {METRIC}", fit.slope_, low, high)


def _of_law(trainings):
    sizes = trainings[trainings.kind.isin(["size", "none"])]
    growth = growth_per_doubling(sizes.flops, sizes[METRIC], INTERVAL)
    yield Estimate("02", "growth a doubling", growth.per_doubling, growth.low, growth.high)
    fit = fit_without_largest(
        sizes.flops, sizes[METRIC], 1, direction="rising", bound=1.0, interval=INTERVAL
    )
    largest = fit.table.iloc[-1]
    yield Estimate(
        *("02", "largest size, not seen by the law"),
        *(largest.predicted, largest.low, largest.high),
        of_measurement=True,
        measured=largest["mean"],
    )
    gain = fit.full_law.gain(2 * largest.x, largest.x, interval=INTERVAL)
    yield Estimate("02", "gain of the next doubling", *gain)
    held_out = [trainings.model[trainings.flops.idxmax()]]
    for lift in study.predict_lifts(trainings, held_out, interval=INTERVAL).itertuples():
        yield Estimate(
            *("02", "lift of the largest size, by law and G"),
            *(lift.predicted, lift.low, lift.high),
            of_measurement=True,
            measured=lift.measured,
        )


def _of_sizes(trainings):
    names, lift, draws = lifts_of_sizes(trainings)
    low, high = interval_bounds(draws, INTERVAL)
    measured, tested = (
        table.groupby("model").revenue_lift.mean()[names]
        for table in (lifts_beyond_retraining(trainings), trainings)
    )
    for size, *bounds, beyond, over_base in zip(
        names, lift, low, high, measured, tested, strict=True
    ):
        yield Estimate("04", f"lift of {size}", *bounds, measured=beyond, tested=over_base)


def lifts_beyond_retraining(trainings):
    """The trainings with lifts over the base trained again, not over the base of the test.

    A base trained again from other weights earns another sum than the one that writes the log:
    a part of every lift that no size is the reason of.
    """
    again = trainings[trainings.kind == "none"].groupby("world").revenue_lift.mean()
    return trainings.assign(revenue_lift=trainings.revenue_lift - trainings.world.map(again))


def lifts_of_sizes(trainings):
    """As notebook 04: (names of the sizes but the base, lifts [sizes], draws [draws, sizes])."""
    base = trainings.flops[trainings.kind == "none"].iloc[0]
    sizes = trainings[trainings.kind == "size"].groupby("model").flops.first().sort_values()
    return sizes.index.tolist(), *study.lifts_of_sizes(trainings, sizes.to_numpy() / base)


# ---- held against the others ------------------------------------------------------------------


def coverage(table: pd.DataFrame, covers: str, chain: int = 1) -> pd.DataFrame:
    """Share of intervals that hold what the other systems give, a row an estimate and target.

    Args:
      table: a row a system and estimate: the fields of `Estimate`, and group, within which
        systems are re-draws of each other.
      covers: which re-draw that is, for the table.
      chain: systems that an interval comes from. 1: a system's own interval; more: Student's t
        over random chains of so many. Chains share systems, so that the share's own interval
        counts the systems over `chain`, no more.

    Returns: DataFrame; `held` is the share, held_low and held_high its exact binomial interval,
      `width` the intervals' median width, `value` the mean estimate, `target` the mean of what
      it is held against: "the same figure" of the others, or one of the other TARGETS.
    """
    rows = []
    for (notebook, name), part in table.groupby(["notebook", "name"], sort=False):
        groups = [group for _, group in part.groupby("group")]
        redraws = len(part) // chain
        intervals = [_intervals(group, chain) for group in groups]
        width = np.median(np.concatenate([high - low for _, low, high in intervals]))
        for target, column in TARGETS.items():
            if part[column].isna().any() or (part.of_measurement.any() and column == "value"):
                continue
            held = np.concatenate(
                [
                    _held(group[column].to_numpy(), group.of_measurement.iloc[0], *interval)
                    for group, interval in zip(groups, intervals, strict=True)
                ]
            ).mean()
            bounds = stats.binomtest(round(held * redraws), redraws).proportion_ci(INTERVAL)
            rows.append(
                {
                    "covers": covers,
                    "notebook": notebook,
                    "interval of": name,
                    "held against": target,
                    "re-draws": redraws,
                    "held": held,
                    "held_low": bounds.low,
                    "held_high": bounds.high,
                    "width": width,
                    "value": part.value.mean(),
                    "target": part[column].mean(),
                }
            )
    return pd.DataFrame(rows)


def _intervals(group, chain):
    """(systems [intervals, chain], low, high) of each interval; systems by place in the group."""
    places = np.arange(len(group))
    if chain == 1:
        return places[:, None], group.low.to_numpy(), group.high.to_numpy()
    rng, value = np.random.default_rng(0), group.value.to_numpy()
    systems = np.stack([rng.choice(places, chain, replace=False) for _ in range(CHAINS)])
    across = AcrossSystems(value[systems].T)
    bounds = across.interval_of_next if group.of_measurement.iloc[0] else across.interval
    return systems, *bounds(INTERVAL)


def _held(target, of_measurement, systems, low, high):
    """How far each interval holds the target [systems] of those that it does not come from.

    Their mean, 0 or 1; for an interval of one further measurement, the share of them.
    """
    other = np.ones((len(systems), len(target)), bool)
    np.put_along_axis(other, systems, False, axis=1)
    if of_measurement:
        inside = (low[:, None] <= target) & (target <= high[:, None])
        return (inside & other).sum(axis=1) / other.sum(axis=1)
    mean = (other * target).sum(axis=1) / other.sum(axis=1)
    return ((low <= mean) & (mean <= high)).astype(float)


# ---- the decision -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Design:
    """How much is measured before a size is chosen.

    Attributes:
      systems: whose lifts are averaged; seeds: trainings of a model; tests: tested models that G
        is fitted to, the sizes among them; impressions: of each test, as a share of those run here
        (the noise of a smaller test is added).
    """

    systems: int = 1
    seeds: int = len(SEEDS)
    tests: int = len(VARIANTS)
    impressions: float = 1.0


DESIGNS = (
    Design(),
    Design(tests=7),
    Design(impressions=0.1),
    Design(systems=3),
    Design(systems=3, impressions=0.1),
    Design(systems=5),
)


def choices(trainings: pd.DataFrame, design: Design, seed: int = 0) -> pd.DataFrame:
    """What the sizes chosen by law and G really earn, a row a chain of `design.systems` worlds.

    Sizes are paid for by machines in proportion to half of their FLOPs (and a fixed half). What a
    size really earns is its mean lift in the tests of all other systems, over the base trained
    again as the sizes are.

    Returns: DataFrame with the columns chosen, best, lost (revenue less cost that the choice
      forgoes, a fraction of revenue).
    """
    rng = np.random.default_rng(seed)
    worlds = trainings.world.unique()
    sizes = trainings[trainings.kind.isin(["size", "none"])]
    tested = lifts_beyond_retraining(sizes).pivot_table(
        index="world", columns="model", values="revenue_lift"
    )
    rows = []
    for first in range(0, len(worlds) - design.systems + 1, design.systems):
        chain = worlds[first : first + design.systems]
        parts = [_measured(trainings[trainings.world == world], design, rng) for world in chain]
        names, lifts = zip(
            *((part[0], part[1]) for part in map(lifts_of_sizes, parts)), strict=True
        )
        truth = tested.loc[~tested.index.isin(chain), names[0]].mean().to_numpy()
        cost = _cost(parts[0], names[0])
        earned = np.append(REVENUE_PER_HOUR * truth - cost, 0) / REVENUE_PER_HOUR
        expected = np.append(REVENUE_PER_HOUR * np.mean(lifts, axis=0) - cost, 0)
        chosen, best, sizes = int(expected.argmax()), int(earned.argmax()), [*names[0], "base"]
        rows.append(
            {"chosen": sizes[chosen], "best": sizes[best], "lost": earned[best] - earned[chosen]}
        )
    return pd.DataFrame(rows)


def _measured(trainings, design, rng):
    """A system's trainings as a smaller study would have them."""
    part = trainings[trainings.groupby("model").seed.rank() <= design.seeds].copy()
    others = part.model[~part.kind.isin(["size", "none"])].unique()
    kept = max(design.tests - part.model.nunique() + len(others), 0)
    left_out = rng.permutation(others)[min(kept, len(others)) :]
    part = part[~part.model.isin(left_out)]
    more = part.revenue_lift_se * np.sqrt(1 / design.impressions - 1)
    return part.assign(
        revenue_lift=part.revenue_lift + more * rng.normal(size=len(part)),
        revenue_lift_se=part.revenue_lift_se / np.sqrt(design.impressions),
    )


def _cost(trainings, names):
    """Currency per hour that each size costs beyond the base."""
    flops = trainings.groupby("model").flops.first()
    base = trainings.flops[trainings.kind == "none"].iloc[0]
    return MACHINES_BASE * (flops[list(names)].to_numpy() / base - 1) / 2


# ---- the benchmark ------------------------------------------------------------------------------


def main(n_jobs: int | None = None) -> list[dict]:
    """The benchmark's rows; the tables are redraw.csv and redraw_choices.csv in outputs/bench."""
    trainings = trained_and_tested(n_jobs)
    table = pd.DataFrame(
        [
            {"world": world, **dataclasses.asdict(estimate)}
            for world, part in trainings.groupby("world", sort=False)
            for estimate in estimates(part)
        ]
    )
    again = table.world.str.contains(" again ")
    same = table[again].assign(group=table.world.str.partition(" again ")[0])
    different = table[~again].assign(group="")
    result = pd.concat(
        [
            coverage(same, "one system, measured again"),
            coverage(different, "one system, another like it"),
            coverage(different, f"{CHAIN} systems, others like them", CHAIN),
        ],
        ignore_index=True,
    )
    _write("redraw", result)
    chosen = _choices_table(trainings[~trainings.world.str.contains(" again ")])
    _write("redraw_choices", chosen)
    rows = [*_coverage_rows(result), *_choice_rows(chosen), _base_again(trainings)]
    show(rows)
    return rows


def _choices_table(trainings):
    rows = []
    for design in DESIGNS:
        lost = choices(trainings, design).lost
        rows.append(
            {
                **dataclasses.asdict(design),
                "re-draws": len(lost),
                "within .1 %": float((lost <= 0.001).mean()),
                "lost": float(lost.mean()),
                "lost_se": float(lost.sem()),
            }
        )
    return pd.DataFrame(rows)


def _coverage_rows(result):
    for covers, part in result.groupby("covers", sort=False):
        held = part.held.to_numpy()
        low, high = TARGET
        yield row(
            f"{covers}: share of intervals that hold 80 to 95 % of re-draws",
            "",
            float(((low <= held) & (held <= high)).mean()),
            low=float(held.min()),
            high=float(held.max()),
        )


def _choice_rows(chosen):
    for design in chosen.to_dict("records"):
        yield row(
            f"{design['systems']} systems, {design['seeds']} seeds, {design['tests']} tests, "
            f"{design['impressions']:g} of the impressions: chosen size within .1 % of the best",
            "share of re-draws",
            design["within .1 %"],
        )


def _base_again(trainings):
    """What the base earns that was trained again, over the base that wrote the log."""
    again = trainings[~trainings.world.str.contains(" again ") & (trainings.kind == "none")]
    across = AcrossSystems(again.groupby("world").revenue_lift.mean())
    low, high = across.interval(INTERVAL)
    return row("lift of the base trained again", "of revenue", across.mean, low=low, high=high)


def _write(name, table):
    with replacing(root() / "outputs" / "bench" / f"{name}.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.5g")
