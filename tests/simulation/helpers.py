"""Worlds, systems and logs that the tests of the simulation share."""

import numpy as np
import pyarrow as pa

from lib.simulation import System, World, sample_logs, world_parameters
from lib.simulation.keyed_random import normal, visit_keys


def small(**changes):
    return World(world_parameters("small", **changes))


def noisy(matched, sd):
    """A Pre-ranking that knows the truth up to noise: a model of a known quality."""
    noise = normal(visit_keys(0, "noise", matched.users, 0), matched.ads)
    return System(matched, (matched.log_ecpm + sd * noise).astype(np.float32))


def log_of(system, count, seed=0, **options):
    return pa.concat_tables(sample_logs(system, count, seed=seed, **options))


def columns(table, *names):
    return [table[name].to_numpy() for name in names]
