"""The simulated ad system with its trained base: what the quick notebooks stand on.

`build` runs the closed loop until the base has converged, trains the base model on
the log of the converged system and writes everything to one folder; `load` brings
it back. A reader with logs of their own needs none of this.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from lib import simulation, training
from lib.infra.code_digest import code_digest
from lib.infra.files import fingerprint, replacing, write_json
from lib.logs import reader
from lib.logs.features import Features, load_features, save_features
from lib.losses import ARFLoss
from lib.models.scorer import Scorer
from lib.serving import numpy_scorer

# Ads drawn of each stage for a log that Matching's models learn from: what Matching
# dropped is in it, and n is about ten again.
MATCHING_COUNTS = {
    "matching": [2, 4],
    "pre_ranking": [2, 2],
    "ranking": [2, 4],
    "mix_ranking": [2, 2],
}


@dataclasses.dataclass(frozen=True)
class ConvergedSystem:
    """A converged simulated system.

    Attributes:
      folder: with logs.parquet, features.yaml, rounds.csv, base.npz, parameters.json.
      world: `lib.simulation.World`.
      parameters: what `build` was called with.
    """

    folder: Path
    world: simulation.World
    parameters: dict

    @property
    def logs(self):
        return self.folder / "logs.parquet"

    @property
    def features(self):
        return self.folder / "features.yaml"

    @property
    def rounds(self):
        """One row a round of the closed loop: gap to the oracle, change to the round before."""
        return pd.read_csv(self.folder / "rounds.csv")

    def compiled(self, scorer):
        """A trained scorer as the cascade calls it."""
        return _deployed(self.world, scorer)

    def base_scorer(self):
        """The base Pre-ranking model as trained."""
        scorer = _scorer(self.parameters, load_features(self.features))
        return training.load_weights(self.folder / "base.npz", scorer)

    def base(self):
        """The base Pre-ranking model, deployed: callable (users, ads) -> scores."""
        return self.compiled(self.base_scorer())

    def matching_log(self, path, system, impressions_, seed):
        """A log of `system` that also holds ads which Matching dropped; made once.

        Args:
          path: of the log; beside it stands what it was made from.
          system: `lib.simulation.System` that runs.
          impressions_: impressions; seed: of the draws.
        """
        made_from = {
            "base": self.parameters,
            "impressions": impressions_,
            "seed": seed,
            "counts": MATCHING_COUNTS,
        }
        note = path.with_suffix(".json")
        if not (path.exists() and note.exists() and json.loads(note.read_text()) == made_from):
            note.unlink(missing_ok=True)
            reader.write_logs(
                path,
                simulation.sample_logs(system, impressions_, seed=seed, counts=MATCHING_COUNTS),
            )
            write_json(note, made_from)
        return path


def build(
    folder,
    *,
    world,
    seed,
    hidden,
    rounds,
    impressions_per_round,
    log_impressions,
    train_impressions,
    learning_rate,
    batch_impressions=128,
    m=2,
    k=2,
    test_users=None,
    test_visits=2,
    world_changes=None,
):
    """Run the closed loop, log the converged system, train the base model on that log.

    Args:
      folder: of the results; if it holds a system of the same parameters and code,
        that one is returned.
      world: "A", "B", "C" or "D" (`simulation.world_parameters`); seed: of the world,
        the logs, the weights; world_changes: parameters that differ from the preset.
      hidden: the base's [a_1, ..., a_L].
      rounds, impressions_per_round: of the closed loop; the model of a round starts
        from the weights of the round before.
      log_impressions: of the converged system's log; the first train_impressions
        train the base, so that the base and its variants have seen the same.
      test_users, test_visits: of the comparison with the oracle after each round.

    Returns: ConvergedSystem.
    Raises: ValueError where the log cannot hold train_impressions, and for an unknown
      world or unknown changes.
    """
    given = {name: value for name, value in locals().items() if name != "folder"}
    parameters = json.loads(json.dumps(given)) | {"code": code_digest(build)}
    folder = Path(folder)
    if train_impressions > log_impressions:
        raise ValueError(
            "build: train_impressions must not exceed log_impressions = "
            f"{log_impressions}; got {train_impressions}"
        )
    made = simulation.World(simulation.world_parameters(world, seed=seed, **(world_changes or {})))
    system = ConvergedSystem(folder, made, parameters)
    if _is_built(system):
        return system
    # From here on the folder holds no whole system until the last line has run.
    (folder / "parameters.json").unlink(missing_ok=True)
    features = Features(features=made.features)
    save_features(folder / "features.yaml", features)
    # One scorer and one loss for all rounds: `training.train` compiles for the first only.
    scorer, loss = _scorer(parameters, features), _loss(parameters)

    def train(tables, _, number):
        log = folder / f"round_{number}.parquet"
        reader.write_logs(log, tables)
        loss.alpha.assign(loss.initial_alpha)
        _train(scorer, loss, log, impressions_per_round, parameters)
        log.unlink()
        return _deployed(made, scorer)

    table, last = [], None
    loop = simulation.closed_loop(
        made,
        train,
        rounds=rounds,
        impressions_per_round=impressions_per_round,
        seed=seed,
        users=test_users,
        visits=test_visits,
    )
    for last in loop:
        table.append(_round_row(last, impressions_per_round))
        with replacing(folder / "rounds.csv") as temporary:
            pd.DataFrame(table).to_csv(temporary, index=False)
    reader.write_logs(
        system.logs,
        simulation.sample_logs(
            last.system, log_impressions, seed=seed, first_impression=last.next_impression
        ),
    )
    base = _scorer(parameters, features)
    _train(base, _loss(parameters), system.logs, train_impressions, parameters)
    training.save_weights(folder / "base.npz", base)
    write_json(folder / "parameters.json", parameters | {"logs_sha256": fingerprint(system.logs)})
    return system


def load(folder):
    """The ConvergedSystem that `build` left in `folder`; ValueError if there is none."""
    folder = Path(folder)
    try:
        parameters = json.loads((folder / "parameters.json").read_text())
    except FileNotFoundError:
        raise ValueError(
            f"{folder}: no simulated system here; run notebook 00_logs of this "
            "profile first, or give logs of your own"
        ) from None
    del parameters["logs_sha256"]  # of the log, not of what `build` was called with
    world = simulation.World(
        simulation.world_parameters(
            parameters["world"], seed=parameters["seed"], **(parameters["world_changes"] or {})
        )
    )
    return ConvergedSystem(folder, world, parameters)


def _is_built(system):
    try:
        kept = json.loads((system.folder / "parameters.json").read_text())
        return kept.pop("logs_sha256") == fingerprint(system.logs) and kept == system.parameters
    except FileNotFoundError:
        return False


def _scorer(parameters, features):
    return Scorer(features, parameters["hidden"], "mlp", parameters["seed"])


def _loss(parameters):
    return ARFLoss(parameters["m"], parameters["k"])


def _train(scorer, loss, log, stop, parameters):
    training.train(
        scorer,
        log,
        loss=loss,
        stop=stop,
        seed=parameters["seed"],
        learning_rate=parameters["learning_rate"],
        batch_impressions=parameters["batch_impressions"],
        progress=sys.stderr.isatty(),
    )


def _deployed(world, scorer):
    everyone, all_ads = np.arange(world.parameters.users), np.arange(world.parameters.ads)
    return numpy_scorer.compile_scorer(
        scorer, world.user_features(everyone), world.ad_features(all_ads)
    )


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
