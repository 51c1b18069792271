"""Algorithm 1: from the QPS of a size to machines and their price.

Costs are machines times a price per machine and hour, in the currency of the price.
"""

import numpy as np
import pandas as pd


def required_machines(qps_base, machines_base, qps, *, whole=False):
    """Machines that carry the base model's traffic with another model (Algorithm 1, line 9).

    Args:
      qps_base, qps: of one machine at the latency limit, base model and others; any shapes
        that broadcast. A qps of 0, a size that cannot meet the limit, needs inf machines; of
        NaN, a size that could not be measured, NaN machines.
      machines_base: machines that serve the base model, req_0.
      whole: round up to whole machines.

    Raises: ValueError where qps_base or machines_base is not positive, or qps is negative.

    >>> required_machines(100.0, 20, np.array([100.0, 40.0, 0.0]))
    array([20., 50., inf])
    >>> float(required_machines(100.0, 20, 70.0, whole=True))
    29.0
    """
    qps_base, machines_base, qps = (np.asarray(x, float) for x in (qps_base, machines_base, qps))
    for name, value in (("qps_base", qps_base), ("machines_base", machines_base)):
        if not (value > 0).all():
            raise ValueError(f"required_machines: {name} must be > 0; got {value.min()}")
    if (qps < 0).any():
        raise ValueError(f"required_machines: qps must be >= 0; got {np.nanmin(qps)}")
    with np.errstate(divide="ignore"):
        machines = machines_base * (qps_base / qps)  # in this order the base gets its own
    return np.ceil(machines) if whole else machines


def machines_interval(qps_base, machines_base, qps):
    """`required_machines` carrying intervals: from (qps, low, high) to (machines, low, high).

    Two load tests err independently, so that the distances of their bounds, in logarithms, add
    up in squares. What tests have in common, such as the arrivals, makes it narrower.

    >>> [round(float(x), 1) for x in machines_interval((100, 90, 120), 20, (50, 40, 60))]
    [40.0, 32.4, 53.4]
    """
    base, base_low, base_high = np.asarray(qps_base, float)
    value, low, high = (np.asarray(x, float) for x in qps)
    machines = required_machines(base, machines_base, value)
    with np.errstate(divide="ignore", invalid="ignore"):
        less = np.hypot(np.log(base / base_low), np.log(high / value))
        more = np.hypot(np.log(base_high / base), np.log(value / low))
        bounds = machines * np.exp(-less), machines * np.exp(more)
    return machines, *(np.where(np.isinf(machines), machines, bound) for bound in bounds)


def cost_per_hour(machines, price_per_hour):
    """Machine cost, in the currency of the price, per hour.

    >>> cost_per_hour(np.array([20.0, 50.0]), price_per_hour=1.5)
    array([30., 75.])
    """
    if not np.all(np.asarray(price_per_hour) > 0):
        raise ValueError(f"cost_per_hour: price_per_hour must be > 0; got {price_per_hour}")
    return np.asarray(machines, float) * price_per_hour


# Where rows differ in one of these, the ratio of their QPS is not one of sizes.
_CIRCUMSTANCES = (
    "machine",
    "engine",
    "library",
    "precision",
    "latency_limit_ms",
    "candidates",
    "form",
    "threads",
    "workers",
    "batch_requests",
    "arrivals",
)


def priced(rows, base, machines_base, price_per_hour, *, whole=False, rate="qps", mixed=()):
    """Algorithm 1 over measured sizes: the costs table of DESIGN.md.

    Args:
      rows: measured sizes, list of dicts as of `lib.serving.load.load_tests.measure_size` or a
        DataFrame; one family on one machine under one latency limit.
      base: size parameters of the base model, one of the rows.
      machines_base: machines that serve it now.
      price_per_hour: of one machine.
      whole: round up to whole machines.
      rate: column of what one machine does in a second, beside {rate}_low and {rate}_high;
        "steps_per_second" for training.
      mixed: columns of a measurement's circumstances that may differ between the rows, such
        as "machine" or "candidates"; the ratio is then the caller's to answer for.

    Returns: DataFrame, the rows with machines, machines_low, machines_high, cost_per_hour:
      inf for a size that cannot meet the limit, NaN for one that could not be measured.
    Raises: ValueError where the base is missing, twice there or could not be measured, and
      where rows of different circumstances come together.

    >>> rows = [{"size_parameters": [4, 2, 1], "qps": 80.0, "qps_low": 80.0, "qps_high": 85.0},
    ...         {"size_parameters": [8, 2, 1], "qps": 40.0, "qps_low": 40.0, "qps_high": 42.5}]
    >>> priced(rows, base=[4, 2, 1], machines_base=10, price_per_hour=2)[
    ...     ["qps", "machines", "machines_low", "machines_high", "cost_per_hour"]]
        qps  machines  machines_low  machines_high  cost_per_hour
    0  80.0      10.0     10.000000          10.00           20.0
    1  40.0      20.0     18.823529          21.25           40.0
    """
    table = pd.DataFrame(rows).reset_index(drop=True)
    is_base = np.array([list(size) == list(base) for size in table["size_parameters"]])
    if is_base.sum() != 1:
        raise ValueError(
            f"priced: one row must hold the base size {list(base)}; found {is_base.sum()}"
        )
    _check_circumstances(table, mixed)
    qps = [table[name].to_numpy(float) for name in (rate, f"{rate}_low", f"{rate}_high")]
    qps_base = [float(values[is_base][0]) for values in qps]
    if np.isnan(qps_base).any():
        reason = table["failure"][is_base].iloc[0] if "failure" in table else "no reason given"
        raise ValueError(f"priced: the base size {list(base)} could not be measured ({reason})")
    machines, low, high = machines_interval(qps_base, machines_base, qps)
    low[is_base] = high[is_base] = machines_base  # by definition, however it was measured
    if whole:
        machines, low, high = np.ceil([machines, low, high])
    return table.assign(
        machines=machines,
        machines_low=low,
        machines_high=high,
        cost_per_hour=cost_per_hour(machines, price_per_hour),
    )


def priced_by_form(rows, bases, machines_base, price_per_hour):
    """`priced` for each form of a table relative to that form's own base.

    Args:
      rows: as of `priced`, with a column form.
      bases: form -> size parameters of its base; forms that are not there are left out.

    >>> rows = [{"form": form, "size_parameters": [4, 2, 1], "qps": qps, "qps_low": qps,
    ...          "qps_high": qps} for form, qps in (("naive", 10.0), ("twin_tower", 40.0))]
    >>> bases = {"twin_tower": [4, 2, 1], "naive": [4, 2, 1]}
    >>> priced_by_form(rows, bases, 5, 1.0)[["form", "machines"]].values.tolist()
    [['twin_tower', 5.0], ['naive', 5.0]]
    """
    table = pd.DataFrame(rows)
    return pd.concat(
        [
            priced(table[table["form"] == form], base, machines_base, price_per_hour)
            for form, base in bases.items()
        ],
        ignore_index=True,
    )


HERE = "measured here"  # in the column `source` of a table of costs


def priced_or_recorded(rows, bases, machines_base, price_per_hour, recorded=None):
    """`priced_by_form`; where a form's base could not be measured, a recorded table's rows.

    Without its base a form has no machines to count from, and rows of two machines do not go
    together: a busy machine's rows are left out, all of them, for the recorded ones.

    Args:
      rows, bases, machines_base, price_per_hour: as of `priced_by_form`.
      recorded: DataFrame, a table of costs measured before; None where there is none.

    Returns: DataFrame with the column source, `HERE`, or "recorded: ..." with the reason.
    Raises: what `priced` raises, where no table is recorded; ValueError where that table was
      measured under other circumstances than the rows.

    >>> rows = [{"form": "naive", "size_parameters": [4, 2, 1], "qps": np.nan,
    ...          "qps_low": np.nan, "qps_high": np.nan, "failure": "no load passed"}]
    >>> recorded = pd.DataFrame(rows).assign(qps=9.0, qps_low=8.0, qps_high=9.0, failure="")
    >>> priced_or_recorded(rows, {"naive": [4, 2, 1]}, 5, 1.0, recorded)[
    ...     ["qps", "machines", "source"]].values.tolist()
    [[9.0, 5.0, 'recorded: [4, 2, 1] (naive) could not be measured here: no load passed']]
    """
    table = pd.DataFrame(rows)
    is_base = [
        list(size) == list(bases[form])
        for size, form in zip(table["size_parameters"], table["form"], strict=True)
    ]
    lost = table[np.array(is_base) & ~(table["qps"] > 0)]
    if lost.empty or recorded is None:
        return priced_by_form(rows, bases, machines_base, price_per_hour).assign(source=HERE)
    for name in ("candidates", "latency_limit_ms", "workers", "threads", "engine", "precision"):
        here, there = (
            one.groupby("form")[name].first().to_dict() if name in one else {}
            for one in (table, recorded)
        )
        if any(there.get(form) != value for form, value in here.items()):
            raise ValueError(
                f"priced_or_recorded: the recorded table must have been measured with the same "
                f"{name} as the rows, {here}; found {there}"
            )
    first = lost.iloc[0]
    reason = first.get("failure") or "a request takes longer than the limit"
    source = (
        f"recorded: {list(first['size_parameters'])} ({first['form']}) could not be measured "
        f"here: {reason}"
    )
    return priced_by_form(recorded, bases, machines_base, price_per_hour).assign(source=source)


def _check_circumstances(table, mixed):
    for name in _CIRCUMSTANCES:
        if name not in table or name in mixed:
            continue
        values = table[name].drop_duplicates().tolist()
        if len(values) > 1:
            raise ValueError(
                f"priced: column {name} must be the same in all rows; found "
                f"{values[0]!r} and {values[1]!r}. Price them apart, or name the "
                f"column in `mixed`"
            )
