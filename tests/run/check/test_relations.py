"""How parameters fit each other."""

import inspect

import pytest

from lib.laws import held_out
from lib.run.check import relations
from lib.run.check.parameters import KINDS
from lib.run.check.relations import RELATIONS, check_relations
from lib.serving.engines import ENGINES
from tests.run.check.given import FILES, defaults, quick, values_of


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_committed_passes(path, monkeypatch):
    """Whatever engines are installed here."""
    monkeypatch.setattr(relations.importlib.util, "find_spec", lambda name: name)
    check_relations(path.stem, values_of(path))


def test_an_engine_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(relations.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="engine must be one whose library is installed here; got"):
        check_relations("03_cost_simulation", quick("03_cost_simulation"))


def test_relations_are_of_parameters_that_there_are():
    assert RELATIONS.keys() == KINDS.keys()
    for stem, of_notebook in RELATIONS.items():
        for relation in of_notebook:
            unknown = inspect.signature(relation).parameters.keys() - defaults(stem).keys()
            assert not unknown, f"{stem}: {relation.__name__}"


def test_a_notebook_of_other_parameters_is_not_asked():
    check_relations("00_logs", {"log_impressions": 5})
    check_relations("99_unknown", {})


def test_numbers_are_those_of_the_modules_that_use_them():
    from lib.online.study.table import StudyPlan

    assert relations.LEAST_SIZES == held_out.LEAST_SIZES
    assert StudyPlan.model_fields["block"].default == relations.BLOCK
    known = {name: set(engine.precisions) for name, engine in ENGINES.items()}
    assert {name: set(given) for name, (given, _) in relations.ENGINES.items()} == known


LAYERS = [[4, 1], [8, 1], [12, 1], [16, 1], [24, 1]]
VARIANT = {"model": "a", "hidden": [4, 1]}
VARIANTS = [{"model": name, "on_dials": True} for name in "bcd"]


@pytest.mark.parametrize(
    ("stem", "changes", "message"),
    [
        ("00_logs", {"logs": "a.parquet"}, "features must name the features file .* got ''"),
        ("00_logs", {"features": "f.yaml"}, "logs must name the log that features = 'f.yaml'"),
        (
            "00_logs",
            {"train_impressions": 80000},
            "train_impressions must lie between 0 and 80000; got 80000",
        ),
        ("00_logs", {"test_users": 4001}, "test_users must be at most the world's 4000 users"),
        ("01_metric_validation", {"measurements": "m.csv"}, "ab_tests must name a table, .* ''"),
        ("01_metric_validation", {"ab_tests": "a.csv"}, "measurements must name a table, .* ''"),
        (
            "01_metric_validation",
            {"variants": [VARIANT, VARIANT, *VARIANTS]},
            "variants .* got 'a' twice",
        ),
        ("01_metric_validation", {"variants": VARIANTS}, "variants must hold 4 or more .* got 3"),
        (
            "01_metric_validation",
            {"dials": [{"dial": "drift", "world": "D", "seeds": [0], "values": [0.0]}]},
            "variants must hold 3 or more with on_dials = true, .* got 0",
        ),
        ("01_metric_validation", {"cuts": [1, 3]}, r"cuts must hold m = 2; got \[1, 3\]"),
        ("01_metric_validation", {"system": ""}, "system must name the folder"),
        ("01_metric_validation", {"world_study": {}}, "world_study must hold base, visits and"),
        (
            "01_metric_validation",
            {"worlds": [{"world": "M", "seeds": [1], "changes": {"userz": 3}}]},
            r"worlds\[0\]\['changes'\]\['userz'\]: no such name is known; got 3 \(known: seed, us",
        ),
        (
            "01_metric_validation",
            {"variants": [VARIANT | {"log": "stale"}, *VARIANTS]},
            r"variants\[0\]\['log'\]: 'a' trains on the stale log; stale must be > 0; got 0",
        ),
        (
            "01_metric_validation",
            {"held_out": {"worlds": ["A seed 0"], "seeds": [0], "variants": [VARIANT]}},
            r"held_out\['worlds'\] must be some of M seed 1, M seed 2; got 'A seed 0'",
        ),
        ("02_bnsl_fitting", {"sizes": []}, r"sizes must not be empty; got \[\]"),
        ("02_bnsl_fitting", {"seeds": []}, r"seeds must not be empty; got \[\]"),
        ("02_bnsl_fitting", {"seeds": [1, 1]}, "seeds must be different; got 1 twice"),
        ("02_bnsl_fitting", {"sizes": LAYERS[:4]}, "sizes must be 4 or more beside .*; got 4"),
        ("02_bnsl_fitting", {"sizes": [[4, 2], *LAYERS]}, "sizes of an mlp must each end in 1"),
        ("02_bnsl_fitting", {"metric": "ndgc"}, "metric must be one of 'r_over_r_star', .*'ndgc'"),
        ("02_bnsl_fitting", {"dataset": "movielens"}, "data must name the files of movielens"),
        ("02_bnsl_fitting", {"features": ""}, "features must name the features file"),
        ("02_bnsl_fitting", {"logs": "", "features": ""}, "logs must not be empty"),
        ("02_bnsl_fitting", {"lifts": "l.csv"}, "reference_model must not be empty"),
        ("02b_shape_and_data", {"base_hidden": [9, 1]}, r"base_hidden must be one of \[8, 4"),
        ("02b_shape_and_data", {"amounts": [4096, 8192]}, "amounts must be 3 or more"),
        ("02b_shape_and_data", {"amounts": [4000, 8192, 9000]}, "amounts must be multiples of"),
        ("02b_shape_and_data", {"test_start": 100}, "amounts must be at most test_start = 100"),
        ("02b_shape_and_data", {"shape_seeds": [0]}, "shape_seeds must be two or more"),
        ("02b_shape_and_data", {"ratios": [1.0, 1.0, 2.0]}, "must be different; got 'ratio 1'"),
        ("02b_shape_and_data", {"training_per_hour": 0.0}, "training_per_hour or data_per_hour"),
        ("03_cost_simulation", {"base": [64, 32, 1]}, "base must have 6 size parameters"),
        ("03_cost_simulation", {"paper_sizes": [[64, 1]]}, r"paper_sizes\[0\] must have 6 size"),
        ("03_cost_simulation", {"corpora": [500]}, "corpora must each hold 1000 ads or more"),
        ("03_cost_simulation", {"precision": "fp16"}, "precision must be one of 'fp32' with eng"),
        ("04_roi_design", {"base": [3328, 1024, 1]}, "base must hold the widths of 6 layers"),
        ("04_roi_design", {"flops_max": 10.0}, "flops_max"),
        ("04_roi_design", {"metric": "auc"}, "metric must be one of 'r_over_r_star'.* got 'auc'"),
        ("04_roi_design", {"memory_bytes_max": 1.0}, "memory_bytes_max must allow for the base"),
        ("04_roi_design", {"ad_cache_bytes_max": 1.0}, "ad_cache_bytes_max must allow for the"),
        ("04_roi_design", {"trainings": ""}, "trainings must not be empty"),
        ("04_roi_design", {"measurements": "m.csv"}, "models must name a table; got ''"),
        ("05_allocation", {"base_hidden": [33, 16]}, r"base_hidden must be one of \[8, 4\]"),
        ("05_allocation", {"metric": "auc"}, "metric must be one of"),
        ("05_allocation", {"costs": ""}, "costs must not be empty"),
        ("05_allocation", {"scenarios": "s.csv"}, "budget must be what the scenarios may cost"),
        ("05_allocation", {"measurements": "m.csv"}, "ab_tests must name a table"),
        ("05_allocation", {"train_impressions": 60000}, "train_impressions must lie between 0"),
        ("05_allocation", {"twin_tower_base": [64, 32]}, "twin_tower_base must have a hidden"),
        ("05b_two_stages", {"base_tower": [9, 9]}, "base_tower must be one of"),
        ("05b_two_stages", {"hidden": [9, 1]}, "hidden must be one of"),
        ("05b_two_stages", {"budgets": [2.0]}, "budgets must hold 1.0"),
        ("05b_two_stages", {"deployed_candidates": [300]}, "deployed_candidates must be one of"),
        ("05b_two_stages", {"candidates": [100, 400, 800]}, "one of 100, 400, 800; got 200"),
        ("05b_two_stages", {"test_users": 900}, "test_users must be at most the world's 800"),
        ("05b_two_stages", {"world_changes": {"users": -1}}, r"world_changes\['users'\]: input sh"),
        (
            "05c_deployed",
            {"variants": [], "tower_seeds": [0, 1]},
            "law_sizes must give 4 or more models .* got 3",
        ),
        ("05c_deployed", {"base_tower": [9, 9]}, r"towers must hold today's size \[9, 9\]"),
        ("05c_deployed", {"deployed_seeds": [0]}, "deployed_seeds must be others than law_seeds"),
        ("05c_deployed", {"choice_users": 1000}, "choice_users must leave some of the world's"),
        ("05c_deployed", {"tower_train_impressions": 12288}, "tower_train_impressions must lie"),
        ("06_dlrm_scaling", {"dataset": "criteo"}, "data must name the files of criteo"),
        ("06_dlrm_scaling", {"stream": {"fields": 1}}, r"stream\['fields'\]: input should be gre"),
        ("06_dlrm_scaling", {"stream": {"field": 8}}, r"stream\['field'\]: no such name is known"),
        ("06_dlrm_scaling", {"families": ["mlp"]}, "families must hold 'dlrm'"),
        ("06_dlrm_scaling", {"factors": {"width": [0.3]}}, "factors: width = 8 times 0.3 must be"),
        ("06_dlrm_scaling", {"marks": [4097, 8192]}, "marks: 4097 is no end of a batch"),
        ("06_dlrm_scaling", {"batches": [[0, 60]]}, "batches must be powers of 2; got 60"),
        ("06_dlrm_scaling", {"batches": [[4, 64]]}, "batches must begin at 0"),
        ("06_dlrm_scaling", {"longest": [4096]}, "longest must hold other samples than marks"),
        ("06_dlrm_scaling", {"least_samples": 200000}, "least_samples must leave 4 or more"),
        ("07_online_pipeline", {"base": [9, 1]}, "base must be one of"),
        ("07_online_pipeline", {"served": 30}, "served must be one of 5, 20, 60, 240, 1440"),
        ("07_online_pipeline", {"intervals": [5, 7, 20]}, "intervals must be multiples of 5"),
        ("07_online_pipeline", {"warm_up_days": 2}, "warm_up_days must leave a stretch"),
        ("07_online_pipeline", {"drift": {"days": -1.0}}, r"drift\['days'\]: input should be gr"),
        ("07_online_pipeline", {"rates": {}}, r"rates\['trained_flops'\] is missing"),
        ("07_online_pipeline", {"traffic": {"ads": 1.0}}, r"traffic\['impressions'\] is missing"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(stem, changes, message):
    with pytest.raises(ValueError, match=message) as refused:
        check_relations(stem, quick(stem, **changes))
    assert "\n" not in str(refused.value)


def test_what_is_not_used_is_not_asked_for():
    check_relations("02_bnsl_fitting", quick("02_bnsl_fitting", sizes=[], measurements="m.csv"))
    given = {"scenarios": "s.csv", "budget": 1.0, "base_hidden": [1], "costs": ""}
    check_relations("05_allocation", quick("05_allocation", **given))
    costs = {"engine": "tensorrt", "costs": "t4.csv"}
    check_relations("03_cost_simulation", quick("03_cost_simulation", **costs))
