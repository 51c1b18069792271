"""Matching models trained and tested in the simulated system, and what a better one is worth.

The paper's Matching models learn from a log that also holds ads which Matching dropped, and are
tested by letting them retrieve what Pre-ranking scores (section 5.2).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from lib import metrics, simulation
from lib.experiments.converged_system import ConvergedSystem
from lib.experiments.study.tasks import offline
from lib.experiments.train_and_evaluate import TrainingSpec, load_trained, train_and_evaluate
from lib.infra import sweep


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
      base, largest: that model and the one of most FLOPs, in the system.
    """

    models: pd.DataFrame
    base_model: str
    base: Retrieval
    largest: Retrieval


@dataclasses.dataclass(frozen=True)
class Additivity:
    """Whether a better Matching is worth the same under a better Pre-ranking.

    Attributes:
      under_base, under_oracle: tests of the largest Matching model against the base one, with the
        trained base as Pre-ranking and with the oracle, the best there could be.
    """

    under_base: simulation.ABTest
    under_oracle: simulation.ABTest

    @property
    def difference(self) -> float:
        """Lift under the oracle less that under the base; 0 if lifts add up."""
        return self.under_oracle.revenue_lift - self.under_base.revenue_lift

    @property
    def standard_error(self) -> float:
        """Of the difference, as if the two tests were independent."""
        return float(np.hypot(self.under_oracle.revenue_lift_se, self.under_base.revenue_lift_se))

    def rows(self) -> list[dict]:
        """The two tests as rows of `ab_tests`."""
        return [self.under_base.as_row(), self.under_oracle.as_row()]


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
    largest = models.sort_values("flops")["model"].iloc[-1]
    return MatchingStudy(models, base_model, retrievals[base_model], retrievals[largest])


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


def additivity(study: MatchingStudy) -> Additivity:
    """Test the largest tower against the base tower under two Pre-rankings; see `Additivity`."""
    visits, seed = study.base.arm.visits, study.base.arm.seed
    base, largest = (
        simulation.run_arm(simulation.oracle_system(retrieval.candidates), visits=visits, seed=seed)
        for retrieval in (study.base, study.largest)
    )
    return Additivity(
        simulation.ab_test(study.base.arm, study.largest.arm, model="trained Pre-ranking"),
        simulation.ab_test(base, largest, model="oracle Pre-ranking"),
    )


def _tests(retrievals, base_model):
    base = retrievals[base_model].arm
    return pd.DataFrame(
        [
            simulation.ab_test(base, retrieval.arm, model=model).as_row()
            for model, retrieval in retrievals.items()
        ]
    )
