"""A study on a tiny world, for the tests of its parts."""

from lib.experiments import study

BASE = {
    "hidden": [8, 1],
    "rounds": 1,
    "impressions_per_round": 512,
    "log_impressions": 662,
    "train_impressions": 512,
    "learning_rate": 0.1,
    "batch_impressions": 128,
    "test_users": 100,
    "test_visits": 1,
}
PLAIN = [{"world": "small seed 0", "preset": "small", "seed": 0, "changes": {}}]
CHANGES = {"users": 150, "ads": 400, "ctr_waves": 64}
VARIANTS = [
    {"model": "again", "seed": 7, "set": "primary", "reason": "noise of training"},
    {"model": "noisy", "score_noise": 2.0, "set": "secondary", "reason": "broken"},
    {
        "model": "old twice",
        "log": "stale",
        "data_share": 0.5,
        "epochs": 2,
        "set": "primary",
        "reason": "age and epochs",
    },
]


def carry_out(folder, worlds, variants=VARIANTS, **changes):
    return study.run(
        worlds,
        variants,
        folder=folder,
        **{
            "base": BASE,
            "stale": 1.5,
            "seeds": [0, 1],
            "cuts": [1, 2, 4],
            "visits": 2,
            "n_jobs": 1,
            **changes,
        },
    )
