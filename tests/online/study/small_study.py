"""A drifting system so small that a test can train on it."""

from lib.online.study.table import StudyPlan

PLAN = StudyPlan(
    system={
        "world_changes": {"users": 60, "ads": 300, "matching_ads": 100, "ctr_waves": 32},
        "drift": {"days": 1.25, "impressions_per_minute": 0.5, "daily_swing": 0.0},
    },
    seeds=[0, 1],
    sizes=[[4, 4, 4, 1], [8, 4, 4, 1]],
    base=[4, 4, 4, 1],
    training={"learning_rate": 0.1, "batch_impressions": 16},
    intervals=[20, 60, 1440],
    served=20,
    tests_a_day=5,
    visits=1,
    staleness=[2],
    closed_intervals=[60, 1440],
    closed_minutes=180,
    asynchrony_minutes=120,
)
