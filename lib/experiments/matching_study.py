"""Matching models trained and tested in the simulated system, and what a better one is worth.

The paper's Matching models learn from a log that also holds ads which Matching dropped, and are
tested by letting them retrieve what Pre-ranking scores (section 5.2).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from lib import metrics, simulation
from lib.experiments.converged_system import ConvergedSystem
from lib.experiments.study.tasks import offline
from lib.experiments.train_and_evaluate import TrainingSpec, load_trained, train_and_evaluate
from lib.infra import sweep
from lib.models.flop_count import flops
from lib.simulation.ab_tests import ratio_of_sums


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """A Matching model in the system: what it retrieves, what that earns with one Pre-ranking."""

    candidates: simulation.Matched
    arm: simulation.Arm


@dataclasses.dataclass(frozen=True)
class MatchingStudy:
    """Twin towers of several sizes, measured and tested.

    Attributes:
      models: a row for each model: the columns of measurements and of ab_tests; the standard
        error of the metric is that of its difference to the base's.
      base_model: the model that all lifts count from.
      base: that model in the system.
      retrievals: every model in the system, name -> what it retrieves.
    """

    models: pd.DataFrame
    base_model: str
    base: Retrieval
    retrievals: Mapping[str, Retrieval]


@dataclasses.dataclass(frozen=True)
class Additivity:
    """Whether a better Matching and a better Pre-ranking earn the sum of their lifts.

    Four arms serve the same users: both base models, each of the two new ones alone, both.

    Attributes:
      tower, pre_ranking: names of the new models.
      matching_alone, pre_ranking_alone, both: tests against both base models.
      difference: lift of both less the sum of the other two; 0 if lifts add up.
      standard_error: of the difference, over users, paired in all four arms.
    """

    tower: str
    pre_ranking: str
    matching_alone: simulation.ABTest
    pre_ranking_alone: simulation.ABTest
    both: simulation.ABTest
    difference: float
    standard_error: float

    def rows(self) -> list[dict]:
        """The three tests as rows of `ab_tests`."""
        return [test.as_row() for test in (self.matching_alone, self.pre_ranking_alone, self.both)]


def model_name(hidden: Sequence[int], seed: int) -> str:
    """The name of a model.

    >>> model_name([32, 16], 0)
    '32-16 seed 0'
    """
    return f"{'-'.join(map(str, hidden))} seed {seed}"


def run(
    system: ConvergedSystem,
    folder: str | Path,
    *,
    hidden_sizes: Sequence[Sequence[int]],
    base_hidden: Sequence[int],
    seeds: Sequence[int],
    log_impressions: int,
    train_impressions: int,
    metric: str,
    test_visits: int,
    seed: int,
    n_jobs: int = 1,
    **training,
) -> MatchingStudy:
    """Train towers on a log of Matching, measure them on its rest, test them in the system.

    Args:
      system: whose base model is Pre-ranking in all arms.
      folder: of the log and the trained models, which are made once.
      hidden_sizes: layers of the towers; base_hidden: the base, one of them, with the first of
        `seeds`; every size is trained from each seed.
      log_impressions: of the log, of which the first train_impressions train.
      metric: whose standard errors are taken (`lib.metrics.per_impression`).
      test_visits: of every user in each arm; seed: of the log and the visits.
      n_jobs: trainings at a time; training: further fields of `TrainingSpec`.

    Raises: ValueError where the base is not among the sizes, before anything is trained.
    """
    if list(base_hidden) not in [list(hidden) for hidden in hidden_sizes] or not seeds:
        raise ValueError(
            f"base_hidden must be one of sizes = {list(map(list, hidden_sizes))}, trained from one "
            f"of seeds = {list(seeds)}; got {list(base_hidden)}"
        )
    folder, pre_ranking = Path(folder), system.base()
    deployed = simulation.install_pre_ranking(simulation.match(system.world), pre_ranking)
    log = system.matching_log(folder / "matching_logs.parquet", deployed, log_impressions, seed)
    specs = [
        TrainingSpec(
            model=model_name(hidden, training_seed),
            family="twin_tower",
            logs=str(log),
            features=str(system.features),
            hidden=hidden,
            seed=training_seed,
            train_impressions=train_impressions,
            test_start=train_impressions,
            test_impressions=log_impressions - train_impressions,
            **training,
        )
        for hidden in hidden_sizes
        for training_seed in seeds
    ]
    tasks, models_folder = [spec.task() for spec in specs], str(folder / "models")
    rows = pd.DataFrame(sweep.run(train_and_evaluate, tasks, models_folder, n_jobs=n_jobs))
    retrievals, per_impression = {}, {}
    for spec, task in tqdm(list(zip(specs, tasks, strict=True)), desc="A/B tests", leave=False):
        path = sweep.result_path(train_and_evaluate, task, models_folder)
        scorer = load_trained(spec, path)
        per_impression[spec.model] = offline(scorer, spec, cuts=[spec.m])[metric]
        candidates = simulation.match(system.world, system.compiled(scorer))
        variant = simulation.install_pre_ranking(candidates, pre_ranking)
        arm = simulation.run_arm(variant, visits=test_visits, seed=seed)
        retrievals[spec.model] = Retrieval(candidates, arm)
    base_model = model_name(base_hidden, seeds[0])
    errors = paired_standard_errors(per_impression, base_model)
    rows[f"{metric}_se"] = rows["model"].map(errors)
    models = rows.merge(_tests(retrievals, base_model), on="model", validate="one_to_one")
    return MatchingStudy(models, base_model, retrievals[base_model], retrievals)


def paired_standard_errors(
    per_impression: Mapping[str, np.ndarray], base_model: str
) -> dict[str, float]:
    """Standard error of each model's mean metric less the base's, model -> error.

    All models share the test impressions, so what errs is a model's difference to the base; the
    base's own error is 0.

    Args:
      per_impression: model -> values of the metric, [impressions], NaN where undefined.
      base_model: one of the models.

    >>> values = {"base": np.array([0.1, 0.5, 0.9]), "better": np.array([0.2, 0.6, 1.0])}
    >>> {model: round(error, 6) for model, error in paired_standard_errors(values, "base").items()}
    {'base': 0.0, 'better': 0.0}
    """
    base = per_impression[base_model]
    return {
        model: float(metrics.mean(values - base).standard_error)
        for model, values in per_impression.items()
    }


def additivity(
    study: MatchingStudy, tower: str, base_pre_ranking, pre_ranking, name: str
) -> Additivity:
    """Test a tower and a Pre-ranking model alone and together; see `Additivity`.

    Args:
      study: that trained the tower; tower: one of its models.
      base_pre_ranking, pre_ranking: models as for `lib.simulation.install_pre_ranking`.
      name: of the latter.
    """
    visits, seed = study.base.arm.visits, study.base.arm.seed
    arms = {
        (is_new_tower, is_new_model): simulation.run_arm(
            simulation.install_pre_ranking(retrieval.candidates, model), visits=visits, seed=seed
        )
        for is_new_tower, retrieval in enumerate((study.base, study.retrievals[tower]))
        for is_new_model, model in enumerate((base_pre_ranking, pre_ranking))
    }
    base = arms[0, 0]
    together = arms[1, 1].revenue - arms[1, 0].revenue - arms[0, 1].revenue + base.revenue
    difference, error = ratio_of_sums(together, base.revenue)
    return Additivity(
        tower,
        name,
        simulation.ab_test(base, arms[1, 0], model=f"tower {tower}"),
        simulation.ab_test(base, arms[0, 1], model=f"Pre-ranking {name}"),
        simulation.ab_test(base, arms[1, 1], model="both"),
        difference,
        error,
    )


def nearest_in_flops(relative: Mapping[str, float], wanted: float) -> str:
    """The name of the model whose FLOPs are nearest, as a factor.

    >>> nearest_in_flops({"half": 0.5, "double": 2.0}, 1.2)
    'double'
    """
    return min(relative, key=lambda name: abs(np.log(relative[name] / wanted)))


def train_pre_ranking(
    system: ConvergedSystem, folder: str | Path, hidden: Sequence[Sequence[int]], wanted: float
) -> tuple[Callable, str]:
    """A Pre-ranking model of another size than the base, trained as the base was.

    Args:
      folder: of the trained model.
      hidden: layers of the sizes that may be trained; the base's are left out: they test nothing.
      wanted: FLOPs relative to the base; the size nearest to it is trained.

    Returns: (model as for `lib.simulation.install_pre_ranking`, its name).
    Raises: ValueError where all sizes are the base's.
    """
    parameters = system.parameters
    specs = {
        "-".join(map(str, layers)): TrainingSpec(
            model="-".join(map(str, layers)),
            logs=str(system.logs),
            features=str(system.features),
            hidden=layers,
            seed=parameters.seed,
            train_impressions=parameters.train_impressions,
            test_start=parameters.train_impressions,
            test_impressions=parameters.log_impressions - parameters.train_impressions,
            learning_rate=parameters.learning_rate,
            batch_impressions=parameters.batch_impressions,
            m=parameters.m,
            k=parameters.k,
        )
        for layers in hidden
        if tuple(layers) != parameters.hidden
    }
    if not specs:
        raise ValueError(
            "pre_ranking_hidden must name a size other than the base's "
            f"{list(parameters.hidden)}; got {list(map(list, hidden))}"
        )
    base_flops = flops(system.base_scorer().head)
    name = nearest_in_flops(
        {name: flops(spec.scorer().head) / base_flops for name, spec in specs.items()}, wanted
    )
    task = specs[name].task()
    sweep.run(train_and_evaluate, [task], str(folder))
    scorer = load_trained(specs[name], sweep.result_path(train_and_evaluate, task, str(folder)))
    return system.compiled(scorer), name


def _tests(retrievals, base_model):
    base = retrievals[base_model].arm
    return pd.DataFrame(
        [
            simulation.ab_test(base, retrieval.arm, model=model).as_row()
            for model, retrieval in retrievals.items()
        ]
    )
