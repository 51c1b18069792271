"""A simulated ad system: world, cascade, logs, paired A/B tests, closed loop.

parameters     sizes and spreads of a world, and a sensitivity parameter for every assumption
world          users and ads, and what a platform knows of them
truth          what no platform knows
matching       inventory -> candidates of a user
cascade        candidates -> exposures and revenue of a visit
budgets        how often an ad may take part
logs           training logs of a running system
ab_tests       two systems compared with common random numbers
drifting       the world in time: tastes wander, ads and users come and go
closed_loop    log, train, deploy, and again
click_stream   impressions and clicks for click models, their exponents known by construction
ideal_learner  a learner of such a stream whose learning curve is known exactly
keyed_random   random numbers that are a function of their key

>>> world = World(world_parameters("small"))
>>> system = oracle_system(match(world))
>>> table = next(sample_logs(system, 5, seed=0))
>>> table.column_names[:6]
['impression_id', 'timestamp', 'v', 'ecpm', 'exposed', 'stage']
"""

from lib.simulation.ab_tests import ABTest, Arm, ab_test, run_arm, run_arms
from lib.simulation.cascade import System, install_pre_ranking, oracle_system
from lib.simulation.click_stream import ClickStream, ClickStreamParameters, auction_revenue
from lib.simulation.closed_loop import Round, closed_loop
from lib.simulation.drifting import DriftingWorld, DriftParameters
from lib.simulation.ideal_learner import IdealLearner, SampledCurve, interaction_excess
from lib.simulation.logs import sample_logs
from lib.simulation.matching import Matched, match, oracle_matching
from lib.simulation.parameters import WorldParameters, world_parameters
from lib.simulation.world import World

__all__ = [
    "ABTest",
    "Arm",
    "ClickStream",
    "ClickStreamParameters",
    "DriftParameters",
    "DriftingWorld",
    "IdealLearner",
    "Matched",
    "Round",
    "SampledCurve",
    "System",
    "World",
    "WorldParameters",
    "ab_test",
    "auction_revenue",
    "closed_loop",
    "install_pre_ranking",
    "interaction_excess",
    "match",
    "oracle_matching",
    "oracle_system",
    "run_arm",
    "run_arms",
    "sample_logs",
    "world_parameters",
]
