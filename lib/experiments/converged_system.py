"""The simulated ad system with its trained base: what the quick notebooks stand on.

`build` runs the closed loop until the base has converged, trains the base model on
the log of the converged system and writes everything to one folder; `load` brings
it back. A reader with logs of their own needs none of this.
"""

import dataclasses
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic

from lib.infra.code_digest import code_digest
from lib.infra.files import fingerprint, replacing, write_json
from lib.logs import reader
from lib.logs.features import Features, load_features, save_features
from lib.losses import ARFLoss
from lib.models.scorer import Scorer
from lib.serving import numpy_scorer
from lib.simulation.closed_loop import closed_loop
from lib.simulation.logs import sample_logs
from lib.simulation.parameters import world_parameters
from lib.simulation.world import World
from lib.training.checkpoint import load_weights, save_weights
from lib.training.learner import Learner
from lib.training.loop import train
from lib.training.source import LogSource

LOGS, FEATURES = "logs.parquet", "features.yaml"  # of a system's folder

# Ads drawn of each stage for a log that Matching's models learn from: what Matching
# dropped is in it, and n is about ten again.
MATCHING_COUNTS = {
    "matching": [2, 4],
    "pre_ranking": [2, 2],
    "ranking": [2, 4],
    "mix_ranking": [2, 2],
}


class SystemParameters(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What a converged system is built from.

    Attributes:
      world: "A", "B", "C" or "D" (`lib.simulation.world_parameters`); seed: of the world,
        the logs, the weights; world_changes: parameters that differ from the preset; a "seed"
        among them is the world's own, whose loop, logs and weights are then drawn by `seed`.
      hidden: the base's [a_1, ..., a_L].
      rounds, impressions_per_round: of the closed loop; the model of a round starts
        from the weights of the round before.
      log_impressions: of the converged system's log; the first train_impressions
        train the base, so that the base and its variants have seen the same.
      learning_rate, batch_impressions: of every training.
      m, k: of the loss.
      test_users, test_visits: of the comparison with the oracle after each round;
        test_users None: all users.
    """

    world: str
    seed: int
    hidden: tuple[pydantic.PositiveInt, ...]
    rounds: pydantic.PositiveInt
    impressions_per_round: pydantic.PositiveInt
    log_impressions: pydantic.PositiveInt
    train_impressions: pydantic.PositiveInt
    learning_rate: pydantic.PositiveFloat
    batch_impressions: pydantic.PositiveInt = 128
    m: pydantic.PositiveInt = 2
    k: pydantic.PositiveInt = 2
    test_users: pydantic.PositiveInt | None = None
    test_visits: pydantic.PositiveInt = 2
    world_changes: dict[str, Any] | None = None

    @pydantic.model_validator(mode="after")
    def _log_trains_the_base(self):
        if self.train_impressions > self.log_impressions:
            raise ValueError(
                "train_impressions must not exceed log_impressions = "
                f"{self.log_impressions}; got {self.train_impressions}"
            )
        return self

    def make_world(self) -> World:
        """The world; ValueError for an unknown preset or unknown changes."""
        changes = {"seed": self.seed, **(self.world_changes or {})}
        return World(world_parameters(self.world, **changes))

    def scorer(self, features: Features) -> Scorer:
        """The untrained base model."""
        return Scorer(features, self.hidden, "mlp", self.seed)

    def learner(self, scorer: Scorer) -> Learner:
        """A scorer with the base's loss and optimizer."""
        return Learner(scorer, ARFLoss(self.m, self.k), self.learning_rate)


@dataclasses.dataclass(frozen=True)
class ConvergedSystem:
    """A converged simulated system.

    Attributes:
      folder: with logs.parquet, features.yaml, rounds.csv, base.npz, parameters.json.
      world: `lib.simulation.World`.
      parameters: what `build` was called with.
      code: digest of the code that built it (`lib.infra.code_digest`).
    """

    folder: Path
    world: World
    parameters: SystemParameters
    code: str

    @property
    def logs(self) -> Path:
        return self.folder / LOGS

    @property
    def features(self) -> Path:
        return self.folder / FEATURES

    @property
    def rounds(self) -> pd.DataFrame:
        """One row a round of the closed loop: gap to the oracle, change to the round before."""
        return pd.read_csv(self.folder / "rounds.csv")

    def compiled(self, scorer: Scorer):
        """A trained scorer as the cascade calls it: callable (users, ads) -> scores."""
        users, ads = (np.arange(self.world.parameters.users), np.arange(self.world.parameters.ads))
        return numpy_scorer.compile_scorer(
            scorer, self.world.user_features(users), self.world.ad_features(ads)
        )

    def base_scorer(self) -> Scorer:
        """The base Pre-ranking model as trained."""
        scorer = self.parameters.scorer(load_features(self.features))
        return load_weights(self.folder / "base.npz", scorer)

    def base(self):
        """The base Pre-ranking model, deployed: callable (users, ads) -> scores."""
        return self.compiled(self.base_scorer())

    def description(self) -> dict:
        """Parameters and code as plain values: what two equal systems agree in."""
        return {**self.parameters.model_dump(mode="json"), "code": self.code}

    def matching_log(self, path: Path, system, impressions: int, seed: int) -> Path:
        """A log of `system` that also holds ads which Matching dropped; made once.

        Args:
          path: of the log; beside it stands what it was made from.
          system: `lib.simulation.System` that runs.
          seed: of the draws.

        Returns: path.
        """
        made_from = {
            "base": self.description(),
            "impressions": impressions,
            "seed": seed,
            "counts": MATCHING_COUNTS,
        }
        note = path.with_suffix(".json")
        if not (path.exists() and _read_json(note) == made_from):
            note.unlink(missing_ok=True)
            reader.write_logs(
                path, sample_logs(system, impressions, seed=seed, counts=MATCHING_COUNTS)
            )
            write_json(note, made_from)
        return path


def build(folder, **values) -> ConvergedSystem:
    """Run the closed loop, log the converged system, train the base model on that log.

    Args:
      folder: of the results; if it holds a system of the same parameters and code,
        that one is returned.
      values: of `SystemParameters`.

    Raises: ValueError, before anything is written, for values that are not
      `SystemParameters` and for an unknown world or unknown changes.
    """
    parameters = SystemParameters(**values)
    folder = Path(folder)
    system = ConvergedSystem(folder, parameters.make_world(), parameters, code_digest(build))
    if _is_built(system):
        return system
    # From here on the folder holds no whole system until the last line has run.
    (folder / "parameters.json").unlink(missing_ok=True)
    features = Features(features=system.world.features)
    save_features(system.features, features)
    last = _converge(system, features)
    logs = sample_logs(
        last.system,
        parameters.log_impressions,
        seed=parameters.seed,
        first_impression=last.next_impression,
    )
    reader.write_logs(system.logs, logs)
    base = parameters.scorer(features)
    _train(parameters.learner(base), system.logs, features, parameters.train_impressions, system)
    save_weights(folder / "base.npz", base)
    write_json(
        folder / "parameters.json",
        {**system.description(), "logs_sha256": fingerprint(system.logs)},
    )
    return system


def load(folder) -> ConvergedSystem:
    """The ConvergedSystem that `build` left in `folder`.

    Raises: ValueError where there is none, or one that another version of this code wrote.
    """
    folder = Path(folder)
    file = folder / "parameters.json"
    if not file.exists():
        raise ValueError(
            f"{folder}: no simulated system here; run notebook 00_logs of this "
            "profile first, or give logs of your own"
        )
    values = _read_json(file)
    if not values or not {"logs_sha256", "code"} <= values.keys():
        raise ValueError(
            f"{file}: expected the parameters of a simulated system; found a damaged file. "
            "Remove it and run notebook 00_logs of this profile, which makes the system again"
        )
    del values["logs_sha256"]  # of the log, not of what `build` was called with
    code = values.pop("code")
    try:
        parameters = SystemParameters(**values)
    except pydantic.ValidationError as error:
        raise ValueError(
            f"{file}: not the parameters of a system of this version; {error}"
        ) from None
    return ConvergedSystem(folder, parameters.make_world(), parameters, code)


def _is_built(system):
    file = system.folder / "parameters.json"
    written = _read_json(file)
    if written is None and file.exists():
        warnings.warn(f"{file} is damaged; the system is made again", stacklevel=3)
    try:
        return bool(written) and written == {
            **system.description(),
            "logs_sha256": fingerprint(system.logs),
        }
    except FileNotFoundError:
        return False


def _read_json(path):
    """The mapping in a JSON file; None where there is no file, or a damaged one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _converge(system, features):
    """Run the closed loop; its last Round. Writes rounds.csv as it goes."""
    parameters, folder = system.parameters, system.folder
    # One learner for all rounds: it is compiled for the first only.
    scorer = parameters.scorer(features)
    learner = parameters.learner(scorer)

    def train_round(tables, _, number):
        log = folder / f"round_{number}.parquet"
        reader.write_logs(log, tables)
        learner.reset()
        learner.loss.alpha.assign(learner.loss.initial_alpha)
        _train(learner, log, features, parameters.impressions_per_round, system)
        log.unlink()
        return system.compiled(scorer)

    rows, last = [], None
    for last in closed_loop(
        system.world,
        train_round,
        rounds=parameters.rounds,
        impressions_per_round=parameters.impressions_per_round,
        seed=parameters.seed,
        users=parameters.test_users,
        visits=parameters.test_visits,
    ):
        rows.append(_round_row(last, parameters.impressions_per_round))
        with replacing(folder / "rounds.csv") as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)
    return last


def _train(learner, log, features, stop, system):
    source = LogSource(
        log,
        features,
        stop=stop,
        seed=system.parameters.seed,
        batch_impressions=system.parameters.batch_impressions,
    )
    train(learner, source, progress=sys.stderr.isatty())


def _round_row(result, impressions_per_round):
    row = {
        "round": result.number,
        "impressions": (result.number + 1) * impressions_per_round,
        "oracle_gap": result.oracle_gap.revenue_lift,
        "oracle_gap_se": result.oracle_gap.revenue_lift_se,
    }
    change = result.change
    return row | {
        "change": change.revenue_lift if change else np.nan,
        "change_se": change.revenue_lift_se if change else np.nan,
    }
