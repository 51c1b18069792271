"""What a reader asks with: tables and prices in one YAML file, checked before anything runs."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.infra.files import fingerprint
from lib.logs import tables
from lib.notebook import checks
from lib.run import places
from lib.run.check import kinds
from lib.run.check.inputs import LEAST_COSTS, check_forms, check_joined, check_law
from lib.run.check.kinds import check_values
from lib.run.check.parameters import kinds_of
from lib.run.check.relations import check_relations
from lib.run.parameters import check_parameters, declared, read_parameters
from lib.run.plan import read_notebook

LAW, DESIGN, ALLOCATION = "02_bnsl_fitting", "04_roi_design", "05_allocation"
TABLES = {
    "measurements": "trained sizes: model, flops, the metric",
    "models": "offline metrics of the tested models; the measurements where it is left out",
    "ab_tests": "online tests of models: model, revenue_lift",
    "costs": "load tests of sizes on a machine",
    "scenarios": "sizes of several scenarios: scenario, size_parameters, revenue, cost",
}
FILES = (*TABLES, "training_costs", "sizes_table", "paper_points")  # parameters that name one
# What has no default that could be anyone's.
REQUIRED = {
    "measurements": f"the path of a table of {TABLES['measurements']}",
    "ab_tests": f"the path of a table of {TABLES['ab_tests']}",
    "costs": f"the path of a table of {TABLES['costs']}",
    "base_model": "the model of the measurements that serves now",
    "base": "its size parameters, as [3328, 1024, 256, 256, 256, 1]",
    "machines_base": "how many machines serve it",
    "price_per_hour": "what one of them costs an hour",
    "revenue_per_hour": "what the system earns an hour, in the same currency",
    "candidates": "how many candidates a request holds",
    "latency_limit_ms": "the limit of a request's p99",
}
OF_THE_LAW = ("metric", "direction", "bound", "held_out", "breaks", "interval")
OF_ALLOCATION = ("scenarios", "budget", "pool_budgets", "horizon_hours")
OWN = {"currency": "", "confidence": 0.9, "tolerance": 5e-4, "near_share": 0.9}
NOT_ASKED = ("output", "trainings")  # of notebook 04; settled here
KINDS = {
    **{name: kinds_of(LAW)[name] for name in OF_THE_LAW},
    **{name: kinds_of(ALLOCATION)[name] for name in OF_ALLOCATION},
    **kinds_of(DESIGN),
    **{"currency": kinds.TEXT, "confidence": kinds.FRACTION, "near_share": kinds.FRACTION},
    "tolerance": kinds.NOT_NEGATIVE,
}
FORM = "first_layer_optimised"  # that notebook 04 serves sizes in


@dataclasses.dataclass(frozen=True)
class Question:
    """What the reader gave, checked.

    Attributes:
      source: where it stands, for messages.
      given: {name: value} of the parameters, tables as absolute paths.
      values: these and the defaults of the others.
      digests: {table's parameter: (file name, SHA-256)}.
      trained, tested, load_tested: numbers of trainings, of tested models, of sizes on a machine.
      largest: FLOPs of the largest trained size over the base's.
      left_out: a sentence on each model that is in one table alone.
    """

    source: str
    given: dict[str, Any]
    values: dict[str, Any]
    digests: dict[str, tuple[str, str]]
    trained: int
    tested: int
    load_tested: int
    largest: float
    left_out: list[str]


def ask(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> Question:
    """A question that can be answered.

    Args:
      path: of a YAML file of parameters: `REQUIRED`, and any other of notebook 04, of the law in
        notebook 02 (`OF_THE_LAW`), of the allocation
        in notebook 05 (`OF_ALLOCATION`), and `currency` (its name). Paths of tables in it
        start at its folder.
      overrides: {name: value} in their place; paths of these start at the working directory.

    Raises: ValueError or TypeError naming the file or parameter, the value and what was expected;
      InputError, which is a ValueError, also column and row of a table.
    """
    overrides = dict(overrides or {})
    source = places.shown(path) if path else "-p"
    defaults = _defaults()
    written = read_parameters(path) if path else {}
    named = written.keys() | overrides.keys()
    values = check_parameters(written, defaults, source=source)
    values = check_parameters(overrides, values, source="-p")
    _check_required(values, named, source)
    folders = {name: Path.cwd() if name in overrides else _folder(path) for name in FILES}
    files = {name: str(folders[name] / values[name]) for name in FILES if values.get(name)}
    files.setdefault("models", files["measurements"])
    values |= files
    _check_values(values, source)
    named |= files.keys()
    found = _check_tables(values, source)
    return Question(
        source=source,
        given={name: value for name, value in values.items() if name in named},
        values=values,
        digests={name: (Path(file).name, fingerprint(file)) for name, file in files.items()},
        **found,
    )


def _folder(path):
    return Path(path).resolve().parent if path else Path.cwd()


def _defaults():
    """{name: default} of all that may be asked."""
    of_design, of_law, of_allocation = map(_declared, (DESIGN, LAW, ALLOCATION))
    return {
        **OWN,
        **{name: of_law[name] for name in OF_THE_LAW},
        **{name: of_allocation[name] for name in OF_ALLOCATION},
        **{name: value for name, value in of_design.items() if name not in NOT_ASKED},
    }


def _declared(stem):
    path = places.REPOSITORY / "notebooks" / f"{stem}.ipynb"
    return declared(read_notebook(path), source=places.shown(path))


def _check_required(values, named, source):
    for name, expected in REQUIRED.items():
        if name not in named or values[name] in ("", []):
            raise ValueError(f"{source}: {name} is missing; expected {expected}")
    if values["scenarios"] and not (values["budget"] or values["pool_budgets"]):
        raise ValueError(
            f"{source}: budget is missing; expected what the scenarios may cost together, or "
            "pool_budgets"
        )


def _check_values(values, source):
    """What the notebooks would refuse, refused before a kernel starts."""
    try:
        check_values(values, KINDS)
        check_relations(DESIGN, values)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _check_tables(values, source):
    metric = values["metric"]
    measured = tables.load_measurements(values["measurements"], need=["flops", metric])
    try:
        base = checks.model_row(measured, base_model=values["base_model"])
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    check_law(measured, metric, values["held_out"], values["direction"], values["bound"])
    offline = tables.load_measurements(values["models"], need=[metric])
    primary, left_out = check_joined(offline, tables.load_ab_tests(values["ab_tests"]), metric)
    served = check_forms(tables.load_costs(values["costs"]), FORM, LEAST_COSTS)
    if values["scenarios"]:
        tables.load_scenarios(values["scenarios"])
    return {
        "trained": len(measured),
        "tested": len(primary),
        "load_tested": len(served),
        "largest": float(measured["flops"].max() / base["flops"]),
        "left_out": left_out,
    }
