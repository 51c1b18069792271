"""What looks wrong in tables that can be used: said in sentences, and nothing is refused.

Whoever writes a table may have meant it so; whoever mistook a unit, a column or a file finds out
before the decision, not after. A sentence names file, column, the first rows (the first is 0),
what they hold and why that is odd.

>>> tested = pd.DataFrame({"model": ["a", "b"], "revenue_lift": [0.0, 0.85]})
>>> print(*suspicions(ab_tests=tested))
ab_tests: column 'revenue_lift', row 1 (model 'b'): 0.85 is a lift of 85 %; a lift of 0.85 % is \
written 0.0085
"""

import itertools

import numpy as np
import pandas as pd

from lib.logs import tables as schemas
from lib.logs.errors import TableError
from lib.logs.table_files import path_of, plain, shown
from lib.models.flop_count import matrix_flops

SCHEMAS = {
    "measurements": schemas.MEASUREMENTS,
    "models": schemas.MEASUREMENTS,
    "ab_tests": schemas.AB_TESTS,
    "trainings": schemas.TRAININGS,
    "costs": schemas.COSTS,
    "lifts": schemas.LIFTS,
    "sizes": schemas.SIZES,
    "scenarios": schemas.SCENARIOS,
}
LARGE_LIFT = 0.2  # one model that earns a fifth more; those of the paper earn 3 % at most
LARGE_LIFTS = 0.1  # half of all models move revenue by a tenth
FEW_FLOPS = 100  # of a pair: a model of three inputs; more likely they are millions of them
FORMS = ("naive", "first_layer_optimised", "twin_tower")  # that notebooks look for
MANY_TIMES = 1000  # apart: money in two units
FLOPS_APART = (0.75, 1.5)  # of the matrix products: biases and activations are within
MOST_ROWS = 3  # that a sentence names
OTHER_METRICS = ("auc", "gauc", "hit_rate", "map", "mrr", "precision")  # that are in 0 .. 1 too


def suspicions(**tables: pd.DataFrame) -> list[str]:
    """Sentences on what looks wrong in tables of a reader's own; none where nothing does.

    Args:
      tables: name -> table as its reader in `lib.logs.tables` returns it: measurements, models (a
        second table of measurements), ab_tests, trainings (the second that its reader returns),
        costs, lifts, sizes, scenarios. Relations are looked at between those that are given.

    Raises: TypeError for another name.
    """
    for name in tables:
        if name not in SCHEMAS:
            raise TypeError(f"suspicions: {name!r} is no table; expected {', '.join(SCHEMAS)}")
    found = [
        sentence
        for name, table in tables.items()
        for rule in RULES
        for sentence in _first(path_of(table, name), list(rule(name, table)))
    ]
    found += [sentence for rule in RELATIONS for sentence in rule(tables)]
    return list(dict.fromkeys(found))


def _first(path, sentences):
    """The first sentences of a rule, and how many more there are: a table may have many columns."""
    more = len(sentences) - MOST_ROWS
    rest = [f"{path}: {more} more of this kind"] if more > 0 else []
    return [*sentences[:MOST_ROWS], *rest]


# ---- of one table ----------------------------------------------------------


def _columns_nearly_known(name, table):
    """A column that is read as the reader's own, and is likely one of ours with a slip."""
    path = path_of(table, name)
    known = [column for column, rule in SCHEMAS[name].columns.items() if not rule.regex]
    known += [*schemas.METRICS, "revenue_lift_se", *(f"{metric}_se" for metric in schemas.METRICS)]
    for column in table:
        meant = [other for other in known if plain(other) == plain(column)]
        if meant and column not in known:
            yield f"{path}: column {column!r} is not read: is it {meant[0]!r}?"


def _lifts_in_percent(name, table):
    for column in _lifts(table):
        lifts = table[column]
        others = lifts.abs()[lifts != 0].median()
        # Models that are broken on purpose lose half of the revenue; none earns so much.
        large = (lifts > LARGE_LIFT) | ((lifts > 0.05) & (lifts > 50 * others))
        if large.any():
            value = lifts[large.idxmax()]
            why = f"is a lift of {100 * value:.3g} %; a lift of {value:.3g} % is written "
            yield _of_rows(name, table, column, large, f"{why}{value / 100:.3g}")
        elif len(lifts) > 2 and others > LARGE_LIFTS:
            yield (
                f"{path_of(table, name)}: column {column!r}: half of the lifts are beyond "
                f"{100 * others:.3g} %; a lift of {others:.3g} % is written {others / 100:.3g}"
            )


def _metrics_outside(name, table):
    for column in [*_metrics(table), *(name for name in OTHER_METRICS if name in table)]:
        if not _is_number(table[column]):
            continue
        outside = (table[column] < 0) | (table[column] > 1)
        if outside.any():
            yield _of_rows(name, table, column, outside, "lies outside 0 .. 1")


def _gaps(name, table):
    """A metric that some models lack: notebook 01 compares metrics on the same models."""
    if name not in ("measurements", "models"):
        return
    primary = table["set"] == "primary" if "set" in table else pd.Series(True, table.index)
    for column in _metrics(table):
        gaps = table[column].isna() & primary
        if gaps.any() and not gaps[primary].all():
            yield _of_rows(name, table, column, gaps, "stands where other models have one")


def _constant(name, table):
    for column in [*_metrics(table), *_lifts(table)]:
        values = table[column].dropna()
        if len(values) > 2 and values.nunique() == 1:
            yield (
                f"{path_of(table, name)}: column {column!r} holds {shown(values.iloc[0])} in all "
                f"{len(values)} rows: nothing can be fitted to it"
            )


def _standard_errors(name, table):
    for column in table:
        of = column.removesuffix("_se")
        if of == column or not _is_number(table[column]) or of not in table:
            continue
        errors, values = table[column], table[of]
        # The base against itself has a lift of 0 without any error.
        exact = (errors == 0) & ~((values == 0) & (of in _lifts(table)))
        if exact.any():
            yield _of_rows(name, table, column, exact, "says that nothing was left to chance")
        spread = values.std()
        if values.count() > 3 and 0 < 5 * spread < errors.median():
            yield (
                f"{path_of(table, name)}: column {column!r}: half of the errors are beyond "
                f"{errors.median():.3g}, while {of!r} itself only spreads by {spread:.3g}: are "
                "they in another unit, or of single impressions?"
            )


def _names(name, table):
    for column in ("model", "scenario", "machine", "engine", "precision"):
        if column not in table:
            continue
        path, values = path_of(table, name), table[column].astype(str)
        blank = values != values.str.strip()
        if blank.any():
            yield _of_rows(name, table, column, blank, "begins or ends with a blank")
        spellings = {}
        for value in values.unique():
            spellings.setdefault(plain(value) or value, []).append(value)
        for alike in (names for names in spellings.values() if len(names) > 1):
            yield (
                f"{path}: column {column!r}: {' and '.join(map(shown, alike[:MOST_ROWS]))} are "
                "nearly one name: are they one?"
            )


def _no_known_words(name, table):
    """Rows that notebooks pass over, as they look for another word."""
    for column, words in (("form", FORMS), ("set", ("primary",))):
        if column not in table or (column == "form" and name != "costs"):
            continue
        values = table[column]
        if column == "set":  # others may be the reader's own: models that are to be left out
            passed = (values != "primary") & (values.map(plain) == "primary")
            passed |= ~(values == "primary").any()
        else:
            passed = ~values.isin(FORMS) & (table["family"] != "dlrm")
        if passed.any():
            yield _of_rows(
                name, table, column, passed, f"is left out of fits, which take {' or '.join(words)}"
            )


def _same_numbers(name, table):
    """Models that differ in name alone: a row that was copied, or a training that did not run."""
    columns = [*_metrics(table), *_lifts(table)]
    if "model" not in table or not columns:
        return
    columns = [column for column in columns if table[column].notna().any()]
    apart = [key for key in ("world", "dial", "value", "set") if key in table]
    numbers = table[[*apart, *columns]]
    whole = numbers[columns].notna().all(axis=1) & (numbers[columns] != 0).any(axis=1)
    alike = numbers.duplicated(keep=False) & whole
    # Few digits, or one column, are alike by chance.
    if not alike.any() or (len(columns) < 2 and _digits(table[columns[0]][alike]) < 4):
        return
    for _, rows in itertools.islice(numbers[alike].groupby([*apart, *columns], dropna=False), 3):
        models = [shown(model) for model in table["model"][rows.index].unique()]
        if len(models) > 1:
            yield (
                f"{path_of(table, name)}: rows {_counted(rows.index, table)}: models "
                f"{' and '.join(models[:MOST_ROWS])} agree in {', '.join(columns[:MOST_ROWS])} to "
                "the last digit"
            )


def _repeated(name, table):
    keys = {
        "costs": ["form", "size_parameters", "engine", "precision", "machine", "candidates"],
        "sizes": ["size_parameters"],
        "scenarios": ["scenario", "size_parameters", "revenue", "cost"],
    }.get(name, [])
    keys = [key for key in keys if key in table]
    if name == "costs":
        keys += ["latency_limit_ms"]
    if keys:
        rows = table[keys].copy()
        if "size_parameters" in rows:
            rows["size_parameters"] = rows["size_parameters"].map(str)  # lists cannot be compared
        rows = rows.duplicated(keep=False)
        if rows.any():
            yield (
                f"{path_of(table, name)}: rows {_counted(table.index[rows], table)} agree in "
                f"{', '.join(keys)}: is a row there twice?"
            )


def _flops(name, table):
    if "flops" not in table:
        return
    flops = table["flops"]
    broken = flops.notna() & (flops != np.floor(flops))
    if broken.any():
        why = "is no whole number: FLOPs of one user-ad pair are asked for, not millions of them"
        yield _of_rows(name, table, "flops", broken, why)
    elif flops.max() < FEW_FLOPS:
        why = "is the most: FLOPs of one user-ad pair are asked for, not millions of them"
        yield _of_rows(name, table, "flops", flops == flops.max(), why)
    if "size_parameters" not in table:
        return
    family = table.get("family", pd.Series("mlp", table.index))
    known = flops.notna() & table["size_parameters"].map(lambda size: isinstance(size, list))
    known &= family.isin(["mlp", "twin_tower"])
    counted = pd.Series(np.nan, table.index)
    layers = table["size_parameters"][known].map(len)
    for (kind, _), rows in layers.groupby([family[known], layers]):
        sizes = np.array(table["size_parameters"][rows.index].tolist())
        counted[rows.index] = matrix_flops(sizes, kind)
    ratio = flops / counted
    wrong = (ratio < FLOPS_APART[0]) | (ratio > FLOPS_APART[1])
    if wrong.any():
        row = wrong.idxmax()
        why = (
            f"is {ratio[row]:.3g} times the {counted[row]:,.0f} FLOPs of its size_parameters "
            f"{shown(table['size_parameters'][row])}, where a multiply-add counts as 2"
        )
        yield _of_rows(name, table, "flops", wrong, why)


def _mixed_rows(name, table):
    """Rows of several machines in what one model of a request's time is fitted to."""
    if name != "costs":
        return
    for column in ("machine", "engine", "precision"):
        for form, rows in table.groupby("form") if column in table else ():
            counts = rows[column].value_counts()
            if len(counts) > 1:
                kinds = [f"{shown(kind)} (rows: {count})" for kind, count in counts.items()]
                yield (
                    f"{path_of(table, name)}: column {column!r}: rows of the form {form!r} are of "
                    f"{len(kinds)} kinds, {', '.join(kinds[:MOST_ROWS])}: one model of a request's "
                    "time is fitted to all of them"
                )


def _loads(name, table):
    if name != "costs":
        return
    served = table["qps"] > 0
    exact = served & (table["qps_low"] == table["qps_high"])
    if exact.any():
        yield _of_rows(name, table, "qps", exact, "has an interval of no width")
    wide = served & (table["qps_high"] > 100 * table["qps_low"].where(table["qps_low"] > 0))
    if wide.any():
        yield _of_rows(name, table, "qps", wide, "has an interval of a factor above 100")
    if "service_ms" in table:
        late = served & (table["service_ms"] > table["latency_limit_ms"])
        if late.any():
            why = "is longer than latency_limit_ms, and yet qps is above 0: is one in seconds?"
            yield _of_rows(name, table, "service_ms", late, why)
        if "workers" in table:
            busy = table["qps"] * table["service_ms"] / 1000 > 1.05 * table["workers"]
            if busy.any():
                why = "is more than its workers can do at the service_ms of the row"
                yield _of_rows(name, table, "qps", busy, why)
    for column, total, what in (
        ("machines", table["machines"] * table["qps"], "machines x qps, the load that is carried,"),
        ("cost_per_hour", table["cost_per_hour"] / table["machines"], "the price of a machine"),
    ):
        total = total.where(served & np.isfinite(table["machines"]) & np.isfinite(total))
        middle = total.groupby(table["form"]).transform("median")
        apart = (total > 2 * middle) | (total < middle / 2)
        if apart.any():
            row = apart.idxmax()
            why = f"makes {what} {total[row]:.4g}, where it is {middle[row]:.4g} in other rows"
            yield _of_rows(name, table, column, apart, why)


def _money(name, table):
    if name != "scenarios":
        return
    for column in ("revenue", "cost"):
        values = table[column]
        if (values < 0).any():
            yield _of_rows(name, table, column, values < 0, "is below 0")
        middles = values[np.isfinite(values) & (values > 0)].groupby(table["scenario"]).median()
        if len(middles) > 1 and middles.max() > MANY_TIMES * middles.min():
            yield (
                f"{path_of(table, name)}: column {column!r}: scenario {shown(middles.idxmax())} "
                f"has {middles.max():.3g}, scenario {shown(middles.idxmin())} {middles.min():.3g}: "
                "are both in one currency and unit?"
            )
    revenue, cost = _middle(table["revenue"]), _middle(table["cost"])
    if cost > MANY_TIMES * revenue or revenue > 10**6 * cost:
        yield (
            f"{path_of(table, name)}: column 'revenue' is {revenue:.3g} in the middle, 'cost' "
            f"{cost:.3g}: are both in one currency, per hour?"
        )


RULES = (
    _columns_nearly_known,
    _lifts_in_percent,
    _metrics_outside,
    _gaps,
    _constant,
    _standard_errors,
    _names,
    _no_known_words,
    _same_numbers,
    _repeated,
    _flops,
    _mixed_rows,
    _loads,
    _money,
)

# ---- between tables --------------------------------------------------------


def _without_partner(tables):
    tested = tables.get("ab_tests")
    name = "models" if "models" in tables else "measurements"
    if tested is None or name not in tables:
        return
    measured = tables[name]
    try:
        joined, dropped = schemas.join_tests(measured, tested)
    except TableError as problem:
        yield str(problem)
        return
    for table, other, of in ((measured, tested, name), (tested, measured, "ab_tests")):
        if len(table) > len(joined):
            to = path_of(other, "ab_tests" if of == name else name)
            yield (
                f"{path_of(table, of)}: {len(table) - len(joined)} of {len(table)} rows have no "
                f"partner in {to} and are left out"
            )
    yield from dropped


def _one_model_two_numbers(tables):
    """FLOPs or lifts of one model that differ between two tables."""
    given = [name for name in ("measurements", "models", "ab_tests", "lifts") if name in tables]
    for (one, other), (column, tolerance) in itertools.product(
        itertools.combinations(given, 2), (("flops", 0.01), ("revenue_lift", 9.0))
    ):
        first, second = (tables[name].drop_duplicates("model") for name in (one, other))
        if column not in first or column not in second:
            continue
        both = first[["model", column]].merge(second[["model", column]], on="model").dropna()
        numbers = both.iloc[:, 1:].abs()
        apart = numbers.max(axis=1) > (1 + tolerance) * numbers.min(axis=1)
        apart &= numbers.min(axis=1) > 0
        if apart.any():
            model, *values = both[apart].iloc[0]
            yield (
                f"{path_of(tables[one], one)} and {path_of(tables[other], other)}: column "
                f"{column!r}: model {shown(model)} has {values[0]:g} and {values[1]:g}"
                + (f"; {apart.sum() - 1} more differ" if apart.sum() > 1 else "")
            )


def _costs_in_two_units(tables):
    columns = {"costs": "cost_per_hour", "sizes": "machine_cost_per_hour", "scenarios": "cost"}
    middles = {
        name: _middle(tables[name][column]) for name, column in columns.items() if name in tables
    }
    for (one, first), (other, second) in itertools.combinations(middles.items(), 2):
        if max(first, second) > MANY_TIMES * min(first, second):
            yield (
                f"{path_of(tables[one], one)} and {path_of(tables[other], other)}: columns "
                f"{columns[one]!r} and {columns[other]!r} are {first:.3g} and {second:.3g} in the "
                "middle: are both in one currency, per hour?"
            )


RELATIONS = (_without_partner, _one_model_two_numbers, _costs_in_two_units)

# ---- words -----------------------------------------------------------------


def _of_rows(name, table, column, rows, why) -> str:
    """A sentence on the rows of a mask: the first with its value, how many more."""
    index = table.index[rows]
    model = f" (model {shown(table['model'][index[0]])})" if "model" in table else ""
    more = f" (and {len(index) - 1} more rows)" if len(index) > 1 else ""
    return (
        f"{path_of(table, name)}: column {column!r}, row {_in_file(table, index[0])}{model}: "
        f"{shown(table[column][index[0]])}{more} {why}"
    )


def _counted(index, table):
    """Rows as 3, 4 and 2 more."""
    rows = [str(_in_file(table, row)) for row in index]
    more = len(rows) - MOST_ROWS
    return ", ".join(rows[:MOST_ROWS]) + (f" and {more} more" if more > 0 else "")


def _in_file(table, row):
    """A row's number in its file: rows that were not measured are not in the table."""
    rows = table.attrs.get("rows")
    return rows[row] if rows and len(rows) == len(table) else row


def _digits(values):
    """Fewest digits after the point that any of the values is written with."""
    return min(len(repr(float(value)).partition(".")[2]) for value in values)


def _is_number(column):
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _lifts(table) -> list[str]:
    return [
        column
        for column in table
        if column in ("lift", "revenue_lift", "revenue_lift_gsp", "revenue_lift_true")
        and _is_number(table[column])
    ]


def _metrics(table) -> list[str]:
    return [
        column
        for column in table
        if column.partition("@")[0] in schemas.METRICS and _is_number(table[column])
    ]


def _middle(values) -> float:
    """The median of what is finite and above 0; NaN for none."""
    return float(values[np.isfinite(values) & (values > 0)].median())
