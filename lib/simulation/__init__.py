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

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ab_tests": ["ABTest", "Arm", "ab_test", "run_arm", "run_arms"],
        "cascade": ["System", "install_pre_ranking", "oracle_system"],
        "click_stream": ["ClickStream", "ClickStreamParameters", "auction_revenue"],
        "closed_loop": ["Round", "closed_loop"],
        "drifting": ["DriftingWorld", "DriftParameters"],
        "ideal_learner": ["IdealLearner", "SampledCurve", "interaction_excess"],
        "logs": ["sample_logs"],
        "matching": ["Matched", "match", "oracle_matching"],
        "parameters": ["WorldParameters", "world_parameters"],
        "world": ["World"],
    },
)
