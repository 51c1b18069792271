"""What a study is made of: tables of worlds, dials and variants, a reason in every line."""

from typing import Literal

import pydantic

from lib.experiments.train_and_evaluate import TrainingSpec
from lib.simulation.parameters import world_parameters


class Variant(TrainingSpec, frozen=True, extra="forbid"):
    """A model to be tested: a `TrainingSpec`, and what only this study varies.

    epochs: passes over the impressions, each with Adagrad's sums at zero. log: "own", or
    "stale" for a log of the same base system from before the truth turned. score_noise: noise
    added to every score, in standard deviations of the model's scores of one user's candidates.
    """

    epochs: pydantic.PositiveInt = 1
    log: Literal["own", "stale"] = "own"
    score_noise: pydantic.NonNegativeFloat = 0.0


# Columns of a table of variants beside the fields of Variant: set (primary: what a team would take
# to a test; secondary: broken models as well), kind of change, reason, whether it is run on dials,
# and the share of the base's impressions that it trains on.
LABEL_COLUMNS = ("set", "kind", "reason", "on_dials", "data_share")


def expand_worlds(table: list[dict]) -> list[dict]:
    """One entry a world and seed: {"world": "A seed 0", "preset", "seed", "changes", ...}.

    >>> [entry["world"] for entry in expand_worlds([{"world": "A", "seeds": [0, 1], "reason": ""}])]
    ['A seed 0', 'A seed 1']
    """
    return [
        _world(line["world"], seed, line.get("changes", {}))
        for line in table
        for seed in line["seeds"]
    ]


def expand_dials(table: list[dict], changes: dict | None = None) -> list[dict]:
    """One entry a point of a dial and seed, with "dial" and "value" beside a world's keys.

    A dial (sensitivity parameter) names a field of WorldParameters and gives its `values`, or
    gives `points`, each a value and the `changes` it stands for. A point that changes nothing is
    the plain world, the same for all dials. The argument `changes` holds for all points, to make
    worlds small.

    >>> points = expand_dials([{"dial": "drift", "values": [0.0, 0.3], "world": "D",
    ...                         "seeds": [0], "reason": ""}])
    >>> [(point["world"], point["value"], point["changes"]) for point in points]
    [('D seed 0', 0.0, {}), ('D seed 0', 0.3, {'drift': 0.3})]
    """
    points = []
    for line in table:
        settings = line.get("points") or [
            {"value": value, "changes": {line["dial"]: value}} for value in line["values"]
        ]
        points += [
            {
                **_world(line["world"], seed, {**(changes or {}), **point["changes"]}),
                "dial": line["dial"],
                "value": point["value"],
            }
            for point in settings
            for seed in line["seeds"]
        ]
    return points


def plain_values(points: list[dict]) -> dict:
    """For each dial of `expand_dials`, the value that changes nothing beyond what all points share.

    >>> points = expand_dials([{"dial": "drift", "values": [0.3, 0.0], "world": "D",
    ...                         "seeds": [0], "reason": ""}], {"users": 2000})
    >>> plain_values(points)
    {'drift': 0.0}
    """
    fewest = min((point["changes"] for point in points), key=len, default={})
    return {point["dial"]: point["value"] for point in points if point["changes"] == fewest}


def _world(preset, seed, changes):
    plain = world_parameters(preset)
    changed = world_parameters(preset, **changes)  # refuses unknown names and values
    effective = {
        name: value
        for name, value in changes.items()
        if getattr(changed, name) != getattr(plain, name)
    }
    return {"world": f"{preset} seed {seed}", "preset": preset, "seed": seed, "changes": effective}


def training_fields(line: dict, base: dict, m: int, k: int) -> dict:
    """Variant's fields of a line of the table; what it does not say is as of the base.

    A variant trains on whole batches: a shorter last batch would be compiled separately.
    """
    trained_on = base["train_impressions"]
    batch = line.get("batch_impressions", base["batch_impressions"])
    share = round(line.get("data_share", 1.0) * trained_on)
    return {
        **{name: base[name] for name in ("hidden", "learning_rate", "batch_impressions")},
        "train_impressions": share // batch * batch or share,
        "test_start": trained_on,
        "test_impressions": base["log_impressions"] - trained_on,
        "m": m,
        "k": k,
        **{name: value for name, value in line.items() if name not in LABEL_COLUMNS},
    }
