"""Tables of notebook 06 that are made up, with all that its figures and sentences read."""

import numpy as np
import pandas as pd

from lib.experiments.dlrm_study.resource_laws import HeldOut, ResourceLaw
from lib.laws import PowerLawPlusConstant
from lib.laws.power_law_plus_constant import Bounds, Evidence, Intervals

X = np.geomspace(1e3, 1e6, 7)


def made_law(resource="data", *, evidence=None, held_out=None, **changes):
    """A law y = .7 + 2 x^-.4 of three draws; changes replace what was found of it."""
    levels = np.array([[0.001], [0.0], [-0.001]])
    noise = 2e-4 * np.random.default_rng(0).normal(size=(3, len(X)))
    loss = 0.7 + 2.0 * X**-0.4 + levels + noise
    law = PowerLawPlusConstant().fit(np.tile(X, 3), loss.ravel(), np.repeat([0, 1, 2], len(X)))
    found = {
        "resource": resource,
        "x": X,
        "loss": loss,
        "law": law,
        "intervals": law.interval(0.9),
        "evidence": evidence or law.evidence(),
        "held_out": held_out,
        "left": law.reachable_left(0.9),
    }
    return ResourceLaw(**found | changes)


FITS = Evidence(flat=0.001, straight_line=0.001, no_constant=0.5, law=0.5)
MISFITS = Evidence(flat=0.001, straight_line=0.001, no_constant=0.5, law=0.001)
UNDECIDED = Evidence(flat=0.001, straight_line=0.5, no_constant=0.5, law=0.5)
FORESEEN = HeldOut(1e6, 0.71, 0.705, 0.715, 0.712)
MISSED = HeldOut(1e6, 0.71, 0.705, 0.715, 0.72)
NOT_IDENTIFIED = Intervals(Bounds(0.01, 4.0, False), Bounds(0.0, 0.69, False))


def steam(**columns):
    """Rows out of steam, width not, MLPs undecided."""
    made = {
        "way": ["rows", "width", "all_mlps"],
        "gain": [1e-5, 0.004, 3e-4],
        "low": [-2e-5, 0.003, 1e-4],
        "high": [4e-5, 0.005, 5e-4],
        "ratio": [0.001, 0.4, 0.03],
        "ratio_low": [-0.002, 0.3, 0.01],
        "ratio_high": [0.004, 0.5, 0.05],
        "less_than_data": [0.01, 0.006, 0.0],
        "less_low": [0.009, -0.001, -1e-4],
        "less_high": [0.011, 0.013, 1e-4],
        "out_of_steam": [True, False, None],
    }
    frame = pd.DataFrame(made).astype({"out_of_steam": object})
    return frame.assign(**columns)


def gains():
    """Gains at two numbers of samples; of width also four times."""
    rows = [
        {"way": way, "factor": factor, "samples": n, "gain": g / n, "low": g / n / 2}
        | {"high": 2 * g / n}
        for way, factor, g in (("data", 2, 20), ("rows", 2, 5), ("width", 2, 10), ("width", 4, 9))
        for n in (1000, 8000)
    ]
    return pd.DataFrame(rows)


def ranked():
    """`gains.returns` of data, width and rows."""
    return pd.DataFrame(
        {
            "way": ["data", "width", "rows"],
            "gain": [0.01, 0.004, 1e-5],
            "low": [0.009, 0.003, -2e-5],
            "high": [0.011, 0.005, 4e-5],
        }
    )


def compared():
    """`gains.architectures`: DCN v2 better, an MLP alike, logistic regression worse."""
    return pd.DataFrame(
        {
            "family": ["dcn_v2", "dlrm", "mlp", "logistic_regression"],
            "samples": 1000,
            "loss": [0.70, 0.71, 0.7101, 0.75],
            "low": [0.69, 0.70, 0.70, 0.74],
            "high": [0.71, 0.72, 0.72, 0.76],
            "better": [0.01, 0.0, -1e-5, -0.04],
            "better_low": [0.009, 0.0, -1e-4, -0.05],
            "better_high": [0.011, 0.0, 1e-4, -0.03],
        }
    )


def verdicts(*found, samples=(1000,), exponents=((0.5, 1.0), (0.5, 2.0))):
    """`worlds.where_data_wins`: popularity x spectrum with these verdicts, at each of samples."""
    rows = []
    for n in samples:
        for cell, verdict in enumerate(found):
            popularity, spectrum = exponents[0][cell % 2], exponents[1][cell // 2 % 2]
            rows.append(
                {"cell": cell, "samples": n, "verdict": verdict, "ratio": 0.25 * (cell + 1)}
                | {"popularity_exponent": popularity, "spectrum_exponent": spectrum}
                | {"drift_rows": 0.0, "noise": 0.0}
            )
    return pd.DataFrame(rows)


def further(measured=0.71, low=0.70, high=0.72):
    """`resource_laws.beyond`'s first table."""
    return pd.DataFrame(
        {
            "samples": [2_000_000, 10_000_000],
            "predicted": [0.706, 0.7035],
            "low": [0.705, low],
            "high": [0.707, high],
            "measured": [0.706, measured],
            "worlds": [2, 2],
        }
    )


def curves():
    """`resource_laws.beyond`'s second table."""
    samples = np.array([100, 10_000, 2_000_000, 10_000_000])
    return pd.concat(
        pd.DataFrame({"way": way, "samples": samples, "loss": 0.7 + better + 2.0 * samples**-0.4})
        for way, better in (("base", 0.0), ("rows", -0.01), ("width", -0.002))
    )


def priced():
    """`design.price_options` of the base at two amounts, rows, width; and one of much less."""
    made = pd.DataFrame(
        {
            "option": ["base", "base", "rows x 2", "width x 4", "width x 0.5"],
            "samples": [1000, 4000, 1000, 1000, 1000],
            "lift": [0.0, 0.02, 0.01, 0.03, -0.2],
            "low": [0.0, 0.01, 0.0, 0.02, -0.3],
            "high": [0.0, 0.03, 0.02, 0.04, -0.1],
            "cost": [100.0, 150.0, 120.0, 200.0, 60.0],
        }
    )
    shares = {"serving_cost": 0.5, "training_cost": 0.375, "storage_cost": 0.125}
    made = made.assign(**{name: share * made.cost for name, share in shares.items()})
    return made.assign(extra_cost=made.cost - 100.0)
