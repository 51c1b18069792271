"""Choices and options of several draws, as notebook 05c has them."""

import numpy as np
import pandas as pd


def made_options(draws=5, seed=0):
    """A row a draw, decision and option; today's sizes earn nothing."""
    rng = np.random.default_rng(seed)
    names = {"size": ["8-4-4-4", "32-8-8-8", "64-16-16-16"], "pair": ["8-4 + 32", "32-16 + 32"]}
    rows = []
    for draw in range(draws):
        for decision, options in names.items():
            for option in options:
                today = option in ("32-8-8-8", "32-16 + 32")
                predicted, measured = (0, 0) if today else rng.normal(0.002, 0.003, size=2)
                half = 0 if today else 0.004
                rows.append(
                    {
                        "draw": draw,
                        "decision": decision,
                        "option": option,
                        "today": today,
                        "chosen": option == options[-1],
                        "predicted": predicted,
                        "low": predicted - half,
                        "high": predicted + half,
                        "measured": measured,
                        "measured_se": half / 4,
                        "measured_low": measured - half / 2,
                        "measured_high": measured + half / 2,
                        "inside": abs(predicted - measured) <= half,
                    }
                )
    return pd.DataFrame(rows)


def made_choices(draws=5, regret=0.0005, **changes):
    """A row a draw and decision."""
    options = made_options(draws)
    rows = options[options.chosen].rename(columns={"option": "chosen_option"})
    rows = rows.drop(columns=["chosen", "today"]).rename(columns={"chosen_option": "chosen"})
    rows = rows.reset_index(drop=True)
    return rows.assign(
        stays=rows.decision == "pair",
        best="8-4-4-4",
        regret=regret,
        regret_se=0.0004,
        regret_crossed=np.nan,
        bound_held=True,
        **changes,
    )
