"""The files that a notebook's parameters name: they are there, they can be read, they fit.

Tables go through their readers in `lib.logs.tables`, a log through `lib.logs.preview`, a model
file through `lib.serving.model_files.inspect_file`; none of them brings TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pandera.pandas as pa

from lib import design
from lib.logs import tables
from lib.logs.errors import InputError, TableError
from lib.logs.features import load_features
from lib.logs.table_files import cell_error, number, path_of, read_table, text
from lib.notebook import checks
from lib.run import places
from lib.run.check.kinds import shown
from lib.run.check.parameters import kinds_of
from lib.run.check.relations import LEAST_OF_G, LEAST_SIZES

LEAST_OF_A_LAW = 3  # sizes, where no prediction is held against what was measured
LEAST_MODELS = 3  # that G is fitted to
LEAST_COSTS = 3  # sizes that the model of a request's time is fitted to
LEAST_SYSTEMS = 3  # whose scatter says what another one would have given
CACHED = "first_layer_optimised"  # the form that sizes are served in
SYSTEM = ("parameters.json", "logs.parquet", "features.yaml")  # files of a system's folder
# Parameter -> what `lib.logs.suspicions` calls its table.
AS_TABLE = {
    **{name: name for name in ("measurements", "models", "ab_tests", "trainings", "costs")},
    **{"lifts": "lifts", "pre_ranking_sizes": "sizes", "scenarios": "scenarios"},
}
# Tables that only one notebook reads.
AGES = pa.DataFrameSchema({"age_minutes": number(ge=0), "metric": number()})
FURTHER = pa.DataFrameSchema(
    {
        "samples": number(ge=1),
        "seed": number(),
        "way": text(),
        "expected_normalised_entropy": number(nullable=True),
    }
)


@dataclasses.dataclass
class Inputs:
    """What a notebook reads, each file opened once.

    Attributes:
      values: the notebook's parameters.
      pending: folder -> code of the notebook of the same run that will have written into it.
      opened: what was read, by path and how; shared by the notebooks of a run.
      tables: parameter -> DataFrame; logs, models: parameter -> facts by name.
      awaited: parameter -> path of what is not there yet.
    """

    values: Mapping[str, Any]
    pending: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    opened: dict = dataclasses.field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    logs: dict[str, dict] = dataclasses.field(default_factory=dict)
    models: dict[str, dict] = dataclasses.field(default_factory=dict)
    awaited: dict[str, str] = dataclasses.field(default_factory=dict)

    def path(self, name: str, expected: str, *, shipped: bool = False) -> str | None:
        """The path that a parameter gives, which is there; None for one that is awaited.

        Args:
          expected: what should lie there, for the error.
          shipped: whether the notebook also looks for it in the repository.

        Raises: InputError naming parameter and path where nothing lies there.
        """
        given = self.values[name]
        absolute = places.root() / given
        try:
            for folder, code in self.pending.items():
                if absolute.resolve().is_relative_to(folder):
                    _check_awaited(name, given, absolute.resolve().relative_to(folder), code)
                    self.awaited[name] = given
                    return None
            absolute = places.shipped(given) if shipped else absolute
            there = absolute.exists()
        except OSError:  # too long for a name
            there = False
        if not there:
            raise InputError(
                f"{name}: {shown(given)[1:-1]}: no such file; expected {expected}{_maker(given)}"
            )
        return str(absolute) if shipped and absolute != places.root() / given else given

    def table(self, name: str, load: Callable, *, shipped: bool = False, **options):
        """A table, checked; None where no path is given, or it is awaited."""
        if not self.values.get(name):
            return None
        path = self.path(name, f"a table of {name}", shipped=shipped)
        if path is None:
            return None
        table = self.once(functools.partial(load, path, **options), (load, path, str(options)))
        self.tables[name] = table
        return table

    def once(self, read, key):
        """What `read` gives, read once."""
        if key not in self.opened:
            self.opened[key] = read()
        return self.opened[key]

    def folder(self, name: str, expected: str) -> Path | None:
        """A folder that a parameter gives; None for one that is awaited."""
        path = self.path(name, expected)
        if path is not None and not (places.root() / path).is_dir():
            raise InputError(f"{name}: {path}: is a file; expected {expected}")
        return None if path is None else places.root() / path

    def log(self, name="logs", *, features="features", without=(), impressions=0, **asked):
        """A log, held against its features file and against what is asked of it.

        Args:
          without: features that are left out.
          impressions: that are trained and tested on together.
          asked: `cuts`, parameter -> number of ads (m, k) that metrics keep of a list; `metric`.
        """
        paths = [
            self.path(name, "a Parquet file or a folder of them"),
            self.path(features, "a features file (YAML)"),
        ]
        if None in paths:
            return
        if not (places.root() / paths[1]).is_file():
            raise InputError(
                f"{features}: {paths[1]}: is a folder; expected a features file (YAML)"
            )
        self._log(name, *paths, without, impressions, **asked)

    def system(self, cuts=None):
        """The folder of a simulated system, as notebook 00 builds it."""
        folder = self.folder("system", "the folder of a system that notebook 00 built")
        if folder is None:
            return
        for file in SYSTEM:
            if not (folder / file).is_file():
                raise InputError(
                    f"system: {self.values['system']}: {file} is missing; expected the folder of a "
                    f"system that notebook 00 built{_maker(self.values['system'])}"
                )
        paths = (str(folder / "logs.parquet"), str(folder / "features.yaml"))
        self._log("system", *paths, (), 0, cuts)

    def _log(self, name, logs, features, without, impressions, cuts=None, metric=None):
        from lib.logs import preview

        load_features(features).without([feature for feature in without if feature])
        facts = self.once(lambda: preview(logs, features), (preview, logs, features))
        self.logs[name] = facts
        if facts["impressions"] < impressions:
            raise InputError(
                f"{logs}: holds {facts['impressions']:,} impressions; expected {impressions:,} or "
                "more, for training and test together"
            )
        if metric and metric not in facts["metrics"]:
            raise InputError(
                f"metric must be one of {', '.join(facts['metrics'])}, which {logs} defines "
                f"(no ad of it has ecpm > 0); got {metric!r}"
            )
        for cut, ads in (cuts or {}).items():
            if ads > facts["longest"]:
                raise InputError(
                    f"{cut} must be at most {facts['longest']}, the ads of the longest list in "
                    f"{logs}; got {ads}"
                )

    def model(self, name, **options):
        """A model file, looked at without running anything that is in it."""
        from lib.serving.model_files import inspect_file

        path = self.path(name, "a model file (ONNX, Keras) or the folder of a SavedModel")
        if path is not None:
            self.models[name] = inspect_file(path, **options)

    def suspicions(self) -> list[str]:
        """What looks wrong in what could be read, a sentence each."""
        from lib.logs.suspicions import suspicions

        sentences = suspicions(
            **{AS_TABLE[name]: table for name, table in self.tables.items() if name in AS_TABLE}
        )
        for facts in self.logs.values():
            short = [
                f"{name} = {self.values[name]}"
                for name in ("m", "k")
                if self.values.get(name, 0) > facts["shortest"]
            ]
            if short:
                sentences.append(
                    f"{self.values.get('logs') or self.values.get('system')}: the shortest list "
                    f"has {facts['shortest']} ads, fewer than {' and '.join(short)}: whoever ranks "
                    "it, all of it is kept"
                )
        return sentences


def _check_awaited(name, given, within, code):
    """Refuse a file that the notebook which is to write it does not write."""
    if within.parts[:1] == ("cache",):
        known = within.as_posix() in ("cache/system", *(f"cache/system/{file}" for file in SYSTEM))
        known = known and "/cache/system" in code
    else:
        written = re.search(rf'(?<!figure\()"{re.escape(within.stem)}"', code)
        known = written and within.suffix in (".csv", ".npz")
    if not known:
        raise InputError(
            f"{name}: {given}: no notebook of this run writes this file; expected the path of one "
            "that is there or that is written"
        )


def _maker(path):
    """Which notebook of this repository writes a path, to be run first."""
    parts = Path(path).parts
    for place, part in enumerate(parts[:-1]):
        stem = parts[place + 2] if part == "outputs" and len(parts) > place + 2 else ""
        if (places.REPOSITORY / "notebooks" / f"{stem}.ipynb").is_file():
            return f" (notebook {stem} writes it; run that first)"
    return ""


# ---- what each notebook reads ---------------------------------------------


def _logs(inputs, given):
    if given.logs:
        inputs.log()


def _metric_validation(inputs, given):
    if given.measurements or given.ab_tests:
        measured = inputs.table("measurements", tables.load_measurements, need=["r_over_r_star"])
        tested = inputs.table("ab_tests", tables.load_ab_tests)
        if measured is not None and tested is not None:
            _check_population(tables.join_tests(measured, tested)[0], measured, tested)
    elif given.trainings:
        inputs.table("trainings", _trainings)
    else:
        inputs.system({"m": given.m, "k": given.k, "cuts": max(given.cuts)})


def _lists_without_tests(inputs, given):
    inputs.path("data", f"the files of {given.dataset}")


def _scaling_law(inputs, given):
    if given.measurements:
        measured = inputs.table(
            "measurements", tables.load_measurements, shipped=True, need=["flops"]
        )
        if measured is not None:
            checks.column(measured, metric=given.metric)
            check_law(measured, given.metric, given.held_out, given.direction, given.bound)
    elif given.dataset:
        inputs.path("data", f"the files of {given.dataset}")
    else:
        inputs.log(
            without=given.without,
            impressions=given.train_impressions + given.test_impressions,
            cuts={"m": given.m, "k": given.k},
            metric=given.metric,
        )
    lifts = inputs.table("lifts", tables.load_lifts, shipped=True)
    if lifts is not None:
        checks.model_row(lifts, base_model=given.base_model)
        checks.model_row(lifts, reference_model=given.reference_model)
    trainings = inputs.table("trainings", _trainings, shipped=True)
    if trainings is not None:
        checks.column(trainings, metric=given.metric)
        for model in given.held_out_models:
            checks.one_of(trainings.model.unique(), held_out_models=model)


def _shapes_and_data(inputs, given):
    inputs.log(
        impressions=given.test_start + given.test_impressions,
        cuts={"m": given.m, "k": given.k},
        metric="r_over_r_star",
    )
    if given.system:
        inputs.system()
    if "features" not in inputs.awaited:
        from lib.experiments.shape_study.shapes import shapes_at

        declared = load_features(given.features)
        widths = declared.width("user") + declared.width("ad")
        shapes_at(given.levels, given.ratios, given.other_shapes, widths, given.rule)
    trainings = inputs.table("trainings", _trainings, shipped=True)
    if trainings is not None:
        checks.one_of(trainings.world.unique(), world=given.world)


def _costs(inputs, given):
    costs = inputs.table("costs", tables.load_costs)
    if costs is not None:
        check_forms(costs, CACHED, 1)
    inputs.table("recorded_costs", tables.load_costs, shipped=True)
    points = inputs.table(
        "law_points", tables.load_measurements, shipped=True, need=["flops", "r_over_r_star"]
    )
    if points is not None:
        check_law(points, "r_over_r_star", bound=1.0, least=LEAST_OF_A_LAW)
    tests = inputs.table("law_tests", tables.load_lifts, shipped=True)
    if tests is not None:
        _model("law_tests", tests, "base")
        checks.model_row(tests, reference_model=given.reference_model)
    if given.model_file:
        inputs.model(
            "model_file",
            candidates=given.candidates,
            ids=given.ids or None,
            axis_lengths=given.axis_lengths,
            engine=given.engine,
            precision=given.precision,
        )


def _design(inputs, given):
    if given.measurements or given.models or given.ab_tests:
        measured = inputs.table("measurements", tables.load_measurements, need=["flops"])
        if measured is not None:
            checks.column(measured, metric=given.metric)
            checks.model_row(measured, base_model=given.base_model)
            check_law(measured, given.metric, least=LEAST_OF_A_LAW)
        offline = inputs.table("models", tables.load_measurements)
        if offline is not None:
            checks.column(offline, metric=given.metric)
        _joined(offline, inputs.table("ab_tests", tables.load_ab_tests), given.metric)
    else:
        trainings = inputs.table("trainings", _trainings)
        if trainings is not None:
            checks.column(trainings, metric=given.metric)
            plain = trainings[trainings["dial"] == ""]
            if plain["world"].nunique() < LEAST_SYSTEMS:
                raise TableError(
                    f"{path_of(trainings)}: column 'world': {plain['world'].nunique()} systems, "
                    f"expected {LEAST_SYSTEMS} or more; for tables of one system give "
                    "measurements, models and ab_tests"
                )
    costs = inputs.table("costs", tables.load_costs)
    if costs is not None:
        check_forms(costs, CACHED, LEAST_COSTS)
    inputs.table("training_costs", tables.load_training_costs)
    if given.sizes_table:
        inputs.path("sizes_table", "a table of sizes")
        sizes = tables.load_grid(given.sizes_table)
        try:
            design.with_size(design.own_sizes(sizes), given.base, "base")
        except ValueError as error:
            raise InputError(f"{given.sizes_table}: {error}") from None
    points = inputs.table(
        "paper_points", tables.load_measurements, shipped=True, need=["flops", "r_over_r_star"]
    )
    if points is not None:
        tables.load_lifts(Path(path_of(points)).with_name("lifts.csv"))


def _allocation(inputs, given):
    if given.scenarios:
        scenarios = inputs.table("scenarios", tables.load_scenarios)
        if scenarios is not None:
            _pools(scenarios, given.pool_budgets)
        return
    inputs.table("pre_ranking_sizes", tables.load_sizes)
    costs = inputs.table("costs", tables.load_costs)
    if costs is not None:
        check_forms(costs, "twin_tower", LEAST_COSTS)
    if given.measurements or given.ab_tests:
        measured = inputs.table("measurements", tables.load_measurements, need=["flops"])
        if measured is not None:
            checks.column(measured, metric=given.metric)
            checks.model_row(measured, base_model=given.base_model)
            check_law(measured, given.metric, least=LEAST_OF_A_LAW)
        _joined(measured, inputs.table("ab_tests", tables.load_ab_tests), given.metric)
    else:
        inputs.system({"m": given.m, "k": given.k})


def _click_models(inputs, given):
    if given.dataset != "simulated":
        inputs.path("data", f"the files of {given.dataset}")
    inputs.table("one_more_decade", _further, shipped=True)


def _pipeline(inputs, given):
    ages = inputs.table("ages", _ages, shipped=True)
    if ages is not None and len(ages) < 2:
        raise TableError(f"{path_of(ages)}: found 1 row, expected two or more")


INPUTS: dict[str, Callable[[Inputs, Any], None]] = {
    "00_logs": _logs,
    "01_metric_validation": _metric_validation,
    "01b_lists_without_tests": _lists_without_tests,
    "02_bnsl_fitting": _scaling_law,
    "02b_shape_and_data": _shapes_and_data,
    "03_cost_simulation": _costs,
    "04_roi_design": _design,
    "05_allocation": _allocation,
    "06_dlrm_scaling": _click_models,
    "07_online_pipeline": _pipeline,
}


def open_inputs(
    stem: str,
    values: Mapping[str, Any],
    pending: Mapping[Path, str] | None = None,
    opened: dict | None = None,
) -> Inputs:
    """All that a notebook reads, opened and held against its parameters.

    Args: as `Inputs`. Where a notebook lacks one of its parameters, as one of an older version
      does, nothing is opened.

    Raises: ValueError, in one line, for a file that is missing or that the notebook cannot use.
    """
    inputs = Inputs(values, pending or {}, {} if opened is None else opened)
    if stem in INPUTS and kinds_of(stem).keys() <= values.keys():
        INPUTS[stem](inputs, SimpleNamespace(**values))
    return inputs


# ---- relations of tables --------------------------------------------------


def check_law(
    measured: pd.DataFrame,
    metric: str,
    held_out: int = 0,
    direction: str = "rising",
    bound: float | None = None,
    least: int = LEAST_SIZES,
) -> None:
    """TableError where no law can be fitted to a table of measurements.

    Args:
      held_out: the largest sizes, which the law is to predict.
      direction, bound: of the metric, none of whose values may reach the bound; None: no bound.
      least: sizes that the law is fitted to.
    """
    sizes = measured["flops"].nunique()
    if sizes < least + held_out:
        further = f" and held_out = {held_out}" if held_out else ""
        raise TableError(
            f"{path_of(measured)}: column 'flops': found {sizes} different sizes, expected "
            f"{least + held_out} or more: {least} that the law is fitted to{further}"
        )
    if bound is None:
        return
    rising = direction == "rising"
    beyond = measured[metric] >= bound if rising else measured[metric] <= bound
    if beyond.any():
        row = int(beyond.idxmax())
        raise cell_error(
            measured,
            row,
            metric,
            float(measured[metric][row]),
            f"a number {'below' if rising else 'above'} bound = {bound:g}",
        )


def check_joined(
    offline: pd.DataFrame, tests: pd.DataFrame, metric: str
) -> tuple[pd.DataFrame, list[str]]:
    """(primary models that were measured and tested, sentences on those in one table alone).

    Raises: TableError where they are too few for G, or do not differ in metric or lift.
    """
    from lib.validation.tested_models import primary_models  # brings scikit-learn

    tested, left_out = tables.join_tests(offline, tests)
    primary = primary_models(tested)
    errors = {f"{metric}_se", "revenue_lift_se"} <= set(primary)
    least = LEAST_OF_G if errors else LEAST_MODELS
    if len(primary) < least:
        raise TableError(
            f"{path_of(tests)}: column 'model': {len(primary)} of its models stand in "
            f"{path_of(offline)} as well, expected {least} or more: what the metric is worth is "
            "fitted to them"
        )
    for table, column in ((offline, metric), (tests, "revenue_lift")):
        if primary[column].nunique() < 2:
            raise TableError(
                f"{path_of(table)}: column {column!r}: found {primary[column].iloc[0]} for all "
                f"{len(primary)} models that were measured and tested, expected some that differ"
            )
    return primary, left_out


def check_forms(costs: pd.DataFrame, form: str, least: int) -> pd.DataFrame:
    """The rows of a costs table that are of a form; TableError where they are too few."""
    rows = costs[costs["form"] == form]
    if len(rows) < least:
        raise TableError(
            f"{path_of(costs)}: column 'form': {len(rows)} rows are {form!r}, expected {least} or "
            f"more sizes in this form; it has {', '.join(sorted(set(costs['form'])))}"
        )
    return rows


def _check_population(joined, measured, tested):
    """TableError where a world has too few models for a metric to be compared on."""
    primary = joined[(joined["dial"].fillna("") == "") & (joined["set"] == "primary")]
    for world, models in primary.groupby("world", sort=False):
        if len(models) < LEAST_MODELS:
            raise TableError(
                f"{path_of(tested)}: column 'model': {len(models)} primary models of the world "
                f"{shown(world)} stand in {path_of(measured)} as well, expected {LEAST_MODELS} or "
                "more"
            )
    if primary.empty:
        raise TableError(
            f"{path_of(measured)}: column 'set': no row that was tested is 'primary', without a "
            f"dial; expected {LEAST_MODELS} or more"
        )


def _joined(measured, tested, metric):
    if measured is not None and tested is not None:
        check_joined(measured, tested, metric)


def _model(name, table, model):
    if model not in set(table["model"]):
        raise TableError(
            f"{path_of(table)}: column 'model': {model!r} is missing, from which the lifts of "
            f"{name} count; found {shown(table['model'].tolist())}"
        )


def _pools(scenarios, budgets):
    if not budgets:
        return
    if "pool" not in scenarios:
        raise TableError(
            f"{path_of(scenarios)}: column 'pool' is missing; expected with pool_budgets = "
            f"{shown(budgets)}"
        )
    for name in scenarios["pool"].unique():
        checks.one_of(budgets, pool=name)


def _trainings(path):
    return tables.load_trainings(path)[1]


def _ages(path):
    return read_table(path, AGES, name="ages")


def _further(path):
    return read_table(path, FURTHER, name="one_more_decade")
