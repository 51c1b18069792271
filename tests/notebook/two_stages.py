"""Tables of notebook 05b, made: what rules lose is known."""

import numpy as np
import pandas as pd

from lib.allocation import per_request, surface

RULES = {
    surface.EQ_9: (9, 0.004),
    surface.ADDED: (12, 0.002),
    surface.FITTED: (18, 0.0002),
    surface.ALL_PAIRS: (29, 0.003),
    surface.EVERY_ARM: (119, 0.0),
}


def choices(draws=3, spread=1e-4):
    """Losses of RULES at today's budget and twice those at double of it."""
    rng = np.random.default_rng(0)
    rows = []
    for draw in range(draws):
        for budget in (1.0, 2.0):
            noise = dict(zip(RULES, spread * rng.normal(size=len(RULES)), strict=True))
            noise[surface.EVERY_ARM] = 0.0
            loss = {rule: budget * most + noise[rule] for rule, (_, most) in RULES.items()}
            rows += [
                {
                    "draw": draw,
                    "budget": budget,
                    "rule": rule,
                    "arms tested": arms,
                    "cost": budget,
                    "candidates": 100 if rule == surface.EVERY_ARM else 200,
                    "lift": 0.01 * budget - loss[rule],
                    "lift_se": 0.001,
                    "loss": loss[rule],
                    "loss_se": 0.001,
                    "gain": loss[surface.EQ_9] - loss[rule],
                    "gain_se": 0.001,
                }
                for rule, (arms, _) in RULES.items()
            ]
    return pd.DataFrame(rows)


def requests(draws=3, lift=0.003):
    """Choosing by request earns `lift`; by lot a third of it."""
    policies = {
        per_request.ONE_FOR_ALL: 0.0,
        per_request.BY_LOT: lift / 3,
        per_request.PREDICTED: lift,
        per_request.KNOWN: 5 * lift,
    }
    return pd.DataFrame(
        {
            "draw": draw,
            "menu": menu,
            "policy": policy,
            "machines": 200.0,
            "lift": earned + 1e-5 * draw,
            "lift_se": 0.0005,
            "gain": earned - lift / 3 + 1e-5 * draw,
            "gain_se": 0.0005,
        }
        for draw in range(draws)
        for menu in ("sizes of Pre-ranking", "numbers of candidates")
        for policy, earned in policies.items()
    )


def errors(draws=3):
    """Root mean square errors of untested arms."""
    return pd.DataFrame(
        {"draw": draw, surface.ADDED: 0.003 + 1e-5 * draw, surface.FITTED: 0.001}
        for draw in range(draws)
    )
