"""What a team knows before it chooses sizes, and what the chosen ones earn once they are deployed.

In every draw world, closed loop, log, trainings and tests are new. `learn` trains a few models of
both stages on the log and tests them on one part of the users, as notebooks 01, 02 and 05 do.
`deploy` trains all sizes that can be chosen once more, from other seeds, and tests them on the
other users. The choice is made between the two, from what `learn` gave alone.

plan         what is trained and tested in every draw
draws        learn and deploy: systems, trainings and tests, draw after draw
tasks        a system, its tests before and after the choice, each a task of a sweep
predictions  what a size is predicted to earn, by law and G
comparison   predictions and choices held against the deployed test
"""

from lib.experiments.deployed_choice.comparison import (
    Options,
    Regret,
    compare,
    held_against,
    pairs,
    regret,
)
from lib.experiments.deployed_choice.draws import Deployed, Known, deploy, learn
from lib.experiments.deployed_choice.plan import Plan, name_of
from lib.experiments.deployed_choice.predictions import SingleTrainings, predicted_lifts

__all__ = [
    "Deployed",
    "Known",
    "Options",
    "Plan",
    "Regret",
    "SingleTrainings",
    "compare",
    "deploy",
    "held_against",
    "learn",
    "name_of",
    "pairs",
    "predicted_lifts",
    "regret",
]
