"""How the parameters of a notebook must fit each other.

A relation is a function whose arguments are parameters; it is asked where the notebook has all of
them. What `lib.experiments` and `lib.online` would refuse once they begin is refused here without
TensorFlow, which they bring.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from lib import design
from lib.experiments.dlrm_study.sizes import ways_to_scale
from lib.logs.tables import METRICS
from lib.models.size_parameters import check_size_parameters
from lib.notebook import checks
from lib.online.plan import Rates, Workload
from lib.run.check.kinds import WINDOW, said, shown
from lib.simulation.drifting import DAY, DriftParameters
from lib.simulation.parameters import WorldParameters, world_parameters

GRID = (  # parameters of notebook 04 that are `lib.design.size_grid`'s
    *("ratio_from", "ratio_max", "flops_max", "sparse_features", "dense_width", "embedding_min"),
    *("embedding_step", "hidden_layers", "units_min", "units_step", "first_layer_max"),
)
LEAST_SIZES = 4  # that a law is fitted to (lib.laws.held_out, which brings scikit-learn)
LEAST_TOWERS = 3  # that Matching's law is fitted to
LEAST_OF_G = 4  # models that a line with errors of both its axes is fitted to
LEAST_ON_DIALS = 3  # models that a correlation is of
LEAST_SHAPES = 2  # at a level that are within the rule
SCANNED = 1000  # ads that a scan of notebook 03 returns
FULL_METRICS = ("r_over_r_star_full",)  # of a study (lib.validation.population)
# Engine -> precisions that it computes in, and the package that it needs (lib.serving.engines).
ENGINES = {
    "onnxruntime": (("fp32",), "onnxruntime"),
    "openvino": (("fp32", "fp16", "bf16"), "openvino"),
    "tensorflow_xla": (("fp32",), "tensorflow"),
    "jax_xla": (("fp32", "fp16"), "jax"),
    "tensorrt": (("fp16", "fp32"), "tensorrt"),
}
BLOCK = 5  # minutes whose R/R* is one row, in notebook 07


def check_relations(stem: str, values: Mapping[str, Any]) -> None:
    """ValueError, in one line, for parameters of a notebook that do not fit each other."""
    for relation in RELATIONS.get(stem, ()):
        names = inspect.signature(relation).parameters
        if names.keys() <= values.keys():
            relation(**{name: values[name] for name in names})


# ---- logs and trainings ---------------------------------------------------


def features_of_logs(logs, features):
    if logs and not features:
        raise ValueError("features must name the features file (YAML) of logs; got ''")
    if features and not logs:
        raise ValueError(f"logs must name the log that features = {shown(features)} is of; got ''")


def log_leaves_a_test(log_impressions, train_impressions):
    checks.below(log_impressions, train_impressions=train_impressions)


def cuts_hold_m(cuts, m):
    if m not in cuts:
        raise ValueError(f"cuts must hold m = {m}; got {cuts}")


# ---- the study of notebooks 01 and 01b ------------------------------------


def tables_in_pairs(measurements, ab_tests):
    for name, path, partner in (
        ("measurements", measurements, "ab_tests"),
        ("ab_tests", ab_tests, "measurements"),
    ):
        if not path and (measurements or ab_tests):
            raise ValueError(f"{name} must name a table, needed with {partner}; got ''")


def study_of_worlds(
    variants, worlds, world_study, held_out, dials, dial_study, stale, system, measurements
):
    if measurements:
        return
    if not system:
        raise ValueError("system must name the folder that notebook 00 built; got ''")
    _models(variants, stale, LEAST_OF_G)
    on_dials = sum(line.get("on_dials", False) for line in variants)
    if dials and on_dials < LEAST_ON_DIALS:
        raise ValueError(
            f"variants must hold {LEAST_ON_DIALS} or more with on_dials = true, which the dials "
            f"are turned for; got {on_dials}"
        )
    for name, lines, study in (("worlds", worlds, "world_study"), ("dials", dials, "dial_study")):
        given = world_study if study == "world_study" else dial_study
        if lines and not given:
            raise ValueError(f"{study} must hold base, visits and seeds, for {name}; got {{}}")
        if given:
            _system(f"{study}['base']", given["base"])
    _worlds(worlds, dials, dial_study.get("changes", {}))
    known = [f"{line['world']} seed {seed}" for line in worlds for seed in line["seeds"]]
    for name in held_out.get("worlds", ()):
        if name not in known:
            raise ValueError(
                f"held_out['worlds'] must be some of {', '.join(known) or 'none'}; got {name!r}"
            )


def _models(variants, stale=0.0, least=0):
    primary = [line for line in variants if line.get("set", "primary") == "primary"]
    if len(primary) < least:
        raise ValueError(
            f"variants must hold {least} or more models of the primary set, which G is fitted to; "
            f"got {len(primary)}"
        )
    names = [line["model"] for line in variants]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(f"variants must have different models; got {name!r} twice")
    for place, line in enumerate(variants):
        if line.get("log") == "stale" and not stale:
            raise ValueError(
                f"variants[{place}]['log']: {line['model']!r} trains on the stale log; stale must "
                f"be > 0; got {stale}"
            )


def _worlds(worlds, dials, shared):
    for place, line in enumerate(worlds):
        _world(f"worlds[{place}]['changes']", line["world"], line.get("changes", {}))
    for place, line in enumerate(dials):
        points = line.get("points")
        if not (points or line.get("values")):
            raise ValueError(f"dials[{place}] must have values or points; got {shown(line)}")
        for value in () if points else line["values"]:
            changes = shared | {line["dial"]: value}
            _world(f"dials[{place}] {line['dial']!r}", line["world"], changes)
        for number, point in enumerate(points or ()):
            changes = shared | point["changes"]
            _world(f"dials[{place}]['points'][{number}]['changes']", line["world"], changes)


def _world(name, preset, changes):
    try:
        return world_parameters(preset, **changes)
    except ValidationError as error:
        raise ValueError(
            f"{said(name, error)} (known: {', '.join(WorldParameters.model_fields)})"
            if error.errors()[0]["type"] == "extra_forbidden"
            else said(name, error)
        ) from None


def _system(name, values):
    if values["train_impressions"] > values["log_impressions"]:
        raise ValueError(
            f"{name}['train_impressions'] must not exceed log_impressions = "
            f"{values['log_impressions']}; got {values['train_impressions']}"
        )


def study_of_lists(base, variants, data, dataset):
    _models(variants, least=LEAST_OF_G)
    _folder_of(dataset, data)
    if base["train_impressions"] >= base["log_impressions"]:
        raise ValueError(
            f"base['train_impressions'] must be below log_impressions = {base['log_impressions']}; "
            f"got {base['train_impressions']}"
        )


def _folder_of(dataset, data):
    if dataset not in ("", "simulated") and not data:
        raise ValueError(f"data must name the files of {dataset}; got ''")


# ---- laws -----------------------------------------------------------------


def law_of_sizes(sizes, seeds, held_out, metric, family, dataset, data, measurements):
    if measurements:
        return
    checks.not_empty(sizes=sizes, seeds=seeds)
    for name, values in (("sizes", sizes), ("seeds", seeds)):
        twice = [value for place, value in enumerate(values) if value in values[:place]]
        if twice:
            raise ValueError(f"{name} must be different; got {twice[0]} twice")
    if family == "mlp" and any(layers[-1] != 1 for layers in sizes):
        raise ValueError(f"sizes of an mlp must each end in 1; got {shown(sizes)}")
    if len(sizes) < LEAST_SIZES + held_out:
        raise ValueError(
            f"sizes must be {LEAST_SIZES} or more beside the largest held_out = {held_out}; got "
            f"{len(sizes)}"
        )
    checks.one_of(METRICS, metric=metric)
    _folder_of(dataset, data)


def log_or_measurements(logs, features, dataset, measurements):
    if not (measurements or dataset):
        features_of_logs(logs, features)
        checks.not_empty(logs=logs)


def tests_of_sizes(lifts, base_model, reference_model):
    if lifts:
        checks.not_empty(base_model=base_model, reference_model=reference_model)


# ---- shapes and data ------------------------------------------------------


def base_among_sizes(sizes, base_hidden):
    checks.one_of(sizes, base_hidden=base_hidden)


def joint_law(sizes, amounts):
    for name, values in (("sizes", sizes), ("amounts", amounts)):
        if len(values) < 3:
            raise ValueError(
                f"{name} must be 3 or more, which the joint law is fitted to; got {values}"
            )


def passes_measured(amounts, shape_impressions, test_start):
    for name, values in (("amounts", amounts), ("shape_impressions", [shape_impressions])):
        odd = [value for value in values if value % WINDOW]
        if odd:
            raise ValueError(f"{name} must be multiples of {WINDOW}; got {odd[0]}")
        if values[-1] > test_start:
            raise ValueError(
                f"{name} must be at most test_start = {test_start}, where the test begins; got "
                f"{values[-1]}"
            )


def shapes_to_compare(levels, ratios, other_shapes, rule, shape_seeds):
    for name, values in (("levels", levels), ("shape_seeds", shape_seeds)):
        if len(values) < 2:
            raise ValueError(f"{name} must be two or more, to tell noise; got {values}")
    names = [f"ratio {ratio:g}" for ratio in ratios] + [line["shape"] for line in other_shapes]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(f"ratios and other_shapes must be different; got {name!r} twice")
    if sum(ratio <= rule for ratio in ratios) < LEAST_SHAPES:
        raise ValueError(
            f"ratios must hold {LEAST_SHAPES} or more within rule = {rule:g}; got {ratios}"
        )
    rows, needed = len(levels) * len(ratios), 2 * len(levels) + 1
    if rows <= needed:
        raise ValueError(
            f"ratios must be more than {needed // len(levels)}, for where losing begins; got "
            f"{ratios}"
        )


def something_beside_serving(training_per_hour, data_per_hour):
    if training_per_hour + data_per_hour == 0:
        raise ValueError(
            "training_per_hour or data_per_hour must be > 0, else data cost nothing; got 0 and 0"
        )


# ---- costs ----------------------------------------------------------------


def sizes_like_the_base(base, paper_sizes):
    grid_layers = design.size_grid().size_parameters.shape[1]
    if len(base) != grid_layers:
        raise ValueError(
            f"base must have {grid_layers} size parameters, as the sizes of the grid; got {base}"
        )
    for place, size in enumerate(paper_sizes):
        if len(size) != len(base):
            raise ValueError(
                f"paper_sizes[{place}] must have {len(base)} size parameters, as base; got {size}"
            )


def scanned_ads(corpora):
    if min(corpora) < SCANNED:
        raise ValueError(
            f"corpora must each hold {SCANNED} ads or more, as many as a scan returns; got "
            f"{min(corpora)}"
        )


def engine_of_precision(engine, precision, costs, model_file):
    precisions, module = ENGINES[engine]
    if precision not in precisions:
        raise ValueError(
            f"precision must be one of {', '.join(map(repr, precisions))} with engine = "
            f"{engine!r}; got {precision!r}"
        )
    measures = model_file or not costs  # of a table of another machine it says which
    if measures and importlib.util.find_spec(module) is None:
        raise ValueError(
            f"engine must be one whose library is installed here; got {engine!r}, which needs "
            f"the Python package {module}"
        )


# ---- decisions ------------------------------------------------------------


def grid_of_sizes(
    base,
    sizes_table,
    ratio_from,
    ratio_max,
    flops_max,
    sparse_features,
    dense_width,
    embedding_min,
    embedding_step,
    hidden_layers,
    units_min,
    units_step,
    first_layer_max,
):
    if not sizes_table:
        rules = locals()
        design.with_size(design.size_grid(**{name: rules[name] for name in GRID}), base, "base")


def one_system_or_several(measurements, models, ab_tests, base_model, trainings, metric):
    if measurements or models or ab_tests:
        for name, value in (
            ("measurements", measurements),
            ("models", models),
            ("ab_tests", ab_tests),
        ):
            if not value:
                raise ValueError(
                    f"{name} must name a table; got '' (measurements, models, ab_tests and "
                    "base_model go together, in place of trainings)"
                )
        checks.not_empty(base_model=base_model)
    else:
        checks.not_empty(trainings=trainings)
        # A study also holds metrics at other cuts, as recall@3, and of all candidates.
        checks.one_of((*METRICS, *FULL_METRICS), metric=metric.partition("@")[0])


def memory_holds_the_base(base, ads, part_bytes, memory_bytes_max, ad_cache_bytes_max):
    cache = float(ads) * base[1] * part_bytes
    weights = 4.0 * sum(before * units for before, units in itertools.pairwise(base))
    for name, need, most in (
        ("ad_cache_bytes_max", cache, ad_cache_bytes_max),
        ("memory_bytes_max", cache + weights, memory_bytes_max),
    ):
        if most and need > most:
            raise ValueError(
                f"{name} must allow for the base {base}, which needs {need:g}; got {most:g}"
            )


def tables_of_embeddings(embedding_rows, base, dense_width):
    if embedding_rows and base[0] < dense_width:
        raise ValueError(
            f"dense_width must be at most the base's input of {base[0]}; got {dense_width}"
        )


def budget_of_scenarios(scenarios, budget, pool_budgets):
    if scenarios and not (budget or pool_budgets):
        raise ValueError(
            "budget must be what the scenarios may cost together, or pool_budgets what each pool "
            "may; got 0 and {}"
        )


def towers_of_matching(
    scenarios, measurements, ab_tests, base_model, base_hidden, sizes, seeds, metric
):
    if scenarios:
        return
    if measurements or ab_tests:
        tables_in_pairs(measurements, ab_tests)
        checks.not_empty(base_model=base_model)
        return
    checks.one_of(METRICS, metric=metric)
    checks.one_of(sizes, base_hidden=base_hidden)
    if len(sizes) < LEAST_TOWERS:
        raise ValueError(
            f"sizes must be {LEAST_TOWERS} or more, which a law is fitted to; got {len(sizes)}"
        )
    _enough_for_g("sizes", len(sizes) * len(seeds), "sizes x seeds")


def inputs_of_stages(scenarios, pre_ranking_sizes, costs):
    if not scenarios:
        checks.not_empty(pre_ranking_sizes=pre_ranking_sizes, costs=costs)


def tower_of_costs(twin_tower_base, output_units):
    check_size_parameters(twin_tower_base, "twin_tower")
    if len(twin_tower_base) < 3:
        raise ValueError(f"twin_tower_base must have a hidden layer or more; got {twin_tower_base}")


def log_of_matching(scenarios, measurements, log_impressions, train_impressions):
    if not (scenarios or measurements):
        log_leaves_a_test(log_impressions, train_impressions)


# ---- two stages, deployed choices -----------------------------------------


def todays_among_options(
    towers, base_tower, mlps, hidden, candidates, deployed_mlps, deployed_candidates, budgets
):
    checks.one_of(towers, base_tower=base_tower)
    checks.one_of(mlps, hidden=hidden)
    checks.one_of(deployed_mlps, hidden=hidden)
    for name, options, own in (
        ("deployed_mlps", mlps, deployed_mlps),
        ("deployed_candidates", candidates, deployed_candidates),
    ):
        for option in own:
            checks.one_of(options, **{name: option})
    if 1.0 not in budgets:
        raise ValueError(f"budgets must hold 1.0, what both stages cost today; got {budgets}")


def candidates_of_the_world(world, world_changes, candidates, deployed_candidates):
    known = _world("world_changes", world, world_changes)
    own = known.matching_ads
    for name, options in (("candidates", candidates), ("deployed_candidates", deployed_candidates)):
        if own not in options:
            raise ValueError(
                f"{name} must hold {own}, the world's own number that Matching hands on; got "
                f"{options}"
            )
    if candidates[-1] > known.ads:
        raise ValueError(
            f"candidates must be at most the world's {known.ads} ads; got {candidates[-1]}"
        )


def users_of_the_world(world, world_changes, test_users):
    users = _world("world_changes", world, world_changes).users
    if test_users > users:
        raise ValueError(f"test_users must be at most the world's {users} users; got {test_users}")


def users_of_the_preset(world, test_users):
    users_of_the_world(world, {}, test_users)


def surface_is_fitted(towers, mlps, candidates):
    for name, values, least in (
        ("towers", towers, 2),
        ("mlps", mlps, 2),
        ("candidates", candidates, 3),
    ):
        if len(values) < least:
            raise ValueError(f"{name} must be {least} or more, today's among them; got {values}")


def _enough_for_g(name, models, what):
    if models < LEAST_OF_G:
        raise ValueError(
            f"{name} must give {LEAST_OF_G} or more models ({what}), which G is fitted to; got "
            f"{models}"
        )


def models_for_g(law_sizes, law_seeds, variants, towers, tower_seeds):
    for name, sizes in (("law_sizes", law_sizes), ("towers", towers)):
        if len(sizes) < LEAST_TOWERS:
            raise ValueError(
                f"{name} must be {LEAST_TOWERS} or more, which a law is fitted to; got {len(sizes)}"
            )
    trained = len(law_sizes) * len(law_seeds) + len(variants)
    _enough_for_g("law_sizes", trained, "law_sizes x law_seeds, and variants")
    _enough_for_g("towers", len(towers) * len(tower_seeds), "towers x tower_seeds")


def plan_of_deployed(system, law_sizes, sizes, towers, tower_sizes, base_tower, variants):
    _system("system", system)
    base = list(system["hidden"])
    for name, today, listed in (
        ("law_sizes", base, law_sizes),
        ("sizes", base, sizes),
        ("towers", base_tower, towers),
        ("tower_sizes", base_tower, tower_sizes),
    ):
        if today not in listed or any(len(layers) != len(today) for layers in listed):
            raise ValueError(
                f"{name} must hold today's size {today} and others of as many layers; got "
                f"{shown(listed)}"
            )
    _models(variants)


def seeds_apart(law_seeds, tower_seeds, deployed_seeds):
    used = sorted({*law_seeds, *tower_seeds} & {*deployed_seeds})
    if used:
        raise ValueError(
            f"deployed_seeds must be others than law_seeds and tower_seeds; got {used[0]} in both"
        )


def users_for_both_tests(system, choice_users):
    users = _world("system['world_changes']", system["world"], system.get("world_changes") or {})
    if choice_users >= users.users:
        raise ValueError(
            f"choice_users must leave some of the world's {users.users} users for the deployed "
            f"test; got {choice_users}"
        )


def tower_log_leaves_a_test(tower_log_impressions, tower_train_impressions):
    checks.below(tower_log_impressions, tower_train_impressions=tower_train_impressions)


# ---- click models ---------------------------------------------------------


def streams_of_clicks(dataset, data, stream):
    if dataset == "simulated":
        from lib.simulation.click_stream import ClickStreamParameters  # brings scipy.optimize

        _parameters("stream", ClickStreamParameters, stream)
    else:
        _folder_of(dataset, data)


def ways_of_scaling(base, factors, families):
    if "dlrm" not in families:
        raise ValueError(f"families must hold 'dlrm', the base; got {families}")
    try:
        ways_to_scale(base, factors)
    except ValueError as error:
        raise ValueError(f"factors: {error}") from None


def marks_end_batches(marks, longest, batches):
    twice = sorted({*marks} & {*longest}) or [mark for mark in longest if longest.count(mark) > 1]
    if twice:
        raise ValueError(f"longest must hold other samples than marks; got {twice[0]} twice")
    begins, sizes = zip(*batches, strict=True)
    if begins[0] != 0 or list(begins) != sorted(set(begins)):
        raise ValueError(f"batches must begin at 0 and then increase; got {batches}")
    for size in sizes:
        if size < 1 or size & (size - 1):
            raise ValueError(f"batches must be powers of 2; got {size} in {batches}")
    ends = [*begins[1:], float("inf")]
    for begin, size, end in zip(begins, sizes, ends, strict=True):
        for name, values in (("marks", marks), ("longest", longest), ("batches", begins)):
            for value in values:
                if begin < value <= end and value != float("inf") and (value - begin) % size:
                    raise ValueError(
                        f"{name}: {value} is no end of a batch; from {begin} samples on they "
                        f"count {size}: {batches}"
                    )


def rates_are_chosen(learning_rates, dataset):
    if len(learning_rates) > 1 and dataset not in ("simulated", "movielens"):
        raise ValueError(
            f"learning_rates must be one pair with dataset = {dataset!r}, which has no other "
            f"stream to choose on; got {learning_rates}"
        )


def law_of_data(least_samples, marks, longest):
    left = [mark for mark in sorted({*marks, *longest}) if mark >= least_samples]
    if len(left) < LEAST_SIZES:
        raise ValueError(
            f"least_samples must leave {LEAST_SIZES} or more of marks and longest, which the law "
            f"of data is fitted to; got {least_samples}, which leaves {left}"
        )


# ---- the pipeline ---------------------------------------------------------


def drifting_world(world, world_changes, drift):
    _world("world_changes", world, world_changes)
    _parameters("drift", DriftParameters, drift)


def exports_of_the_study(sizes, base, intervals, delay, served, warm_up_days, drift):
    checks.one_of(sizes, base=base)
    checks.one_of(intervals, served=served)
    if len(intervals) < 2:
        raise ValueError(f"intervals must be two or more; got {intervals}")
    for name, values in (("intervals", intervals), ("delay", [delay])):
        odd = [value for value in values if value % BLOCK]
        if odd:
            raise ValueError(f"{name} must be multiples of {BLOCK} minutes; got {odd[0]}")
    minutes = DriftParameters(**drift).minutes
    if warm_up_days * DAY + delay >= minutes:
        raise ValueError(
            f"warm_up_days must leave a stretch to measure of the drift's {minutes / DAY:g} days; "
            f"got {warm_up_days}"
        )


def pipeline_on_paper(traffic, rates):
    _parameters("traffic", Workload, traffic)
    _parameters("rates", Rates, rates)


def _parameters(name: str, model: type[BaseModel], values: Mapping[str, Any]) -> None:
    try:
        model(**values)
    except ValidationError as error:
        unknown = error.errors()[0]["type"] == "extra_forbidden"
        known = f" (known: {', '.join(model.model_fields)})" if unknown else ""
        raise ValueError(f"{said(name, error)}{known}") from None


RELATIONS: dict[str, tuple[Callable[..., None], ...]] = {
    "00_logs": (features_of_logs, log_leaves_a_test, users_of_the_preset),
    "01_metric_validation": (tables_in_pairs, study_of_worlds, cuts_hold_m),
    "01b_lists_without_tests": (study_of_lists, cuts_hold_m),
    "02_bnsl_fitting": (law_of_sizes, log_or_measurements, tests_of_sizes),
    "02b_shape_and_data": (
        base_among_sizes,
        joint_law,
        passes_measured,
        shapes_to_compare,
        something_beside_serving,
    ),
    "03_cost_simulation": (sizes_like_the_base, scanned_ads, engine_of_precision),
    "04_roi_design": (
        grid_of_sizes,
        one_system_or_several,
        memory_holds_the_base,
        tables_of_embeddings,
    ),
    "05_allocation": (
        budget_of_scenarios,
        towers_of_matching,
        log_of_matching,
        inputs_of_stages,
        tower_of_costs,
    ),
    "05b_two_stages": (
        todays_among_options,
        candidates_of_the_world,
        users_of_the_world,
        surface_is_fitted,
        log_leaves_a_test,
    ),
    "05c_deployed": (
        plan_of_deployed,
        models_for_g,
        seeds_apart,
        users_for_both_tests,
        tower_log_leaves_a_test,
    ),
    "06_dlrm_scaling": (
        streams_of_clicks,
        ways_of_scaling,
        marks_end_batches,
        rates_are_chosen,
        law_of_data,
    ),
    "07_online_pipeline": (drifting_world, exports_of_the_study, pipeline_on_paper),
}
