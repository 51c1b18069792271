"""The true revenue surface of two stages: towers x MLPs x numbers of candidates, all tested.

Matching hands its candidates to Pre-ranking. What one stage's size is worth may depend on the
other's, and on how many candidates pass between them, so that here every combination is an arm of a
paired test in the simulated system. A draw is another world: its own closed loop, logs, weights and
tests.

arms   the task of one draw: its system, its models, every arm
draws  what the arms brought and cost, and what decisions taken from them earn
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"arms": ["LATER", "PAST"], "draws": ["TwoStages", "judge_requests", "run"]},
)
